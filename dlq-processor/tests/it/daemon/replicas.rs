//! Several daemons with one ledger: one acts, and another takes over.

use std::process::Command;
use std::time::Instant;

use dlq_processor::ledger::{Act, Actor, Filter, Ledger};
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Postgres, Target, eventually, free_port};

use super::machine::{Daemon, LIMIT, Machine, QUEUE, TOKEN};
use crate::asking;

/// Where one of them is.
struct Place {
    folder: TempDir,
    port: u16,
}

/// One of them.
struct Replica {
    daemon: Daemon,
    /// Gone after the daemon.
    place: Place,
}

impl Place {
    /// With more of a configuration than where things are, and what is done.
    fn new(machine: &Machine, ledger: &str, more: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = format!(
            "listen: 127.0.0.1:{port}\ndata_dir: data\nledger: '{ledger}'\nrate: 50/s\n\
            sources: {{ jobs: {{ bullmq: {{ url: '{}' }} }} }}\n\
            queues: [{{ queue: '*', mode: act, rate: 50/s, budget: off }}]\nretries: {{ transient: {{ base: 1s, cap: 1s }} }}\n{more}",
            machine.bull.redis.url()
        );
        std::fs::write(folder.path().join("dlq-processor.yml"), config).unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        Self { folder, port }
    }

    fn start(self) -> Replica {
        Replica { daemon: Daemon::spawn(self.folder.path()), place: self }
    }
}

impl Replica {
    /// Ends it as its machine does when that is started anew.
    async fn end(self) -> Place {
        self.signal("-TERM");
        self.daemon.ended().await;
        self.place
    }

