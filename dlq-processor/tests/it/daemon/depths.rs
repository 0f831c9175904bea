//! What the daemon says of how much queues hold beside what is dead.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testkit::eventually;

use super::machine::{LIMIT, Machine, QUEUE};

/// What is said of the queue.
async fn said(machine: &Machine, name: &str) -> Option<f64> {
    let metrics = machine.get("/metrics").await?;
    let series = format!("{name}{{queue=\"{QUEUE}\",source=\"jobs\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

/// Waiting, held and completed jobs of the queue, if all are said.
async fn depths(machine: &Machine) -> Option<[f64; 3]> {
    let of = async |what: &str| said(machine, &format!("bullmq_queue_{what}")).await;
    Some([of("waiting").await?, of("active").await?, of("completed").await?])
}

async fn until_it_says(machine: &Machine, what: &str, wanted: Option<[f64; 3]>) {
    eventually(what, LIMIT, async || {
        machine.get("/metrics").await?;
        (depths(machine).await == wanted).then_some(())
    })
    .await;
}

async fn add(machine: &Machine, opts: &[Value]) -> Vec<String> {
    let jobs: Vec<Value> = opts.iter().map(|opts| json!({ "name": "job", "data": {}, "opts": opts })).collect();
    let ids = machine.bull.ask(json!({ "call": "add", "queue": QUEUE, "jobs": jobs })).await;
    serde_json::from_value(ids).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_what_was_done_is_counted_as_long_as_there_is_a_queue() {
    let machine = Machine::start("").await;
    machine.does(json!({})).await;
    add(&machine, &[json!({}), json!({ "priority": 2 }), json!({ "delay": 3_600_000 })]).await;
    let _daemon = machine.daemon().await;
    until_it_says(&machine, "two to wait, and none that is not due", Some([2.0, 0.0, 0.0])).await;
    machine.bull.ask(json!({ "call": "pause", "queue": QUEUE })).await;
    add(&machine, &[json!({})]).await;
    until_it_says(&machine, "nothing to wait for a worker while it is paused", Some([0.0; 3])).await;
    machine.bull.ask(json!({ "call": "resume", "queue": QUEUE })).await;
    until_it_says(&machine, "all to wait again", Some([3.0, 0.0, 0.0])).await;
    assert_eq!(said(&machine, "bullmq_queue_newest_done_timestamp_seconds").await, Some(0.0));
    machine.bull.work(QUEUE).await;
    until_it_says(&machine, "all that was due to be done", Some([0.0, 0.0, 3.0])).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let since_secs = now.as_secs_f64() - said(&machine, "bullmq_queue_newest_done_timestamp_seconds").await.unwrap();
    assert!((0.0..LIMIT.as_secs_f64()).contains(&since_secs), "{since_secs}");
    machine.bull.ask(json!({ "call": "rest", "queue": QUEUE })).await;
    machine.bull.query::<()>(&redis::cmd("FLUSHALL")).await;
    until_it_says(&machine, "nothing of a queue that is gone", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_worker_died_is_held_by_nobody() {
    let machine = Machine::start("").await;
    machine.does(json!({ "waits": true })).await;
    let _daemon = machine.daemon().await;
    machine.bull.work(QUEUE).await;
    let ids = add(&machine, &[json!({})]).await;
    until_it_says(&machine, "one to be held", Some([0.0, 1.0, 0.0])).await;
    // As when it runs out: this worker cannot take it again.
    machine.bull.query::<()>(redis::cmd("DEL").arg(format!("bull:{QUEUE}:{}:lock", ids[0]))).await;
    until_it_says(&machine, "none to be held", Some([0.0; 3])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_of_queues_while_their_redis_is_away() {
    let mut machine = Machine::start("").await;
    add(&machine, &[json!({})]).await;
    let _daemon = machine.daemon().await;
    until_it_says(&machine, "one to wait", Some([1.0, 0.0, 0.0])).await;
    machine.bull.redis.end();
    until_it_says(&machine, "nothing", None).await;
    assert_eq!(machine.metric("dlq_source_up", "jobs").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dead_is_taken_in_though_queues_cannot_be_counted() {
    let machine = Machine::start("").await;
    machine.bull.query::<()>(redis::cmd("SET").arg(format!("bull:{QUEUE}:completed")).arg("no set")).await;
    machine.fail(1, "no such user").await;
    let _daemon = machine.daemon().await;
    let is_taken_in = async || (machine.metric("dlq_captured_total", QUEUE).await? == 1.0).then_some(());
    eventually("it to be taken in", LIMIT, is_taken_in).await;
    let is_up = async || (machine.metric("dlq_source_up", "jobs").await? == 1.0).then_some(());
    eventually("the source to be up", LIMIT, is_up).await;
    assert_eq!(depths(&machine).await, None);
}
