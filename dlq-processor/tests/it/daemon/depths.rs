//! What the daemon says of how much queues hold beside what is dead.

use serde_json::json;
use testkit::eventually;

use super::machine::{LIMIT, Machine, QUEUE};

/// Waiting and completed jobs of the queue, if both are said.
async fn depths(machine: &Machine) -> Option<[f64; 2]> {
    let metrics = machine.get("/metrics").await?;
    let value = |name: &str| {
        let series = format!("{name}{{queue=\"{QUEUE}\",source=\"jobs\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
    };
    Some([value("bullmq_queue_waiting")?, value("bullmq_queue_completed")?])
}

async fn until_it_says(machine: &Machine, what: &str, wanted: Option<[f64; 2]>) {
    eventually(what, LIMIT, async || {
        machine.get("/metrics").await?;
        (depths(machine).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_what_was_done_is_counted_as_long_as_there_is_a_queue() {
    let machine = Machine::start("").await;
    machine.does(json!({})).await;
    let job = |opts: serde_json::Value| json!({ "name": "job", "data": {}, "opts": opts });
    let jobs = [job(json!({})), job(json!({ "priority": 2 })), job(json!({ "delay": 3_600_000 }))];
    machine.bull.ask(json!({ "call": "add", "queue": QUEUE, "jobs": jobs })).await;
    let _daemon = machine.daemon().await;
    until_it_says(&machine, "two to wait, and none that is not due", Some([2.0, 0.0])).await;
    machine.bull.ask(json!({ "call": "pause", "queue": QUEUE })).await;
    machine.bull.ask(json!({ "call": "add", "queue": QUEUE, "jobs": [job(json!({}))] })).await;
    until_it_says(&machine, "what waits in a paused queue", Some([3.0, 0.0])).await;
    machine.bull.ask(json!({ "call": "resume", "queue": QUEUE })).await;
    machine.bull.work(QUEUE).await;
    until_it_says(&machine, "all that was due to be done", Some([0.0, 3.0])).await;
    machine.bull.ask(json!({ "call": "rest", "queue": QUEUE })).await;
    machine.bull.query::<()>(&redis::cmd("FLUSHALL")).await;
    until_it_says(&machine, "nothing of a queue that is gone", None).await;
}
