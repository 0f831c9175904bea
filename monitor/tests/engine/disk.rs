//! Real disks that are full or turn read-only (a small tmpfs each; mounting needs root, as in CI).

use http::Method;
use monitor::Kinds;
use serde_json::Value;
use testkit::{Disk, Target, eventually};

use crate::alerts::accepted;
use crate::harness::{LIMIT, Running, TOKEN, ask};

async fn store_is(engine: &Running, word: &str) -> Value {
    let what = format!("the state store to be {word}");
    let found = eventually(&what, LIMIT, async || {
        let (_, health) = engine.get("/health").await;
        let found = health["checks"]["state"]["status"].as_str().unwrap_or("healthy") == word;
        found.then_some(health)
    });
    found.await
}

fn yaml(target: &Target) -> String {
    format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n",
        target.url("/")
    )
}

async fn start(target: &Target) -> (Disk, Running) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&folder.path().join("data"), "2m");
    let engine = Running::start_in(folder, &yaml(target), Kinds::standard()).await;
    engine.until("web", "up").await;
    (disk, engine)
}

#[tokio::test]
async fn a_full_disk_never_stops_probing_and_what_happened_meanwhile_is_written_later() {
    let target = Target::ok("hello");
    let (disk, engine) = start(&target).await;
    let filler = disk.fill();
    target.set_status(500);
    engine.until("web", "down").await;
    let health = store_is(&engine, "unhealthy").await;
    assert!(health["checks"]["state"]["reason"].as_str().unwrap().contains("full"), "{health}");
    let (_, metrics) = engine.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("monitor_store_healthy{store=\"state\"} 0"));
    target.set_status(200);
    engine.until("web", "up").await;
    std::fs::remove_file(filler).unwrap();
    store_is(&engine, "healthy").await;
    let written = eventually("all three changes on disk", LIMIT, async || {
        let (_, transitions) = engine.get("/api/v1/transitions?service=web").await;
        (transitions.as_array()?.len() == 3).then_some(())
    });
    written.await;
    engine.stop().await;
}

#[tokio::test]
async fn a_stranger_learns_which_store_fails_and_whoever_has_a_token_why() {
    let (target, folder) = (Target::ok("hello"), tempfile::tempdir().unwrap());
    let disk = Disk::mount(&folder.path().join("data"), "2m");
    let yaml = format!("access: {{ public: names }}\n{}", yaml(&target));
    let engine = Running::start_in(folder, &yaml, Kinds::standard()).await;
    engine.until("web", "up").await;
    let filler = disk.fill();
    target.set_status(500);
    engine.until("web", "down").await;
    let unhealthy = serde_json::json!({ "status": "unhealthy" });
    assert_eq!(store_is(&engine, "unhealthy").await["checks"]["state"], unhealthy);
    let token = format!("Bearer {TOKEN}");
    for path in ["/readyz", "/ready", "/health/ready", "/health"] {
        let (_, told) = engine.get(path).await;
        assert_eq!(told["checks"]["state"], unhealthy, "{path}");
        let (_, told) = ask(&engine.url, Method::GET, path, &[("authorization", &token)]).await;
        assert!(told["checks"]["state"]["reason"].as_str().unwrap().contains("full"), "{path}: {told}");
    }
    std::fs::remove_file(filler).unwrap();
    store_is(&engine, "healthy").await;
    engine.stop().await;
}

#[tokio::test]
async fn while_the_disk_is_full_a_page_goes_out_from_memory_and_its_end_from_the_disk() {
    let (target, sink, folder) = (Target::ok("hello"), Target::ok(""), tempfile::tempdir().unwrap());
    let disk = Disk::mount(&folder.path().join("data"), "8m");
    let hook = format!("channels: {{ hook: {{ webhook: {{ url: \"{}\" }} }} }}\n", sink.url("/hook"));
    let engine = Running::start_in(folder, &(yaml(&target) + &hook), Kinds::standard()).await;
    engine.until("web", "up").await;
    let filler = disk.fill();
    target.set_status(500);
    let page = eventually("the page", LIMIT, async || accepted(&sink).into_iter().next()).await;
    assert_eq!((&page["durable"], &page["status"]), (&false.into(), &"firing".into()), "{page}");
    let (seen, due) = (target.connections(), 3);
    eventually("probing to go on", LIMIT, async || (target.connections() >= seen + due).then_some(())).await;
    std::fs::remove_file(filler).unwrap();
    store_is(&engine, "healthy").await;
    target.set_status(200);
    let end = eventually("the end", LIMIT, async || accepted(&sink).into_iter().nth(1)).await;
    assert_eq!((&end["durable"], &end["status"]), (&true.into(), &"resolved".into()), "{end}");
    assert_eq!(end["alerts"][0]["incident"], page["alerts"][0]["incident"]);
    engine.stop().await;
    assert_eq!(accepted(&sink).len(), 2);
}

#[tokio::test]
async fn a_restart_on_a_disk_that_turned_read_only_still_watches() {
    let target = Target::ok("hello");
    let (disk, engine) = start(&target).await;
    let folder = engine.stop().await;
    disk.remount("ro");
    let engine = Running::start_in(folder, &yaml(&target), Kinds::standard()).await;
    target.set_status(500);
    engine.until("web", "down").await;
    store_is(&engine, "unhealthy").await;
    assert_eq!(engine.get("/api/v1/status").await.1["overall"], "down");
    disk.remount("rw");
    store_is(&engine, "healthy").await;
    engine.stop().await;
}

#[tokio::test]
async fn history_that_cannot_be_read_at_the_start_is_not_written_over() {
    let target = Target::ok("hello");
    let engine = Running::start(&yaml(&target)).await;
    engine.until("web", "up").await;
    let folder = engine.stop().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("data/history.db"));
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let before: i64 = sqlx::query_scalar("SELECT count(*) FROM fresh").fetch_one(&mut other).await.unwrap();
    assert!(before > 0);
    sqlx::Executor::execute(&mut other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").await.unwrap();
    let engine = Running::start_in(folder, &yaml(&target), Kinds::standard()).await;
    engine.until("web", "up").await;
    drop(other);
    let history = eventually("old and new points together", LIMIT, async || {
        let (_, history) = engine.get("/api/v1/services/web/history?back=1h&grain=raw").await;
        let points = history["checks"]["home"].as_array()?.len();
        let (_, health) = engine.get("/health").await;
        (points >= 3 && health["checks"]["history"]["status"] == "healthy").then_some(())
    });
    history.await;
    let folder = engine.stop().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("data/history.db"));
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let after: i64 = sqlx::query_scalar("SELECT count(*) FROM fresh").fetch_one(&mut other).await.unwrap();
    assert!(after > before, "{after} rows after {before}: nothing was replaced");
}
