//! Job tables that nobody has made yet: they are waited for, and that is no trouble.

use std::path::Path;
use std::process::Command;

use kit::queue::{Options, Queues, Retry};
use serde_json::{Value, json};
use testkit::{eventually, free_port};

use super::machine::{Daemon, LIMIT};
use crate::asking;

const CONFIG: &str = "data_dir: data\nsources: { mails: { jobs: { database: 'sqlite:jobs.db' } } }\n";

/// Where the daemon is.
struct At(u16);

impl At {
    /// Status and body; none if there is no answer.
    async fn ask(&self, path: &str) -> Option<(u16, String)> {
        asking::ask(http::Request::get(format!("http://127.0.0.1:{}{path}", self.0)), &Value::Null).await
    }

    /// How the source stands, once the daemon acts and says this of it.
    async fn stands(&self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        eventually("the source to stand so", LIMIT, async || {
            let (_, answer) = self.ask("/api/v1/queues").await?;
            let answer: Value = serde_json::from_str(&answer).unwrap();
            answer["sources"].get(0).filter(|source| is_wanted(source)).cloned()
        })
        .await
    }

    async fn source_up(&self) -> Option<String> {
        self.metric("dlq_source_up{").await
    }

    /// The first line of the metrics that begins so.
    async fn metric(&self, beginning: &str) -> Option<String> {
        let (_, metrics) = self.ask("/metrics").await?;
        metrics.lines().find(|line| line.starts_with(beginning)).map(str::to_owned)
    }

    /// The source's part of health, and the status.
    async fn health(&self) -> (u16, Value) {
        let (status, health) = self.ask("/readyz").await.unwrap();
        let health: Value = serde_json::from_str(&health).unwrap();
        (status, health["checks"]["source mails"].clone())
    }
}

fn doctor(folder: &Path) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dlq-processor"));
    let said = command.args(["doctor", "--json"]).current_dir(folder).env_clear().output().unwrap();
    (said.status.code().unwrap(), serde_json::from_slice(&said.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn job_tables_that_nobody_has_made_are_waited_for_and_are_down_only_when_they_have_gone() {
    kit::tls::install();
    let (folder, at) = (tempfile::tempdir().unwrap(), At(free_port()));
    let listen = format!("listen: 127.0.0.1:{}\n", at.0);
    std::fs::write(folder.path().join("dlq-processor.yml"), listen + CONFIG).unwrap();
    let (code, said) = doctor(folder.path());
    let note = json!({
        "mark": "note", "of": "mails", "queue": null, "finding": "job tables: there are no job tables in jobs.db yet",
        "what_to_do": "the program that puts jobs in makes them",
    });
    assert_eq!((code, &said["findings"][1]), (0, &note), "{said}");

    let daemon = Daemon::spawn(folder.path());
    let waits = at.stands(|source| !source["waits"].is_null()).await;
    let why = "job tables: there are no job tables in jobs.db yet; the program that puts jobs in makes them";
    assert_eq!((&waits["waits"], &waits["trouble"]), (&json!(why), &Value::Null));
    eventually("it to be ready", LIMIT, async || (at.health().await.0 == 200).then_some(())).await;
    assert_eq!(at.health().await.1, json!({ "status": "healthy" }));
    assert_eq!(at.source_up().await, None, "it is neither up nor down");
    let (_, page) = at.ask("/").await.unwrap();
    assert!(page.contains("for its job tables: nobody has put a job in yet"), "{page}");
    assert!(page.contains("No dead letter waits for anybody</h1>") && !page.contains("Not as it should be"), "{page}");

    let path = folder.path().join("jobs.db");
    let queues = Queues::sqlite(&path).await.unwrap();
    queues.enqueue("mails", "send", &1, Options::default()).await.unwrap();
    let job = queues.claim(&["mails"], "worker", LIMIT, 1).await.unwrap().remove(0);
    queues.fail(job.claim, "no such mailbox", Retry::Dead).await.unwrap();
    at.stands(|source| source["waits"].is_null() && source["trouble"].is_null()).await;
    eventually("it to be up", LIMIT, async || at.source_up().await.filter(|line| line.ends_with(" 1"))).await;
    eventually("the letter to be in the ledger", LIMIT, async || at.metric("dlq_captured_total{").await).await;

    // What was there and has gone is another matter.
    drop(queues);
    for file in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
        let _never_there = std::fs::remove_file(folder.path().join(file));
    }
    let gone = at.stands(|source| !source["trouble"].is_null()).await;
    assert_eq!((&gone["trouble"], &gone["waits"]), (&json!(why), &Value::Null));
    eventually("it to be unready", LIMIT, async || (at.health().await.0 == 503).then_some(())).await;
    assert!(at.source_up().await.is_some_and(|line| line.ends_with(" 0")));
    let (_, page) = at.ask("/").await.unwrap();
    assert!(page.contains("mails does not get on"), "{page}");

    // The ledger remembers that it was there.
    drop(daemon);
    let _daemon = Daemon::spawn(folder.path());
    let gone = at.stands(|source| !source["trouble"].is_null() || !source["waits"].is_null()).await;
    assert_eq!((&gone["trouble"], &gone["waits"]), (&json!(why), &Value::Null));
    eventually("it to be unready", LIMIT, async || (at.health().await.0 == 503).then_some(())).await;
}
