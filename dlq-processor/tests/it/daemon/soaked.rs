//! A steady stream of failures for a long time: nothing grows but the ledger, and nothing restarts.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{at_scale, eventually};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::killed::go_on;
use super::machine::{LIMIT, Machine, QUEUE};

/// Failures a second.
const RATE: usize = 100;
/// What memory may grow by after the first tenth of the time, in KiB: buffers of allocator and database.
const GROWTH_KIB: u64 = 16 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_steady_stream_of_failures_is_taken_in_and_redriven_and_memory_stays_as_it_is() {
    let config = "queues: [{ queue: '*', mode: act, rate: 1000/s, budget: off }]\nrate: 1000/s\n\
        retries: { transient: { base: 1s, cap: 1s, tries: 100 } }\nretention: { ended: 1h }\noperator_token_file: token\n";
    let machine = Machine::start(config).await;
    let mut daemon = machine.daemon().await;
    machine.does(json!({ "throws_first": "connect ECONNREFUSED 127.0.0.1:25" })).await;
    machine.bull.ask(json!({ "call": "work", "queue": QUEUE, "opts": { "concurrency": 20 } })).await;
    let lasts = at_scale(Duration::from_secs(10), Duration::from_secs(1800));
    let (began, mut seconds, mut jobs) = (Instant::now(), interval(Duration::from_secs(1)), 0);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settled_kib = None;
    while began.elapsed() < lasts {
        seconds.tick().await;
        // Jobs fail the first time, and are done the second.
        let some: Vec<Value> = (0..RATE).map(|number| json!({ "name": "job", "data": { "number": number } })).collect();
        machine.bull.ask(json!({ "call": "add", "queue": QUEUE, "jobs": some })).await;
        jobs += RATE;
        if settled_kib.is_none() && began.elapsed() > lasts / 10 {
            settled_kib = Some(rss_kib(daemon.pid()));
        }
    }
    let done = async || machine.metric("dlq_redrive_outcome_total", "outcome=\"resolved\"").await.unwrap_or_default();
    eventually("all to be done", LIMIT, async || {
        go_on(&machine).await;
        (done().await >= jobs as f64).then_some(())
    })
    .await;
    let (settled_kib, kib) = (settled_kib.unwrap(), rss_kib(daemon.pid()));
    println!("{jobs} letters; RSS {settled_kib} KiB after a tenth of the time, {kib} KiB at the end");
    assert!(kib < settled_kib + GROWTH_KIB, "{settled_kib} KiB became {kib} KiB");
    assert!(daemon.runs());
    assert_eq!(machine.metric("dlq_captured_total", "").await, Some(jobs as f64));
}

fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
