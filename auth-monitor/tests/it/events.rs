//! What happened in sign-in: attacks on the real platform, and streams that are not what they should be.

use monitor::probe::{Outcome, ReasonCode};
use serde_json::{Value, json};
use testkit::{Response, Target};

use crate::platform::Platform;
use crate::{Check, LIMIT};

fn reason(observation: &monitor::Observation) -> (ReasonCode, String) {
    match &observation.outcome {
        Outcome::Fail(reason) | Outcome::Unknown(reason) => (reason.code, reason.text.clone()),
        Outcome::Pass => panic!("{observation:?}"),
    }
}

/// Fails to sign in, from an address that a proxy of the platform's tells.
async fn fail(platform: &Platform, email: &str, from: &str) {
    let body = json!({ "email": email, "password": "a wrong password" }).to_string();
    let request = hyper::Request::post(platform.url() + "/auth/login")
        .header("content-type", "application/json")
        .header("x-forwarded-for", from)
        .body(body.into());
    kit::http::get(request.unwrap(), LIMIT, 65_536).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_on_the_real_platform_is_told_while_it_lasts_and_known_after_a_restart() {
    let platform = Platform::start().await;
    let check = Check::new(&format!("auth-events: {{ url: '{}', api_key: '${{KEY}}' }}", platform.url()));
    check.passes().await;
    for number in 0..25 {
        fail(&platform, &format!("person-{number}@example.com"), "192.0.2.7").await;
    }
    let told = "credential stuffing: 25 accounts failed from 192.0.2.7 in 5 min";
    assert_eq!(reason(&check.ask().await), (ReasonCode::Reported, told.to_owned()));
    assert_eq!(reason(&check.ask().await).1, told, "it lasts, though there is nothing new");
    let again = check.again();
    assert_eq!(reason(&again.ask().await).1, told, "the newest hour is read again");
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_is_a_fail_and_without_a_key_nobody_asks() {
    let html = Target::answer(200, &[("content-type", "text/html")], "<html>");
    let check =
        |target: &Target| Check::new(&format!("auth-events: {{ url: '{}', api_key: '${{KEY}}' }}", target.url("")));
    assert_eq!(reason(&check(&html).ask().await).1, "status 200, but no JSON: it is text/html");
    let wrong =
        Target::ok(r#"{"events": [{"number": 1, "at": "2026-01-02T03:04:05Z", "kind": "login"}, {"number": 2}]}"#);
    assert_eq!(reason(&check(&wrong).ask().await).1, "json events[1].at is missing or wrong");
    assert_eq!(reason(&check(&Target::refuse()).ask().await).0, ReasonCode::Refused);
    let silent = Check::new(&format!("auth-events: {{ url: '{}', api_key: '${{NOTHING:-}}' }}", html.url("")));
    let (code, text) = reason(&silent.ask().await);
    assert_eq!((code, text.contains("set API_KEY")), (ReasonCode::Local, true), "{text}");
}

/// Events that failed a moment ago, of accounts of their own and from one address.
fn failed(numbers: std::ops::RangeInclusive<i64>) -> Vec<Value> {
    let at = jiff::Timestamp::now().to_string();
    let event = |number| json!({ "number": number, "at": at, "kind": "login_failed", "email": format!("{number}@example.com"), "address": "2001:db8::1" });
    numbers.map(event).collect()
}

/// Tells these events in pages, as platform-services does.
fn stream(events: impl Fn() -> Vec<Value> + Send + Sync + 'static) -> Target {
    Target::respond_with(move |request| {
        let query =
            |key: &str| request.path.split(['?', '&']).find_map(|pair| pair.strip_prefix(key)?.parse::<i64>().ok());
        let (after, limit) = (query("after=").unwrap(), query("limit=").unwrap());
        let page = events().into_iter().filter(|event| event["number"].as_i64() > Some(after));
        let page: Vec<Value> = page.take(limit.try_into().unwrap()).collect();
        Response::new(200, json!({ "events": page }).to_string())
    })
}

#[tokio::test]
async fn a_long_stream_is_read_in_bounded_pieces_and_then_judged() {
    let target = stream(|| failed(1..=12_000));
    let check = Check::new(&format!("auth-events: {{ url: '{}', api_key: '${{KEY}}' }}", target.url("")));
    let (code, text) = reason(&check.ask().await);
    assert_eq!((code, text.starts_with("events of before are still being read")), (ReasonCode::Local, true), "{text}");
    assert_eq!(target.requests().len(), 10);
    let (_, text) = reason(&check.ask().await);
    assert_eq!(text, "credential stuffing: 1000 accounts failed from 2001:db8::/64 in 5 min");
}

#[tokio::test]
async fn a_stream_that_begins_anew_is_read_anew() {
    let is_new = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = is_new.clone();
    let target =
        stream(
            move || if told.load(std::sync::atomic::Ordering::Relaxed) { failed(1..=21) } else { failed(900..=910) },
        );
    let check = Check::new(&format!("auth-events: {{ url: '{}', api_key: '${{KEY}}' }}", target.url("")));
    check.passes().await;
    is_new.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(reason(&check.ask().await).1, "credential stuffing: 21 accounts failed from 2001:db8::/64 in 5 min");
}

#[tokio::test]
async fn watchers_who_fail_on_purpose_attack_nobody() {
    let target = stream(|| {
        let mut events = failed(1..=500);
        events.iter_mut().for_each(|event| event["realm"] = json!("watch"));
        events
    });
    let check = Check::new(&format!("auth-events: {{ url: '{}', api_key: '${{KEY}}' }}", target.url("")));
    check.passes().await;
}