    fn signal(&self, signal: &str) {
        let pid = self.daemon.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    async fn metric(&self, name: &str) -> Option<f64> {
        let request = Request::get(format!("http://127.0.0.1:{}/metrics", self.place.port));
        let (_, text) = asking::ask(request, &Value::Null).await?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    async fn checks(&self) -> Option<Value> {
        let request = Request::get(format!("http://127.0.0.1:{}/health", self.place.port));
        let (_, text) = asking::ask(request, &Value::Null).await?;
        Some(serde_json::from_str::<Value>(&text).ok()?["checks"].take())
    }

    async fn until_it_acts(&self) {
        let acts = async || self.metric("dlq_lease_held").await.filter(|held| *held == 1.0).map(drop);
        eventually("one to act", LIMIT, acts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_acts_and_another_takes_over_and_nothing_is_redriven_twice() {
    let (machine, postgres) = (Machine::start("").await, Postgres::start().await);
    let ids = machine.fail(200, "connect ECONNREFUSED 127.0.0.1:25").await;
    let failed = async || machine.bull.ask(json!({ "call": "counts", "queue": QUEUE })).await["failed"].as_u64();
    eventually("all to fail", LIMIT, async || (failed().await? == 200).then_some(())).await;
    machine.does(json!({})).await;
    let first = Place::new(&machine, &postgres.url(), "").start();
    first.until_it_acts().await;
    let second = Place::new(&machine, &postgres.url(), "").start();
    eventually("the second to wait", LIMIT, async || second.metric("dlq_lease_held").await).await;
    assert_eq!(second.metric("dlq_lease_held").await, Some(0.0));
    eventually("some to be redriven", LIMIT, async || (failed().await? < 190).then_some(())).await;
    // As a machine does that is put to sleep; worse than one that dies, since it goes on where it was.
    first.signal("-STOP");
    let began = Instant::now();
    second.until_it_acts().await;
    println!("taken over after {:?}", began.elapsed());
    first.signal("-CONT");
    let waits = async || first.metric("dlq_lease_held").await.filter(|held| *held == 0.0).map(drop);
    eventually("the first to act no more", LIMIT, waits).await;
    assert_eq!(second.metric("dlq_lease_held").await, Some(1.0));
    let ledger = Ledger::open(&kit::db::Source::parse(&postgres.url()).unwrap()).await.unwrap();
    let all_are_done = async || {
        let filter = Filter { state: Some("resolved".to_owned()), ..Filter::default() };
        (ledger.letters(&filter, 500).await.unwrap().len() == ids.len()).then_some(())
    };
    eventually("all to be done", LIMIT, all_are_done).await;
    for id in &ids {
        assert_eq!(machine.runs(id).await, 2, "job {id}");
    }
    // Whoever acts no more has nothing to say of sources, least of all what it saw last.
    eventually("it to know the source", LIMIT, async || second.checks().await?.get("source jobs").map(drop)).await;
    let has_let_go = async || {
        ledger.lease("somebody else", true).await.unwrap()?;
        second.checks().await.filter(|checks| checks.get("source jobs").is_none())
    };
    let checks = eventually("it to let go", LIMIT, has_let_go).await;
    assert_eq!((&checks["lease"]["status"], &checks["ledger"]["status"]), (&json!("unhealthy"), &json!("healthy")));
    drop(second);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_another_acts_is_over_for_the_monitor_and_is_repeated_by_nobody() {
    let (machine, postgres, monitor) = (Machine::start("").await, Postgres::start().await, Target::ok(""));
    let config = format!("monitor: {{ url: '{}' }}\njobs: [{{ name: job, critical: true }}]\n", monitor.url(""));
    // Whether each is firing; what is said again is left out.
    let heard = || {
        let posts = monitor.requests().into_iter();
        let alerts = posts.flat_map(|request| serde_json::from_slice::<Vec<Value>>(&request.body).unwrap());
        let mut heard = Vec::new();
        for alert in alerts.filter(|alert| alert["labels"]["alertname"] == "DeadLetters") {
            assert_eq!((&alert["labels"]["severity"], &alert["labels"]["service"]), (&json!("page"), &json!(QUEUE)));
            let is_firing = alert["endsAt"].is_null();
            if !is_firing || heard.last() != Some(&true) {
                heard.push(is_firing);
            }
        }
        heard
    };
    machine.fail(1, "no such user").await;
    let first = Place::new(&machine, &postgres.url(), &config).start();
    eventually("it to be told", LIMIT, async || (heard() == [true]).then_some(())).await;
    let first = first.end().await;
    let ledger = Ledger::open(&kit::db::Source::parse(&postgres.url()).unwrap()).await.unwrap();
    let letter = ledger.letters(&Filter::default(), 2).await.unwrap().remove(0);
    let actor = Actor { who: "ada", why: "she has left", key: "1" };
    ledger.act(&letter.id, Act::Discard, actor, 1).await.unwrap();
    let second = Place::new(&machine, &postgres.url(), &config).start();
    eventually("the other one to take it back", LIMIT, async || (heard() == [true, false]).then_some(())).await;
    eventually("it to be noted", LIMIT, async || ledger.told().await.unwrap().is_empty().then_some(())).await;
    second.end().await;
    let _first = first.start();
    eventually("the first to end what it has", LIMIT, async || (heard() == [true, false, false]).then_some(())).await;
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_of_another_policy_says_whether_it_is_the_one_that_acts() {
    let (machine, postgres) = (Machine::start("").await, Postgres::start().await);
    let config = "access: { tokens: [{ name: root, role: admin, token_file: token }] }\n";
    let first = Place::new(&machine, &postgres.url(), config).start();
    eventually("the first to act", LIMIT, async || first.checks().await?.get("source jobs").map(drop)).await;
    let second = Place::new(&machine, &postgres.url(), config).start();
    eventually("the second to wait", LIMIT, async || {
        second.checks().await.filter(|checks| checks["lease"]["status"] == "unhealthy")
    })
    .await;
    for (replica, acts) in [(&first, true), (&second, false)] {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_dlq-processor"));
        command.args(["policy", "reload", "--reason", "quotas pass"]).env_clear();
        command.env("DLQ_URL", format!("http://127.0.0.1:{}", replica.place.port)).env("DLQ_TOKEN_FILE", "token");
        let said = command.current_dir(replica.place.folder.path()).output().await.unwrap();
        let errors = String::from_utf8(said.stderr).unwrap();
        let answer: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{errors}"));
        assert_eq!(answer["acts"], acts, "{answer}");
        assert_eq!(errors.contains("this one does not act"), !acts, "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_not_the_one_that_acted_refuses_to_act_and_says_why() {
    let config = "queues: [{ queue: '*', mode: act }]\nretries: { transient: { base: 1s, cap: 1s } }\naccess: { tokens: [{ name: root, role: admin, token_file: token }] }\n";
    let machine = Machine::start(config).await;
    let ids = machine.fail(1, "connect ECONNREFUSED 127.0.0.1:25").await;
    let epoch = redis::cmd("SET").arg(format!("bull:{QUEUE}:dlq-epoch")).arg(57).to_owned();
    machine.bull.query::<()>(&epoch).await;
    let _daemon = machine.daemon().await;
    let said = eventually("health to say why", LIMIT, async || {
        machine.get("/health").await.filter(|health| health.contains("epoch 57"))
    });
    assert!(said.await.contains("restore that ledger"));
    assert_eq!((machine.runs(&ids[0]).await, machine.letters().await[0].state.as_str()), (1, "scheduled"));
    machine.does(json!({})).await;
    let token = format!("Bearer {TOKEN}");
    let request = machine.request("POST", "/api/v1/adopt", &[("authorization", &token), ("idempotency-key", "adopt")]);
    let adopted = machine.ask(request, &json!({ "reason": "the disk of the old one is gone" })).await;
    assert_eq!(adopted, Some((200, "{\"epoch\":58}".to_owned())));
    eventually("it to be redriven", LIMIT, async || (machine.runs(&ids[0]).await == 2).then_some(())).await;
}
