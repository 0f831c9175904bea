//! A new configuration while everything runs.

use testkit::{Target, eventually};

use crate::harness::{LIMIT, Running, TOKEN, processes_with, write_config};

fn services(names: &[&str], url: &str) -> String {
    let mut yaml = "defaults: { every: 1s, every_when_failing: 100ms }\nservices:\n".to_owned();
    for name in names {
        yaml.push_str(&format!("  {name}: {{ checks: {{ home: {{ http: {{ url: \"{url}\" }} }} }} }}\n"));
    }
    yaml
}

async fn metric(engine: &Running, name: &str) -> Option<f64> {
    let (_, text) = engine.get("/metrics").await;
    let line = text.as_str()?.lines().find(|line| line.starts_with(&format!("{name} ")))?.to_owned();
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn what_stays_keeps_its_state_and_a_bad_file_changes_nothing_and_is_visible() {
    let target = Target::ok("hello");
    let url = target.url("/");
    let engine = Running::start(&services(&["a", "b", "c", "d"], &url)).await;
    let before = engine.until("a", "up").await;
    let file = write_config(engine.folder.path(), &services(&["a", "b", "c", "e"], &url));
    engine.reload.send(()).await.unwrap();
    engine.until("e", "up").await;
    assert_eq!(engine.get("/api/v1/services/d").await.0, 404);
    assert_eq!(
        engine.get("/api/v1/services/a").await.1["since"],
        before["since"],
        "an unchanged service keeps its state"
    );
    let (_, metrics) = engine.get("/metrics").await;
    assert!(!metrics.as_str().unwrap().contains("service=\"d\""), "a removed service leaves no series");

    std::fs::write(&file, "services: [").unwrap();
    engine.reload.send(()).await.unwrap();
    let name = "monitor_config_last_reload_successful";
    eventually("the bad reload to be visible", LIMIT, async || (metric(&engine, name).await? == 0.0).then_some(()))
        .await;
    assert_eq!(engine.get("/api/v1/services/a").await.0, 200);
    write_config(engine.folder.path(), &services(&["a", "b", "c", "e"], &url));
    engine.reload.send(()).await.unwrap();
    eventually("the good reload to be visible", LIMIT, async || (metric(&engine, name).await? == 1.0).then_some(()))
        .await;
}

#[tokio::test]
async fn a_reload_that_would_drop_most_services_or_a_broken_one_needs_force() {
    let target = Target::ok("hello");
    let url = target.url("/");
    let engine = Running::start(&services(&["a", "b", "c", "d", "e"], &url)).await;
    engine.until("a", "up").await;
    let operator = [("authorization", &*format!("Bearer {TOKEN}"))];
    write_config(engine.folder.path(), "services: {}\n");
    let (status, answer) = engine.post("/api/v1/reload", &operator).await;
    assert_eq!(status, 409);
    let message = answer["error"].as_str().unwrap();
    assert_eq!(message, "it would drop 5 of 5 services (a, b, c, d, e); reload with force=true to drop them");
    assert_eq!(engine.get("/api/v1/services/a").await.0, 200);

    target.set_status(500);
    engine.until("e", "down").await;
    write_config(engine.folder.path(), &services(&["a", "b", "c", "d"], &url));
    let (status, answer) = engine.post("/api/v1/reload", &operator).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (409, Some("it would drop \"e\", which is down now; reload with force=true to drop it"))
    );
    let (status, _) = engine.post("/api/v1/reload?force=true", &operator).await;
    assert_eq!(status, 200);
    eventually("e to be gone", LIMIT, async || (engine.get("/api/v1/services/e").await.0 == 404).then_some(())).await;
}

#[tokio::test]
async fn a_renamed_service_keeps_its_past() {
    let target = Target::ok("hello");
    let url = target.url("/");
    let engine = Running::start(&services(&["shop"], &url)).await;
    engine.until("shop", "up").await;
    let folder = engine.stop().await;
    let renamed = services(&["store"], &url).replace("store: {", "store: { was: shop,");
    let engine = Running::start_in(folder, &renamed, monitor::Kinds::standard()).await;
    let store = engine.until("store", "up").await;
    let (_, transitions) = engine.get("/api/v1/transitions?service=store").await;
    assert_eq!(transitions.as_array().unwrap().len(), 1, "{transitions} {store}");
    let (_, history) = engine.get("/api/v1/services/store/history").await;
    assert!(history["checks"]["home"].as_array().unwrap().iter().any(|point| point["pass"] == 1), "{history}");
}

