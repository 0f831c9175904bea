//! Badges as pictures and as shields.io reads them.

use monitor::judge::Verdict;

use crate::prepared::{Monitor, card};

#[tokio::test]
async fn a_badge_says_the_verdict_and_is_never_kept() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    monitor.set("shop", Verdict::CrashLooping, "exit 3");
    let badge = monitor.get("/api/v1/badges/shop.svg").await;
    assert_eq!((badge.status, badge.header("content-type")), (200, "image/svg+xml"));
    assert!(badge.header("cache-control").contains("no-cache"));
    badge.assert_has(r#"aria-label="shop: crash looping""#);
    let shields = monitor.get("/api/v1/badges/shop.json").await;
    let json: serde_json::Value = serde_json::from_str(&shields.text).unwrap();
    assert_eq!(json["schemaVersion"], 1);
    assert_eq!((json["label"].as_str(), json["message"].as_str()), (Some("shop"), Some("crash looping")));
    assert_eq!(json["isError"], true);
}

#[tokio::test]
async fn the_whole_has_a_badge_and_so_has_availability() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    monitor.observe("shop", None);
    monitor.get("/api/v1/badges/overall.svg").await.assert_has("status: up");
    monitor.get("/api/v1/badges/overall.json").await.assert_has(r#""message":"up""#);
    monitor.get("/api/v1/badges/shop/uptime.svg?days=7").await.assert_has("shop 7 d: no data");
}

#[tokio::test]
async fn an_unknown_service_or_form_is_not_found() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let badge = monitor.get("/api/v1/badges/shup.svg").await;
    assert_eq!(badge.status, 404);
    badge.assert_has("shup: not found");
    for path in ["shup.json", "shop.png", "shup/uptime.svg?days=30", "shop/downtime.svg"] {
        assert_eq!(monitor.get(&format!("/api/v1/badges/{path}")).await.status, 404, "{path}");
    }
}
