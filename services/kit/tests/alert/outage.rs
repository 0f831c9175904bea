//! A monitor that is away or busy: nothing is lost, order is kept, and after two minutes the fallback hears of it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use kit::alert::{AlertSettings, Fallback};
use serde_json::{Value, json};
use testkit::{Target, eventually, free_port};
use tokio::net::TcpListener;

use crate::bench::{Bench, LIMIT, MINUTE, alert, heard, labels, monitor, settings, status, told};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_monitor_that_comes_back_hears_everything_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let bench = Bench::start(folder.path(), settings(&format!("http://127.0.0.1:{port}"))).await;
    let users = ["ann", "bob", "cid"];
    for user in users {
        bench.client.fire(&alert(user)).await.unwrap();
    }
    bench.client.resolve("SignInFails", &labels("ann")).await.unwrap();
    bench.passing("some tries to fail", SECOND, || bench.posts("retried") >= 3.0).await;
    bench.client.resolve("SignInFails", &labels("bob")).await.unwrap();
    bench.client.fire(&alert("ann")).await.unwrap();
    eventually("three alerts to be pending", LIMIT, async || {
        (bench.metric("alert_client_pending") == 3.0).then_some(())
    })
    .await;

    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let take = async move |body: bytes::Bytes| log.lock().unwrap().push(told(&body));
    let router = Router::new().route("/api/v2/alerts", post(take));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    bench.passing("the monitor to hear all", SECOND, || seen.lock().unwrap().len() >= 6).await;
    let of = |user: &str| -> Vec<String> {
        seen.lock().unwrap().iter().filter(|told| told.ends_with(user)).cloned().collect()
    };
    assert_eq!(
        (of("ann"), of("bob"), of("cid")[0].as_str()),
        (
            vec!["+ann".to_owned(), "-ann".to_owned(), "+ann".to_owned()],
            vec!["+bob".to_owned(), "-bob".to_owned()],
            "+cid"
        )
    );
    eventually("nothing to be pending", LIMIT, async || (bench.metric("alert_client_pending") == 0.0).then_some(()))
        .await;
    server.abort();
}

#[tokio::test]
async fn a_busy_monitor_is_left_alone_for_as_long_as_it_asks() {
    for code in [429, 503] {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::answer(code, &[("retry-after", "30")], "");
        let bench = Bench::start(folder.path(), settings(&target.url(""))).await;
        bench.client.fire(&alert("ann")).await.unwrap();
        eventually("the first try", LIMIT, async || (bench.posts("retried") == 1.0).then_some(())).await;
        bench.client.fire(&alert("bob")).await.unwrap();
        bench.settled().await;
        bench.time.pass(SECOND * 29);
        bench.settled().await;
        assert_eq!((heard(&target).len(), bench.stats().await.scheduled), (1, 2), "for any alert");
        target.set_status(200);
        bench.time.pass(SECOND);
        eventually("both", LIMIT, async || (bench.posts("accepted") == 2.0).then_some(())).await;
        assert_eq!(bench.stats().await.dead, 0);
    }
}

#[tokio::test]
async fn a_monitor_that_says_nothing_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::stall();
    let settings = AlertSettings { timeout: Duration::from_millis(100), ..settings(&target.url("")) };
    let bench = Bench::start(folder.path(), settings).await;
    bench.client.fire(&alert("ann")).await.unwrap();
    eventually("the first try to end", LIMIT, async || (bench.posts("retried") == 1.0).then_some(())).await;
    bench.settled().await;
    assert_eq!((bench.stats().await.scheduled, bench.metric("alert_client_pending")), (1, 1.0));
}

#[tokio::test]
async fn one_alert_that_the_monitor_stumbles_over_does_not_hold_up_others() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::respond_with(|request| {
        testkit::Response::new(if request.text().contains("ann cannot sign in") { 500 } else { 200 }, "")
    });
    let bench = Bench::start(folder.path(), settings(&target.url(""))).await;
    bench.client.fire(&alert("ann")).await.unwrap();
    eventually("the first try", LIMIT, async || (bench.posts("retried") == 1.0).then_some(())).await;
    bench.client.fire(&alert("bob")).await.unwrap();
    eventually("the other", LIMIT, async || (bench.posts("accepted") == 1.0).then_some(())).await;
    bench.passing("further tries", SECOND, || bench.posts("retried") >= 3.0).await;
    assert_eq!(bench.stats().await.dead, 0);
}

fn with_fallback(monitor: &Target, fallback: &Target) -> AlertSettings {
    let url = fallback.url("/hook/s3cret-path").parse().unwrap();
    let fallback = Some(Fallback { url, secret: Some("s3cret".to_owned().into()) });
    AlertSettings { fallback, ..settings(&monitor.url("")) }
}

