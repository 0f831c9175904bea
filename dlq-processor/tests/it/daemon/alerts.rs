//! What the monitor is told of besides letters: what keeps them from being taken in and redriven.

use std::collections::BTreeSet;

use dlq_processor::ledger::{Ledger, Told};
use serde_json::{Value, json};
use testkit::{Target, eventually};

use super::machine::{LIMIT, Machine, QUEUE};

/// Every alert of this name that the monitor was told, in order.
fn told(monitor: &Target, name: &str) -> Vec<Value> {
    let posts = monitor.requests().into_iter();
    let alerts = posts.filter_map(|request| serde_json::from_slice::<Vec<Value>>(&request.body).ok());
    alerts.flatten().filter(|alert| alert["labels"]["alertname"] == name).collect()
}

/// Waits until the monitor is told of an alert of this name that ended, or of one that has not.
async fn until_told(monitor: &Target, name: &str, has_ended: bool) -> Value {
    eventually(&format!("{name} to be told"), LIMIT, async || {
        told(monitor, name).into_iter().find(|alert| alert["endsAt"].is_null() != has_ended)
    })
    .await
}

async fn ledger(machine: &Machine) -> Ledger {
    let folder = machine.folder.path().join("data");
    std::fs::create_dir_all(&folder).unwrap();
    Ledger::open(&kit::db::Source::Sqlite(folder.join("ledger.db"))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_were_missed_are_a_page_with_how_many() {
    let monitor = Target::ok("");
    let mut machine = Machine::start(&format!("monitor: {{ url: \"{}\" }}\n", monitor.url(""))).await;
    machine.throw_away(5);
    machine.fail(1, "first").await;
    let daemon = machine.daemon().await;
    eventually("it to be written how far was heard", LIMIT, async || {
        let ledger = ledger(&machine).await;
        let heard = ledger.heard("jobs").await.ok()?;
        ledger.close().await;
        (!heard.is_empty() && !machine.letters().await.is_empty()).then_some(())
    })
    .await;
    daemon.kill();
    assert_eq!(told(&monitor, "DeadLettersMissed"), Vec::<Value>::new());
    machine.fail(30, "boom").await;
    eventually("all to fail and most to be thrown away", LIMIT, async || {
        let events = redis::cmd("XLEN").arg(format!("bull:{QUEUE}:events")).to_owned();
        (machine.bull.query::<u64>(&events).await >= 31 * 3).then_some(())
    })
    .await;
    let daemon = machine.daemon().await;
    let alert = until_told(&monitor, "DeadLettersMissed", false).await;
    let labels = ["severity", "service", "of_source", "queue"].map(|label| alert["labels"][label].as_str().unwrap());
    assert_eq!(labels, ["page", "dlq-processor", "jobs", QUEUE]);
    eventually("it to say how many", LIMIT, async || {
        let missed = machine.metric("dlq_capture_missed_total", "").await.filter(|missed| *missed >= 20.0)?;
        let said = format!("{missed} failed jobs of {QUEUE} (jobs) were removed within 15m before");
        let monitor = told(&monitor, "DeadLettersMissed");
        monitor.last()?["annotations"]["description"].as_str()?.starts_with(&said).then_some(())
    })
    .await;
    // Whoever comes after it does not know when the last was missed.
    daemon.kill();
    machine.configure(&format!("monitor: {{ url: \"{}\" }}\nmax_ledger: 1MiB\n", monitor.url("")));
    let _daemon = machine.daemon().await;
    big_failures(&machine).await;
    until_told(&monitor, "DeadLetterLedgerFull", false).await;
    let ended = told(&monitor, "DeadLettersMissed").into_iter().filter(|alert| !alert["endsAt"].is_null());
    assert_eq!(ended.count(), 0);
}

/// Fails jobs that hold more than a mebibyte together.
async fn big_failures(machine: &Machine) {
    machine.does(json!({ "throws": "boom" })).await;
    machine.work().await;
    for number in 0..4 {
        let data = json!({ "number": number, "text": "x".repeat(400_000) });
        machine.bull.add(QUEUE, json!({ "name": "job", "data": data, "opts": {} })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_full_is_a_page_until_it_may_be_larger() {
    let monitor = Target::ok("");
    let config = format!("monitor: {{ url: \"{}\" }}\n", monitor.url(""));
    let machine = Machine::start(&format!("{config}max_ledger: 1MiB\n")).await;
    let daemon = machine.daemon().await;
    big_failures(&machine).await;
    eventually("a page", LIMIT, async || {
        let alerts = told(&monitor, "DeadLetterLedgerFull");
        let alert = alerts.into_iter().find(|alert| alert["labels"]["severity"] == "page")?;
        let summary = alert["annotations"]["summary"].as_str()?;
        assert_eq!(summary, "the ledger is full: dead letters are not taken in");
        alert["endsAt"].is_null().then_some(())
    })
    .await;
    assert_eq!(machine.metric("dlq_ledger_limit_bytes", "").await, Some(f64::from(1 << 20)));
    machine.bull.add(QUEUE, json!({ "name": "job", "data": {}, "opts": {} })).await;
    eventually("what it does not take to wait", LIMIT, async || {
        machine.metric("dlq_capture_overdue", "").await.filter(|overdue| *overdue > 0.0)
    })
    .await;
    daemon.kill();
    machine.configure(&config);
    let _daemon = machine.daemon().await;
    eventually("it to be over", LIMIT, async || {
        let alerts = told(&monitor, "DeadLetterLedgerFull");
        let mut ended = alerts.into_iter().filter(|alert| !alert["endsAt"].is_null());
        ended.find(|alert| alert["labels"]["severity"] == "page").map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_many_jobs_die_and_that_trying_again_does_not_help_is_told() {
    let monitor = Target::ok("");
    let acts = "queues: [{ queue: '*', mode: act }]\nretries: { transient: { base: 1s, cap: 1s } }\noperator_token_file: token";
    let machine = Machine::start(&format!("monitor: {{ url: \"{}\" }}\n{acts}\n", monitor.url(""))).await;
    machine.fail(51, "connect ECONNREFUSED 127.0.0.1:25").await;
    let _daemon = machine.daemon().await;
    let alert = until_told(&monitor, "DeadLettersMany", false).await;
    let labels = ["severity", "service", "of_source", "queue"].map(|label| alert["labels"][label].as_str().unwrap());
    assert_eq!(labels, ["ticket", "dlq-processor", "jobs", QUEUE]);
    assert_eq!(told(&monitor, "DeadLettersRecur"), Vec::<Value>::new());
    machine.close_breaker().await;
    machine.work().await;
    let alert = until_told(&monitor, "DeadLettersRecur", false).await;
    let said = alert["annotations"]["description"].as_str().unwrap();
    assert!(
        said.contains(&format!("letters of {QUEUE} (jobs) that were put back within 15m have failed again")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_source_is_down_is_taken_back_by_whoever_acts_later_and_only_when_it_answers() {
    let monitor = Target::ok("");
    let mut machine = Machine::start(&format!("monitor: {{ url: \"{}\" }}\n", monitor.url(""))).await;
    machine.bull.redis.end();
    let before = ledger(&machine).await;
    let of_key = |key: &str| Told { key: key.to_owned(), service: None, severity: None };
    before.tell(&of_key("down/jobs")).await.unwrap();
    // This one is not read any more: with its end it is known that the daemon has looked.
    before.tell(&of_key("down/another")).await.unwrap();
    before.close().await;
    let _daemon = machine.daemon().await;
    let of = |source: &'static str| {
        let alerts = told(&monitor, "DeadLetterSourceDown").into_iter();
        alerts.filter(move |alert| alert["labels"]["of_source"] == source && !alert["endsAt"].is_null()).count()
    };
    eventually("what nobody reads to be over", LIMIT, async || (of("another") == 1).then_some(())).await;
    eventually("it to be away", LIMIT, async || {
        machine.metric("health_check_status", "source jobs").await.filter(|works| *works == 0.0)
    })
    .await;
    assert_eq!(of("jobs"), 0);
    machine.bull.redis.begin().await;
    eventually("it to be over", LIMIT, async || (of("jobs") == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_lost_the_lease_and_gets_it_back_goes_on_telling() {
    let monitor = Target::ok("");
    let machine = Machine::start(&format!("monitor: {{ url: \"{}\" }}\n", monitor.url(""))).await;
    machine.fail(1, "no such user").await;
    let mut daemon = machine.daemon().await;
    until_told(&monitor, "DeadLetters", false).await;
    // What has its file locked takes it back; until then it may write nothing.
    let ledger = ledger(&machine).await;
    ledger.lease("somebody else", true).await.unwrap().unwrap();
    machine.fail(1, "ValidationError: no address").await;
    eventually("another alert", LIMIT, async || {
        assert!(daemon.runs());
        let of = |alert: Value| alert["labels"]["fingerprint"].as_str().map(str::to_owned);
        let known: BTreeSet<_> = told(&monitor, "DeadLetters").into_iter().filter_map(of).collect();
        (known.len() == 2).then_some(())
    })
    .await;
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_with_many_words_is_told_in_few_and_keeps_no_other_alert_from_being_told_and_taken_back() {
    let monitor = Target::ok("");
    let config = format!("monitor: {{ url: \"{}\" }}\noperator_token_file: token\n", monitor.url(""));
    let machine = Machine::start(&config).await;
    let _daemon = machine.daemon().await;
    machine.fail(1, &"it went wrong \u{7}".repeat(600)).await;
    let of_words = |words: &'static str, has_ended: bool| {
        let alerts = told(&monitor, "DeadLetters").into_iter();
        let mut alerts = alerts.filter(move |alert| alert["endsAt"].is_null() != has_ended);
        alerts.find(|alert| alert["annotations"]["description"].as_str().unwrap().starts_with(words))
    };
    let alert = eventually("the long one to be told", LIMIT, async || of_words("it went wrong", false)).await;
    assert!(alert["annotations"]["description"].as_str().unwrap().chars().count() < 600, "{alert}");
    machine.fail(1, "no such user").await;
    eventually("the other one to be told", LIMIT, async || of_words("no such user", false)).await;
    let letters = machine.letters().await;
    let id = &letters.iter().find(|letter| letter.message == "no such user").unwrap().id;
    let body = json!({ "reason": "she has left" });
    let answer = machine.ask_as_operator("POST", &format!("/api/v1/letters/{id}/discard"), "1", &body).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    eventually("it to be over", LIMIT, async || of_words("no such user", true)).await;
    assert!(of_words("it went wrong", true).is_none());
}