#[tokio::test]
async fn a_service_that_is_renamed_while_it_is_down_keeps_its_incident() {
    let target = Target::ok("hello");
    let url = target.url("/");
    let engine = Running::start(&services(&["shop"], &url)).await;
    engine.until("shop", "up").await;
    target.set_status(503);
    let id = eventually("the incident", LIMIT, async || {
        let (_, open) = engine.get("/api/v1/incidents?open=true").await;
        open[0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let renamed = services(&["store"], &url).replace("store: {", "store: { was: shop,");
    write_config(engine.folder.path(), &renamed);
    engine.reload.send(()).await.unwrap();
    let incident = async |engine: &Running, service: &str| {
        eventually("the incident under its name", LIMIT, async || {
            let (_, incident) = engine.get(&format!("/api/v1/incidents/{id}")).await;
            (incident["service"] == service).then_some(incident)
        })
        .await
    };
    let open = incident(&engine, "store").await;
    assert_eq!((&open["key"], open["resolved"].is_null()), (&"service:store".into(), true), "{open}");
    let folder = engine.stop().await;
    let again = renamed.replace("store: { was: shop,", "stall: { was: store,");
    let engine = Running::start_in(folder, &again, monitor::Kinds::standard()).await;
    let open = incident(&engine, "stall").await;
    assert!(open["title"].as_str().unwrap().starts_with("stall is down"), "{open}");
    target.set_status(200);
    let over = eventually("its end", LIMIT, async || {
        let (_, incident) = engine.get(&format!("/api/v1/incidents/{id}")).await;
        (!incident["resolved"].is_null()).then_some(incident)
    })
    .await;
    assert_eq!(over["resolved"]["how"], "recovered", "{over}");
    let events = over["events"].as_array().unwrap().iter().map(|event| event["text"].as_str().unwrap());
    let notes: Vec<&str> = events.filter(|text| text.contains("is called")).collect();
    assert_eq!(notes, ["shop is called store now", "store is called stall now"]);
}

#[tokio::test]
async fn a_changed_workload_runs_as_the_new_configuration_says_and_a_removed_one_is_gone() {
    let target = Target::ok("hello");
    let yaml = |token: &str| {
        format!(
            "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  a: {{ checks: {{ home: {{ http: {{ url: \"{0}\" }} }} }} }}\n  b: {{ checks: {{ home: {{ http: {{ url: \"{0}\" }} }} }} }}\n  c: {{ checks: {{ home: {{ http: {{ url: \"{0}\" }} }} }} }}\n  web:\n    workload: {{ process: {{ command: [sh, -c, \"trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.1; done; : {token}\"], restart: on-failure }} }}\n    checks: {{ home: {{ http: {{ url: \"{0}\" }} }} }}\n",
            target.url("/")
        )
    };
    let (old, new) = (format!("old-{}", target.addr().port()), format!("new-{}", target.addr().port()));
    let engine = Running::start(&yaml(&old)).await;
    engine.until("web", "up").await;
    write_config(engine.folder.path(), &yaml(&new));
    engine.reload.send(()).await.unwrap();
    let replaced = eventually("the new command to run alone", LIMIT, async || {
        (processes_with(&old).is_empty() && !processes_with(&new).is_empty()).then_some(())
    });
    replaced.await;
    let web = engine.until("web", "up").await;
    assert_eq!(web["workload"]["unplanned_exits"], 0, "{web}");
    let without = yaml(&new);
    write_config(engine.folder.path(), without.split("  web:").next().unwrap());
    engine.reload.send(()).await.unwrap();
    eventually("the removed one to be gone", LIMIT, async || processes_with(&new).is_empty().then_some(())).await;
    assert_eq!(engine.get("/api/v1/services/web").await.0, 404);
}
