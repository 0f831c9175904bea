//! A worker that sleeps until it is woken takes what is put back.

use std::time::Duration;

use data_encoding::BASE64;
use dlq_processor::source::Put;
use serde_json::{Value, json};
use testkit::eventually;

use super::{Bull, LIMIT};

/// Workers of BullMQ 4 and 5.0 look by themselves after ten seconds, whatever they are told; later ones after an hour here.
const BEFORE_IT_LOOKS: Duration = Duration::from_secs(8);

in_every_version! {
    a_worker_that_sleeps_is_woken: by_a_plain_job, by_one_with_a_priority, by_the_last_in
}

async fn by_a_plain_job(bull: &Bull) {
    wakes(bull, "plain", json!({})).await;
}

async fn by_one_with_a_priority(bull: &Bull) {
    wakes(bull, "priority", json!({"priority": 3})).await;
}

async fn by_the_last_in(bull: &Bull) {
    wakes(bull, "lifo", json!({"lifo": true})).await;
}

async fn wakes(bull: &Bull, queue: &'static str, opts: Value) {
    let job = bull.failed(queue, json!(1), opts).await;
    job.is_mended().await;
    bull.ask(json!({"call": "rest", "queue": queue})).await;
    // In seconds: how long it sleeps at most.
    bull.ask(json!({"call": "work", "queue": queue, "opts": {"drainDelay": 3600}})).await;
    let name = format!("name=bull:{}", BASE64.encode(queue.as_bytes()));
    let marker = format!("bull:{queue}:marker");
    eventually("the worker to sleep", LIMIT, async || {
        let clients: String = bull.query(redis::cmd("CLIENT").arg("LIST")).await;
        let sleeps = clients.lines().any(|client| client.contains(&name) && client.contains("flags=b"));
        let is_marked: bool = bull.query(redis::cmd("EXISTS").arg(&marker)).await;
        (sleeps && !is_marked).then_some(())
    })
    .await;
    assert_eq!(job.put_back("order", false).await, Put::Moved);
    let has_run = async || (job.runs().await.len() == 2).then_some(());
    eventually("the worker to wake", BEFORE_IT_LOOKS, has_run).await;
    job.is_done_after(2).await;
}
