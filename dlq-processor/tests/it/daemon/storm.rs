//! A destination that is down, and a job that never succeeds.

use serde_json::{Value, json};
use testkit::{at_scale, eventually};

use super::machine::{LIMIT, Machine, QUEUE};

/// Of a destination that nobody has seen work, so many are redriven in vain, at most.
const IN_VAIN: f64 = 20.0;

#[tokio::test(flavor = "multi_thread")]
async fn while_a_destination_is_down_few_are_redriven_in_vain_and_afterwards_all_are_done() {
    // As fast as it is let: no rate is what keeps the figure low.
    let config = "queues: [{ queue: '*', mode: act, rate: 1000/s, budget: off }]\nrate: 1000/s\n\
        operator_token_file: token\nretries: { transient: { base: 1s, cap: 2s, tries: 100 } }\n";
    let machine = Machine::start(config).await;
    let ids = machine.fail(at_scale(900, 50_000), "connect ECONNREFUSED 127.0.0.1:25").await;
    let _daemon = machine.daemon().await;
    let is_open = async || machine.metric("dlq_breaker_open", "").await.filter(|open| *open == 1.0).map(drop);
    eventually("the breaker to open", LIMIT, is_open).await;
    let redriven = async || machine.metric("dlq_redrive_total", "").await.unwrap_or_default();
    let in_vain = redriven().await;
    assert!(in_vain <= IN_VAIN, "{in_vain} were redriven in vain");
    eventually("all to be taken in", LIMIT, async || {
        machine.metric("dlq_captured_total", "").await.filter(|taken| *taken >= ids.len() as f64).map(drop)
    })
    .await;
    machine.does(json!({})).await;
    // Day by day a person says that it is over; else canaries find it out, and say so themselves.
    if at_scale(true, false) {
        machine.close_breaker().await;
    }
    eventually("all to be done", LIMIT * at_scale(1, 100), async || {
        let letters = machine.letters().await;
        (letters.iter().filter(|letter| letter.state == "resolved").count() == ids.len()).then_some(())
    })
    .await;
    assert_eq!(machine.metric("dlq_breaker_open", "").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_never_succeeds_is_redriven_as_often_as_it_may_be_and_then_somebody_is_told() {
    let config = "queues: [{ queue: '*', mode: act, rate: 100/s, budget: off }]\n\
        retries: { transient: { base: 1s, cap: 1s, tries: 2 } }\n";
    let machine = Machine::start(config).await;
    let ids = machine.fail(1, "connect ECONNREFUSED 127.0.0.1:25").await;
    let _daemon = machine.daemon().await;
    let parked = eventually("it to wait for somebody", LIMIT, async || {
        machine.letters().await.into_iter().find(|letter| letter.state == "parked")
    })
    .await;
    assert_eq!((parked.reason.as_str(), parked.redrives), ("tries_spent", 2));
    assert_eq!(machine.runs(&ids[0]).await, 3, "once by itself, and twice again");
    let shown: Value =
        serde_json::from_str(&machine.get(&format!("/api/v1/letters/{}", parked.id)).await.unwrap()).unwrap();
    assert_eq!(shown["letter"]["state"], "parked");
    let states: Vec<String> = machine.letters().await.into_iter().map(|letter| letter.state).collect();
    assert_eq!(states, ["parked", "recurred", "recurred"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_too_much_is_asked_a_queue_is_redriven_into_more_slowly() {
    let machine = Machine::start("queues: [{ queue: '*', mode: act, rate: 20/s }]\n").await;
    machine.fail(1, "Request failed with status code 429").await;
    let _daemon = machine.daemon().await;
    let slowed_to = eventually("it to be slowed down", LIMIT, async || {
        let queues: Value = serde_json::from_str(&machine.get("/api/v1/queues").await?).ok()?;
        queues["sources"][0]["queues"]["mails"]["slowed_to"].as_f64()
    });
    let slowed_to = slowed_to.await;
    assert!((0.5..1.0).contains(&slowed_to), "{slowed_to}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_too_often_is_left_for_an_hour_while_others_go_on_unless_somebody_asks() {
    // Fewer in a row than open a breaker.
    let config = "queues: [{ queue: '*', mode: act, budget: off, max_in_vain: 2 }]\noperator_token_file: token\n\
        retries: { transient: { base: 4s, cap: 4s, jitter: equal, tries: 100 } }\n";
    let machine = Machine::start(config).await;
    let id = machine.fail(1, "connect ECONNREFUSED 127.0.0.1:25").await.remove(0);
    let daemon = machine.daemon().await;
    let put_off = async || {
        let letters = machine.letters().await;
        let waits = letters.into_iter().find(|letter| letter.state == "scheduled" && letter.job == id)?;
        let wait_ms = waits.due_at_ms? - waits.seen_at_ms;
        (wait_ms > 50 * 60 * 1000).then_some(waits)
    };
    let waits = eventually("it to be put off", LIMIT, put_off).await;
    let runs = machine.runs(&id).await;
    assert!((3..=5).contains(&runs), "{runs}: once by itself, and at least twice again");
    assert_eq!(machine.metric("dlq_fingerprints_capped", "").await, Some(1.0));
    assert_eq!(machine.metric("dlq_breaker_open", "").await, Some(0.0));
    daemon.kill();
    // Whoever acts next knows of it, too.
    let _daemon = machine.daemon().await;
    eventually("it to be capped", LIMIT, async || {
        let queues: Value = serde_json::from_str(&machine.get("/api/v1/queues").await?).ok()?;
        let capped = queues["sources"][0]["queues"][QUEUE]["capped"].as_array()?.clone();
        (capped.len() == 1 && capped[0]["fingerprint"] == waits.fingerprint.as_str()).then_some(())
    })
    .await;

    machine.bull.set(&format!("does:{QUEUE}:other"), &json!({ "throws_first": "read ECONNREFUSED" }).to_string()).await;
    let others = json!([{ "name": "other", "data": {}, "opts": {} }]);
    let other = machine.bull.ask(json!({ "call": "add", "queue": QUEUE, "jobs": others })).await;
    let other = other[0].as_str().unwrap().to_owned();
    eventually("another to be done", LIMIT, async || {
        let letters = machine.letters().await;
        letters.iter().any(|letter| letter.job == other && letter.state == "resolved").then_some(())
    })
    .await;
    assert_eq!(machine.runs(&id).await, runs, "nobody asked");
    machine.does(json!({})).await;
    machine.redrive(&waits.id, "the mail server is back").await;
    eventually("it to be done", LIMIT, async || {
        let letters = machine.letters().await;
        letters.iter().any(|letter| letter.id == waits.id && letter.state == "resolved").then_some(())
    })
    .await;
    assert_eq!(machine.runs(&id).await, runs + 1);
}