#[tokio::test]
async fn after_two_minutes_the_fallback_hears_it_once_and_the_monitor_still_later() {
    let folder = tempfile::tempdir().unwrap();
    let (code, fallback_code) = (status(503), status(500));
    let (target, fallback) = (monitor(&code), monitor(&fallback_code));
    let bench = Bench::start(folder.path(), with_fallback(&target, &fallback)).await;
    bench.client.fire(&alert("ann")).await.unwrap();
    eventually("the first try", LIMIT, async || (bench.posts("retried") == 1.0).then_some(())).await;
    bench.time.pass(MINUTE * 2 - Duration::from_millis(1));
    bench.settled().await;
    assert_eq!(fallback.requests(), [], "a millisecond too early");
    bench.time.pass(Duration::from_millis(1));
    bench.passing("the fallback to be asked twice", SECOND * 10, || fallback.requests().len() >= 2).await;
    fallback_code.store(204, Ordering::SeqCst);
    bench.passing("the fallback to accept", SECOND * 10, || bench.metric("alert_client_fallback_total") == 1.0).await;

    let asked = fallback.requests();
    let retries = bench.posts("retried");
    bench.passing("more tries at the monitor", SECOND * 10, || bench.posts("retried") >= retries + 3.0).await;
    assert_eq!(fallback.requests().len(), asked.len(), "once it has accepted, it is not told again");
    let keys: Vec<_> = asked.iter().map(|request| request.header("idempotency-key").unwrap()).collect();
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 36), "{keys:?}");
    assert_eq!(asked[0].path, "/hook/s3cret-path");
    assert_eq!(asked[0].header("authorization"), Some("Bearer s3cret"));
    let expected = json!({
        "source": "auth-monitor", "status": "firing", "via": "fallback",
        "labels": {
            "alertname": "SignInFails", "service": "platform-services", "severity": "page",
            "source": "auth-monitor", "user": "ann",
        },
        "annotations": { "summary": "ann cannot sign in", "description": "three tries" },
        "startsAt": "2023-11-14T22:00:00Z", "endsAt": null,
    });
    assert_eq!(serde_json::from_slice::<Value>(&asked[0].body).unwrap(), expected);
    assert_eq!(bench.metric("alert_client_pending"), 1.0);
    code.store(200, Ordering::SeqCst);
    bench.passing("the monitor to accept", SECOND * 10, || bench.posts("accepted") >= 1.0).await;
    assert_eq!(bench.metric("alert_client_fallback_total"), 1.0);
}

#[tokio::test]
async fn the_fallback_hears_of_the_end_too_and_nothing_that_the_monitor_heard() {
    let folder = tempfile::tempdir().unwrap();
    let code = status(200);
    let (target, fallback) = (monitor(&code), Target::ok(""));
    let bench = Bench::start(folder.path(), with_fallback(&target, &fallback)).await;
    bench.client.fire(&alert("ann")).await.unwrap();
    eventually("the monitor to accept", LIMIT, async || (bench.posts("accepted") == 1.0).then_some(())).await;
    code.store(503, Ordering::SeqCst);
    bench.passing("the repeats to fail for long", MINUTE, || bench.posts("retried") >= 4.0).await;
    assert_eq!(fallback.requests(), [], "a repeat is no news");
    bench.client.resolve("SignInFails", &labels("ann")).await.unwrap();
    bench.client.fire(&alert("bob")).await.unwrap();
    bench.passing("the fallback to hear both", SECOND * 10, || fallback.requests().len() == 2).await;
    let mut told = heard(&fallback);
    told.sort();
    assert_eq!(told, ["+bob", "-ann"]);
}

#[tokio::test]
async fn a_client_that_starts_with_old_news_does_not_wait_two_minutes_more() {
    let folder = tempfile::tempdir().unwrap();
    let code: Arc<AtomicU16> = status(503);
    let (target, fallback) = (monitor(&code), Target::ok(""));
    let killed = Bench::open(folder.path(), with_fallback(&target, &fallback)).await;
    killed.client.fire(&alert("ann")).await.unwrap();
    let time = killed.time.clone();
    std::mem::forget(killed);
    time.pass(MINUTE * 3);
    let mut next = Bench::open_at(folder.path(), with_fallback(&target, &fallback), time).await;
    next.run();
    eventually("the fallback", LIMIT, async || (fallback.requests().len() == 1).then_some(())).await;
    assert_eq!(next.posts("retried"), 1.0, "the monitor was asked first");
}
