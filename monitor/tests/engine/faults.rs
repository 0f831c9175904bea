//! What must not slow or fool the engine.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kit::config::Cursor;
use monitor::probe::{Expectation, Facts, Outcome, Probe, Run, Scope, Target as Asked};
use monitor::{Kind, Kinds};
use testkit::{Target, eventually};

use crate::alerts::accepted;
use crate::harness::{LIMIT, Running};

/// A kind with a fault of ours in it.
struct Broken;

#[derive(Debug)]
struct BrokenProbe;

impl Kind for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[]
    }

    fn decode(&self, _: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        Some(Arc::new(BrokenProbe))
    }
}

impl Probe for BrokenProbe {
    fn target(&self) -> Asked {
        Asked { shown: "nothing".to_owned(), scope: Scope::Local }
    }

    fn ask<'a>(&'a self, _: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        Box::pin(async { panic!("index out of bounds") })
    }
}

#[tokio::test]
async fn a_panic_in_one_kind_is_unknown_and_counted_and_the_others_go_on() {
    let target = Target::ok("hello");
    let yaml = format!(
        "defaults: {{ every: 1s }}\nservices:\n  odd: {{ checks: {{ it: {{ broken: {{}} }} }} }}\n  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n",
        target.url("/")
    );
    let engine = Running::start_with(&yaml, Kinds::standard().with(Broken)).await;
    engine.until("web", "up").await;
    let reason = eventually("the panic to be seen", LIMIT, async || {
        let (_, odd) = engine.get("/api/v1/services/odd").await;
        odd["checks"][0]["reason"].as_str().filter(|reason| !reason.is_empty()).map(str::to_owned)
    });
    assert_eq!(reason.await, "the probe itself broke: index out of bounds");
    assert_eq!(engine.get("/api/v1/services/odd").await.1["verdict"], "unknown");
    let (_, metrics) = engine.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("monitor_probe_reasons_total{reason=\"panic\",service=\"odd\"}"));
    let passes = target.connections();
    eventually("more probes of the healthy one", LIMIT, async || (target.connections() >= passes + 2).then_some(()))
        .await;
}

#[tokio::test]
async fn a_thousand_targets_that_time_out_leave_a_healthy_one_asked_and_up() {
    let (stalled, healthy) = (Target::stall(), Target::ok("hello"));
    let mut yaml = "defaults: { every: 1s, timeout: 900ms }\nservices:\n".to_owned();
    yaml.push_str(&format!(
        "  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n  dead:\n    checks:\n",
        healthy.url("/")
    ));
    for n in 0..1000 {
        yaml.push_str(&format!("      c{n}: {{ http: {{ url: \"{}\" }}, timeout: 900ms }}\n", stalled.url("/")));
    }
    let engine = Running::start(&yaml).await;
    engine.until("dead", "down").await;
    let everyone_fails = eventually("all thousand to be down", LIMIT, async || {
        let (_, dead) = engine.get("/api/v1/services/dead").await;
        dead["checks"].as_array()?.iter().all(|check| check["health"] == "down").then_some(())
    });
    everyone_fails.await;
    let before = healthy.connections();
    eventually("ten more probes of the healthy one", LIMIT, async || {
        (healthy.connections() >= before + 10).then_some(())
    })
    .await;
    let (_, web) = engine.get("/api/v1/services/web").await;
    assert_eq!(web["verdict"], "up", "{web}");
    let (_, transitions) = engine.get("/api/v1/transitions?service=web").await;
    assert_eq!(transitions.as_array().unwrap().len(), 1, "it was up all the time: {transitions}");
}

#[tokio::test]
async fn a_data_folder_that_becomes_unwritable_is_said_and_probing_goes_on() {
    let target = Target::ok("hello");
    let yaml = format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n",
        target.url("/")
    );
    let engine = Running::start(&yaml).await;
    engine.until("web", "up").await;
    // Another program takes the write lock of both files and never lets go: every commit fails.
    let data = engine.folder.path().join("data");
    let mut locks = Vec::new();
    for file in ["state.db", "history.db"] {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(data.join(file));
        let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
        sqlx::Executor::execute(&mut connection, "BEGIN IMMEDIATE").await.unwrap();
        locks.push(connection);
    }
    target.set_status(500);
    engine.until("web", "down").await;
    let said = eventually("the health page to say it", LIMIT, async || {
        let (status, health) = engine.get("/health").await;
        (health["checks"]["state"]["status"] == "unhealthy").then_some((status, health))
    });
    let (status, health) = said.await;
    assert_eq!((status, health["status"].as_str()), (200, Some("degraded")), "{health}");
    target.set_status(200);
    engine.until("web", "up").await;
    drop(locks);
    let written = eventually("everything to be written once the lock is gone", LIMIT, async || {
        let (_, transitions) = engine.get("/api/v1/transitions?service=web").await;
        (transitions.as_array()?.len() == 3).then_some(())
    });
    written.await;
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_told_to_people() {
    let (target, sink) = (Target::ok("hello"), Target::ok(""));
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/state.db"), vec![b'x'; 8192]).unwrap();
    let yaml = format!(
        "services:\n  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\nchannels:\n  hook: {{ webhook: {{ url: \"{}\" }} }}\n",
        target.url("/"),
        sink.url("/hook")
    );
    let engine = Running::start_in(folder, &yaml, Kinds::standard()).await;
    let told = eventually("somebody to be told", LIMIT, async || accepted(&sink).into_iter().next()).await;
    let title = told["title"].as_str().unwrap();
    assert!(title.starts_with("a file of the monitor was damaged and begun anew: state.db.damaged-"), "{told}");
    assert_eq!((&told["severity"], &told["durable"]), (&"ticket".into(), &true.into()));
    engine.stop().await;
}
