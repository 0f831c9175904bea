//! Kinds that make more than one request of a message: one for each alert, or one for each peer.

use std::time::Duration;

use monitor::alert::SendError;
use testkit::{Response, Target};

use crate::{PATIENT, channel, messages, send, send_within};

const PAGERDUTY: &str = "pagerduty: { base_url: '{}', routing_key: '${SECRET}' }";
const OPSGENIE: &str = "opsgenie: { base_url: '{}', api_key: '${SECRET}' }";

#[tokio::test]
async fn a_digest_is_an_event_for_each_alert_and_a_repeat_changes_nothing() {
    for settings in [PAGERDUTY, OPSGENIE] {
        let target = Target::ok("ok");
        let settings = settings.replace("{}", &target.url(""));
        send(&settings, &messages::digest()).await.unwrap();
        send(&settings, &messages::digest()).await.unwrap();
        let mut bodies: Vec<String> = target.requests().iter().map(testkit::Request::text).collect();
        assert_eq!(bodies.len(), 120);
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), 60, "{settings}");
    }
}

#[tokio::test]
async fn some_refused_alerts_are_named_and_a_passing_trouble_asks_for_another_try() {
    for settings in [PAGERDUTY, OPSGENIE] {
        let target = Target::respond_with(|request| {
            let is_bad = request.text().contains("service-7 is down");
            Response::new(if is_bad { 400 } else { 202 }, if is_bad { "no" } else { "yes" })
        });
        let accepted = send(&settings.replace("{}", &target.url("")), &messages::digest()).await.unwrap();
        let partly = "1 alerts were refused, such as 01940000-0000-7000-8000-000000000007: 400 Bad Request: no";
        assert_eq!(accepted.partly.as_deref(), Some(partly));
        let target = Target::respond_with(|request| {
            Response::new(if request.text().contains("service-7 is down") { 503 } else { 202 }, "")
        });
        let error = send(&settings.replace("{}", &target.url("")), &messages::digest()).await.unwrap_err();
        assert_eq!(error, SendError::Failed("503 Service Unavailable".to_owned()));
    }
}

fn peers(targets: &[&Target]) -> String {
    let urls: Vec<String> = targets.iter().map(|target| format!("'{}'", target.url(""))).collect();
    format!("alertmanager: {{ urls: [{}] }}", urls.join(", "))
}

#[tokio::test]
async fn one_peer_that_accepts_is_enough_and_the_others_are_named() {
    let (dead, good, refusing, silent) =
        (Target::refuse(), Target::ok(""), Target::answer(400, &[], "no"), Target::stall());
    let accepted = send(&peers(&[&dead, &good, &refusing, &silent]), &messages::page()).await.unwrap();
    let said = format!(
        "{}: Connection refused (os error 111); {}: 400 Bad Request: no; {}: no answer in time",
        dead.url(""),
        refusing.url(""),
        silent.url("")
    );
    assert_eq!((accepted.answer.as_str(), accepted.partly), ("200 OK", Some(said)));
    assert_eq!(good.requests().len(), 1);
}

#[tokio::test]
async fn without_a_peer_that_accepts_the_best_hope_counts() {
    let refusing = Target::answer(400, &[], "no");
    let busy = Target::answer(429, &[("retry-after", "9")], "later");
    let later = Target::answer(429, &[("retry-after", "99")], "later");
    let failing = Target::answer(500, &[], "oops");
    let told = async |targets: &[&Target]| send(&peers(targets), &messages::page()).await.unwrap_err();
    assert!(matches!(told(&[&refusing, &refusing]).await, SendError::Refused(_)));
    assert!(matches!(told(&[&refusing, &failing]).await, SendError::Failed(_)));
    let nine = Duration::from_secs(9);
    assert!(matches!(told(&[&refusing, &later, &busy]).await, SendError::Busy { after, .. } if after == nine));
    assert!(matches!(told(&[&busy, &failing]).await, SendError::Failed(_)));
}

#[tokio::test]
async fn an_alertmanager_is_told_again_every_minute_and_others_are_not() {
    let settings = channel(&peers(&[&Target::refuse()]));
    assert_eq!(settings.channel.repeat_every(), Some(Duration::from_secs(60)));
    assert_eq!(channel("slack: { url: 'http://127.0.0.1/x' }").channel.repeat_every(), None);
}

#[tokio::test]
async fn telegram_says_in_its_body_how_long_to_wait() {
    let body = r#"{"ok": false, "error_code": 429, "parameters": {"retry_after": 35}}"#;
    let target = Target::answer(429, &[], body);
    let settings = format!("telegram: {{ base_url: '{}', bot_token: '${{SECRET}}', chat_id: a }}", target.url(""));
    let error = send_within(PATIENT, &channel(&settings), &messages::page()).await.unwrap().unwrap_err();
    assert!(matches!(error, SendError::Busy { after, .. } if after == Duration::from_secs(35)), "{error:?}");
}
