//! Charts and bars from history as the store keeps it.

use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use monitor::record::{HistoryStore, Horizon, Mark, Point, ServiceDay, SqliteHistory, Stores, Tail};

use crate::prepared::{Monitor, card};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// Ninety days of `shop`: an outage of nine minutes 20 days ago, nobody looked from 12 to 10 days ago, and in the last
/// hour a point every 10 s with a gap of twelve minutes and two fails.
async fn filled(folder: &std::path::Path) {
    let store = SqliteHistory::open(&folder.join("history.db")).await.unwrap();
    let now_ms = Timestamp::now().as_millisecond();
    let today_ms = now_ms - now_ms.rem_euclid(DAY_MS);
    let day =
        |day_ms, verdict: &str, ms| ServiceDay { service: "shop".to_owned(), day_ms, verdict: verdict.to_owned(), ms };
    let mut days = Vec::new();
    for back in (1..90).filter(|back| !(10..12).contains(back)) {
        let down_ms = if back == 20 { 9 * MINUTE_MS } else { 0 };
        days.push(day(today_ms - back * DAY_MS, "up", DAY_MS - down_ms));
        if down_ms > 0 {
            days.push(day(today_ms - back * DAY_MS, "down", down_ms));
        }
    }
    store.add_service_days(&days).await.unwrap();
    let ids = store.series(&["shop/health".to_owned()]).await.unwrap();
    let looked = |back: &i64| !(1200..1920).contains(&(back * 10));
    let points = (1..360).rev().filter(looked).map(|back| Point {
        at_ms: now_ms - back * 10_000,
        took_us: 20_000,
        mark: if (100..102).contains(&back) { Mark::Fail } else { Mark::Pass },
    });
    let tail = Tail { next_seq: 1, points: [(ids["shop/health"], points.collect())].into() };
    store.seal(&tail, Horizon { raw_ms: 0, minutes_ms: 0, hours_ms: 0 }).await.unwrap();
}

async fn monitor() -> Monitor {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let stores = Stores::open(folder.path()).await.unwrap();
    stores.history.load().await.unwrap();
    let mut shop = card("shop");
    shop.availability = Some(0.9999);
    shop.latency_p95 = Some(Duration::from_millis(25));
    let monitor = Monitor::start_with(vec![shop], &[], stores, folder, Router::new()).await;
    monitor.observe("shop", None);
    monitor
}

#[tokio::test]
async fn ninety_days_show_the_outage_the_days_nobody_looked_and_the_share_of_the_rest() {
    let monitor = monitor().await;
    for path in ["/", "/services/shop"] {
        let page = monitor.get(path).await;
        page.assert_has("usable 99.37 %, down 9 min</title>");
        page.assert_has(": no data</title>");
        page.assert_has(": up all the time</title>");
        page.assert_has("99.992 %");
        page.assert_has("of the 87 d seen");
    }
    let page = monitor.get("/services/shop").await;
    page.assert_has("overspent by");
    assert_eq!(page.text.matches("missed:").count(), 1, "30 days miss four nines, 90 days do not");
}

#[tokio::test]
async fn the_latency_chart_marks_fails_and_leaves_gaps_open_in_every_range() {
    let monitor = monitor().await;
    let page = monitor.get("/services/shop?back=1h").await;
    page.assert_has("95 % within 2");
    page.assert_has("nobody looked for 1");
    page.assert_has(" failed</title>");
    page.assert_has("objective 25 ms");
    let line = page.text.split(r#"class="line" d=""#).nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(line.matches('M').count(), 2, "one break, at the gap: {line}");
    for (back, grain) in [("24h", "the last 24 hours"), ("30d", "the last 30 days")] {
        let page = monitor.get(&format!("/services/shop?back={back}")).await;
        page.assert_has(grain);
        page.assert_has("2 failed");
    }
}
