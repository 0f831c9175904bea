//! From a real target to a verdict that people read.

use std::time::Duration;

use testkit::{Target, eventually};

use crate::harness::{LIMIT, Running};

fn one(check: &str) -> String {
    format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\nservices:\n  web:\n    checks:\n      home: {check}\n"
    )
}

#[tokio::test]
async fn a_service_goes_down_with_the_reason_and_comes_back() {
    let target = Target::ok("hello");
    let engine = Running::start(&one(&format!("{{ http: {{ url: \"{}\" }} }}", target.url("/")))).await;
    engine.until("web", "up").await;
    target.set_status(503);
    let down = engine.until("web", "down").await;
    assert_eq!(down["why"], "home: status 503, expected 2xx");
    assert_eq!(engine.get("/api/v1/status").await.1["overall"], "down");
    assert_eq!(engine.get("/api/v1/status").await.1["reason"], "web is down");
    target.set_status(200);
    engine.until("web", "up").await;
    // Verdicts are shown before they are on the disk.
    let written = eventually("all three changes on the disk", LIMIT, async || {
        let (_, transitions) = engine.get("/api/v1/transitions?service=web").await;
        let transitions = transitions.as_array()?.clone();
        (transitions.len() == 3).then_some(transitions)
    });
    let transitions = written.await;
    let verdicts: Vec<&str> = transitions.iter().map(|change| change["to"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["up", "down", "up"]);
}

#[tokio::test]
async fn a_slow_answer_degrades_and_a_warning_check_never_makes_a_service_down() {
    let (target, dead) = (Target::ok("hello"), Target::refuse());
    let yaml = format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  slow:\n    checks:\n      home: {{ http: {{ url: \"{}\" }}, expect: {{ max_latency: 20ms }} }}\n  worn:\n    checks:\n      disk: {{ tcp: {{ address: \"{}\" }}, severity: warning }}\n",
        target.url("/"),
        dead.addr()
    );
    target.set_delay(Duration::from_millis(60));
    let engine = Running::start(&yaml).await;
    let slow = engine.until("slow", "degraded").await;
    assert!(slow["why"].as_str().unwrap().contains("more than 20ms"), "{slow}");
    let worn = engine.until("worn", "degraded").await;
    assert!(worn["why"].as_str().unwrap().starts_with("disk: connection refused"), "{worn}");
    assert_eq!(engine.get("/api/v1/status").await.1["overall"], "degraded");
}

#[tokio::test]
async fn a_dependant_names_the_need_that_failed_first() {
    let target = Target::ok("hello");
    let url = target.url("/");
    let yaml = format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  database:\n    checks: {{ port: {{ http: {{ url: \"{url}\" }} }} }}\n  web:\n    needs: [database]\n    checks: {{ home: {{ http: {{ url: \"{url}\" }} }} }}\n"
    );
    let engine = Running::start(&yaml).await;
    engine.until("web", "up").await;
    engine.until("database", "up").await;
    target.set_status(500);
    engine.until("web", "down").await;
    let blocked = eventually("web to be blocked by the database", LIMIT, async || {
        let (_, web) = engine.get("/api/v1/services/web").await;
        (web["blocked_by"] == "database").then_some(())
    });
    blocked.await;
    let (_, database) = engine.get("/api/v1/services/database").await;
    assert_eq!(database["blocked_by"], serde_json::Value::Null);
}

#[tokio::test]
async fn history_comes_back_by_check_with_latency() {
    let target = Target::ok("hello");
    let engine = Running::start(&one(&format!("{{ http: {{ url: \"{}\" }} }}", target.url("/")))).await;
    let points = eventually("three points of history", LIMIT, async || {
        let (_, history) = engine.get("/api/v1/services/web/history?back=1h").await;
        let points = history["checks"]["home"].as_array()?.clone();
        (points.len() >= 3).then_some(points)
    });
    let points = points.await;
    assert!(points.iter().all(|point| point["pass"] == 1 && point["p50_ms"].as_f64().unwrap() > 0.0), "{points:?}");
    let (_, hours) = engine.get("/api/v1/services/web/history?back=30d").await;
    assert_eq!((hours["grain"].as_str(), hours["checks"]["home"].as_array().unwrap().len()), (Some("hour"), 1));
    assert_eq!(engine.get("/api/v1/services/nobody/history").await.0, 404);
    assert_eq!(engine.get("/api/v1/services/web/history?back=soon").await.0, 400);
}

#[tokio::test]
async fn the_openapi_document_lists_every_route_of_the_api() {
    let target = Target::ok("hello");
    let engine = Running::start(&one(&format!("{{ http: {{ url: \"{}\" }} }}", target.url("/")))).await;
    let (_, document) = engine.get("/api/v1/openapi.json").await;
    let listed: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/export");
    let mut routes = Vec::new();
    for file in ["api.rs", "badge.rs", "write.rs"] {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        routes.extend(text.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    routes.retain(|route| route.starts_with("/api/") && route != "/api/v1/openapi.json");
    assert!(routes.len() >= 10, "{routes:?}");
    let untold: Vec<&String> = routes.iter().filter(|route| !listed.contains(route)).collect();
    assert!(untold.is_empty(), "{untold:?} are not in {listed:?}");
}

#[tokio::test]
async fn live_events_tell_a_change() {
    let target = Target::ok("hello");
    let engine = Running::start(&one(&format!("{{ http: {{ url: \"{}\" }} }}", target.url("/")))).await;
    engine.until("web", "up").await;
    let mut changes = engine.shared.changes.subscribe();
    target.set_status(500);
    let told = eventually("a change to down", LIMIT, async || {
        let change = changes.recv().await.ok()?;
        serde_json::to_string(&change).unwrap().contains("\"verdict\":\"down\"").then_some(())
    });
    told.await;
}
