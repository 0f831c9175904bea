//! A database that takes fifty services with it, through the whole engine: one message, not fifty-one.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;
use testkit::{Target, eventually};

use crate::alerts::accepted;
use crate::harness::{LIMIT, Running, TOKEN, ask_with};

const DEPENDANTS: usize = 50;

struct Storm {
    database: Target,
    dependants: Vec<Target>,
    sink: Target,
    running: Running,
}

impl Storm {
    /// Starts with everything up: the database was just asked, and its own turn comes again in half a minute.
    async fn start() -> Self {
        let (database, sink) = (Target::ok(""), Target::ok(""));
        let dependants: Vec<Target> = (0..DEPENDANTS).map(|_| Target::ok("")).collect();
        let apps = dependants.iter().enumerate().map(|(index, target)| {
            format!(
                "  app{index}: {{ needs: {{ hard: [db] }}, checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n",
                target.url("/")
            )
        });
        let yaml = format!(
            "defaults: {{ every: 3s, timeout: 1s, every_when_failing: 100ms }}\n\
             services:\n  db: {{ checks: {{ home: {{ http: {{ url: \"{}\" }}, every: 30s }} }} }}\n{}\
             channels: {{ hook: {{ webhook: {{ url: \"{}\" }} }} }}\n",
            database.url("/"),
            apps.collect::<String>(),
            sink.url("/hook")
        );
        let running = Running::start(&yaml).await;
        let storm = Self { database, dependants, sink, running };
        storm.all_are("up").await;
        storm
    }

    async fn all_are(&self, verdict: &str) {
        self.running.until("db", verdict).await;
        for index in 0..DEPENDANTS {
            self.running.until(&format!("app{index}"), verdict).await;
        }
    }

    fn set(&self, status: u16) {
        self.database.set_status(status);
        self.dependants.iter().for_each(|target| target.set_status(status));
    }

    /// Asks for the database's next passes, as one would who has just mended it: they come within seconds.
    async fn ask_for_database(&self) {
        let (_, begun) = self.running.post("/api/v1/gate", &[]).await;
        let cursor = begun["cursor"].as_str().unwrap();
        let path = format!("/api/v1/gate/{cursor}?services=db&stable=2&wait=60s");
        let (status, answer) = self.running.get(&path).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Waits until the services told so far satisfy `is_there`; each as `opened app7`.
    async fn until_told(&self, what: &str, is_there: impl Fn(&[String]) -> bool) -> Vec<String> {
        eventually(what, LIMIT, async || {
            let messages = accepted(&self.sink);
            let parts = messages.iter().flat_map(|message| message["alerts"].as_array().unwrap());
            let said: Vec<String> = parts.map(in_short).collect();
            is_there(&said).then_some(said)
        })
        .await
    }
}

fn in_short(part: &Value) -> String {
    format!("{} {}", part["happening"].as_str().unwrap(), part["service"].as_str().unwrap())
}

fn counted(said: Vec<String>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    said.into_iter().for_each(|line| *counted.entry(line).or_default() += 1);
    counted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_just_after_its_probe_is_one_message_with_fifty_impacted_and_one_end() {
    let storm = Storm::start().await;
    storm.set(503);
    storm.all_are("down").await;
    let open = eventually("every dependant to stand in the database's incident", LIMIT, async || {
        let (_, open) = storm.running.get("/api/v1/incidents?open=true").await;
        let [incident] = open.as_array()?.as_slice() else { return None };
        (incident["failing"].as_array()?.len() == DEPENDANTS).then(|| incident.clone())
    })
    .await;
    storm.set(200);
    storm.ask_for_database().await;
    let said = storm.until_told("the end", |said| said.iter().any(|line| line == "resolved db")).await;
    storm.all_are("up").await;
    assert_eq!(said, ["opened db", "resolved db"]);
    let messages = accepted(&storm.sink);
    assert_eq!(messages.len(), 2, "{messages:?}");
    let part = &messages[0]["alerts"][0];
    assert!(messages[0]["title"].as_str().unwrap().starts_with("db is down: home: status 503"), "{part}");
    assert_eq!(part["incident"], open["id"]);
    let impacted: BTreeSet<&str> =
        part["impacted"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let all: Vec<String> = (0..DEPENDANTS).map(|index| format!("app{index}")).collect();
    assert_eq!(impacted, all.iter().map(String::as_str).collect());
    storm.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependant_that_stays_broken_after_the_database_recovered_pages_alone() {
    let storm = Storm::start().await;
    storm.set(503);
    storm.all_are("down").await;
    storm.until_told("the database's page", |said| said == ["opened db"]).await;
    storm.set(200);
    storm.dependants[7].set_status(500);
    storm.ask_for_database().await;
    storm.until_told("the one that stays broken", |said| said == ["opened db", "resolved db", "opened app7"]).await;
    storm.dependants[7].set_status(200);
    let said = storm.until_told("its end", |said| said.len() > 3).await;
    assert_eq!(said, ["opened db", "resolved db", "opened app7", "resolved app7"]);
    storm.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silenced_database_suppresses_nobody_and_its_dependants_come_together() {
    let storm = Storm::start().await;
    let body = r#"{"matchers": ["service=db"], "for": "1h", "comment": "somebody else's"}"#;
    let (status, silence) = ask_with(&storm.running.url, Method::POST, "/api/v1/silences", Some(TOKEN), body).await;
    assert_eq!(status, 201, "{silence}");
    storm.set(503);
    let mut expected: BTreeMap<String, usize> =
        (0..DEPENDANTS).map(|index| (format!("opened app{index}"), 1)).collect();
    let said = storm.until_told("every dependant's page", |said| said.len() >= DEPENDANTS).await;
    assert_eq!(counted(said), expected, "each once, and nothing of the database");
    let messages = accepted(&storm.sink).len();
    assert!(messages < DEPENDANTS, "{messages} messages: those that wait together are one");
    storm.set(200);
    let said = storm.until_told("every dependant's end", |said| said.len() >= 2 * DEPENDANTS).await;
    expected.extend((0..DEPENDANTS).map(|index| (format!("resolved app{index}"), 1)));
    assert_eq!(counted(said), expected);
    storm.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prometheus_says_of_a_dependant_is_part_of_the_incident_of_what_it_needs() {
    let storm = Storm::start().await;
    // The database has just been asked; the application looks well to us, and its own rules say that it is not.
    storm.database.set_status(503);
    let alert = r#"[{"labels": {"alertname": "Errors", "service": "app7", "severity": "critical"},
                     "annotations": {"summary": "half of all requests fail"}}]"#;
    let (status, said) = ask_with(&storm.running.url, Method::POST, "/api/v2/alerts", Some(TOKEN), alert).await;
    assert_eq!(status, 200, "{said}");
    let told = storm.until_told("the database's page", |told| !told.is_empty()).await;
    assert_eq!(told, ["opened db"]);
    let failing = eventually("the application to be named", LIMIT, async || {
        let (_, open) = storm.running.get("/api/v1/incidents?open=true").await;
        let failing = open[0]["failing"].as_array()?.clone();
        (!failing.is_empty()).then_some((open.as_array()?.len(), failing))
    })
    .await;
    assert_eq!(failing, (1, vec![Value::from("app7")]));
    storm.running.stop().await;
}
