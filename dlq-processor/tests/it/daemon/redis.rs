//! A Redis that is killed while letters are redriven, and one that does not take the daemon.

use std::collections::BTreeMap;

use dlq_processor::ledger::Listed;
use jiff::Timestamp;
use rand::RngExt;
use serde_json::{Value, json};
use testkit::{Redis, at_scale, eventually};

use super::killed::{WHY, go_on, recover, until};
use super::machine::{LIMIT, Machine, QUEUE};
use super::told::{entry, tell};
use crate::bullmq::Bull;

const CONFIG: &str = "queues: [{ queue: '*', mode: act, rate: 2000/s, budget: off, without_workers: redrive }]\n\
    rate: 2000/s\noperator_token_file: token\nretries: { transient: { base: 1s, cap: 1s, tries: 100 } }\n";

/// Finds out within seconds, not within a minute, that a job which Redis gave it never came, as often as that happens.
fn worker() -> Value {
    json!({ "concurrency": 20, "lockDuration": 5000, "stalledInterval": 1000, "maxStalledCount": 100 })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_has_all_on_its_disk_costs_no_letter_and_no_second_redrive() {
    let bull = Bull::start_on("bullmq-5-58", Redis::start_on_disk("always").await).await;
    let mut machine = Machine::start_with(CONFIG, bull);
    machine.has_worker(worker());
    let (jobs, mut ids) = (at_scale(40, 400), Vec::new());
    let mut daemon = machine.daemon().await;
    for _ in 0..at_scale(3, 50) {
        ids.extend(machine.fail(jobs, WHY).await);
        until(&machine, "dlq_captured_total", ids.len() - rand::rng().random_range(0..jobs)).await;
        machine.bull.redis.end();
        machine.bull.redis.begin().await;
        assert!(daemon.runs());
        recover(&machine).await;
        all_is_over(&machine, ids.len()).await;
    }
    let letters = machine.letters().await;
    let mut resolved = BTreeMap::<&str, usize>::new();
    for letter in &letters {
        *resolved.entry(&letter.job).or_default() += usize::from(letter.state == "resolved");
    }
    assert!(resolved.len() > jobs, "of {} jobs few have failed: {resolved:?}", ids.len());
    assert!(resolved.values().all(|resolved| *resolved == 1), "{resolved:?}");
    println!("{} jobs, {} letters", ids.len(), letters.len());
    let put_back = async |result| machine.metric("dlq_redrive_total", &format!("result=\"{result}\"")).await.unwrap();
    // Of what failed again before Redis could answer nobody asked again.
    assert!(put_back("moved").await + put_back("already").await <= letters.len() as f64, "no letter twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_redis_has_lost_of_its_last_second_is_put_back_again() {
    let bull = Bull::start_on("bullmq-5-58", Redis::start_on_disk("everysec").await).await;
    let mut machine = Machine::start_with(CONFIG, bull);
    machine.has_worker(worker());
    let (mut random, mut ids, jobs) = (rand::rng(), Vec::new(), at_scale(20, 200));
    let mut daemon = machine.daemon().await;
    for _ in 0..at_scale(2, 50) {
        // Nothing is redriven before its loss can be told, and nothing is done of what is lost.
        machine.set_breaker("open").await;
        ids.extend(machine.fail(jobs, WHY).await);
        eventually("all to be taken in", LIMIT, async || {
            machine.metric("dlq_captured_total", "").await.filter(|taken| *taken >= ids.len() as f64).map(drop)
        })
        .await;
        machine.rest().await;
        let before = machine.metric("dlq_redrive_total", "").await.unwrap_or_default();
        let written = machine.bull.redis.written();
        machine.close_breaker().await;
        let wanted = before + random.random_range(1..=jobs) as f64;
        eventually("some to be put back", LIMIT, async || {
            machine.metric("dlq_redrive_total", "").await.filter(|redriven| *redriven >= wanted).map(drop)
        })
        .await;
        machine.bull.redis.end_without(written);
        machine.bull.redis.begin().await;
        assert!(daemon.runs());
        recover(&machine).await;
        machine.work().await;
        all_is_over(&machine, ids.len()).await;
    }
    let lost = lost(&machine).await;
    println!("{} jobs, {lost} redrives were lost and done again", ids.len());
    assert!(lost > 0.0, "nothing was lost");
    for id in &ids {
        // Redis has forgotten no run: none was in its last second.
        assert!(machine.runs(id).await >= 2, "job {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_redis_without_a_disk_has_lost_is_put_back_or_waits_for_somebody_and_nothing_counts_as_done() {
    let mut machine = Machine::start(CONFIG).await;
    machine.fail(1, WHY).await;
    let _daemon = machine.daemon().await;
    until(&machine, "dlq_captured_total", 1).await;
    machine.rest().await;
    recover(&machine).await;
    tell(&machine, entry("m-1", &json!({ "to": "a" }), Timestamp::now().as_millisecond())).await;
    states(&machine, ["redriven", "redriven"]).await;
    machine.bull.redis.end();
    machine.bull.redis.begin().await;
    let failed = states(&machine, ["parked", "redriven"]).await;
    assert_eq!(lost(&machine).await, 2.0);
    assert_eq!(failed.reason, "gone", "whether it was done nobody can say");
    machine.redrive(&failed.id, "it was not done").await;
    states(&machine, ["redriven", "redriven"]).await;
    machine.bull.redis.end();
    machine.bull.redis.begin().await;
    eventually("both to be lost", LIMIT, async || (lost(&machine).await == 4.0).then_some(())).await;
    states(&machine, ["redriven", "redriven"]).await;
    machine.does(json!({})).await;
    machine.work().await;
    let failed = states(&machine, ["resolved", "resolved"]).await;
    assert_eq!([machine.runs(&failed.job).await, machine.runs("m-1").await], [1, 1]);
}

/// Waits until the letters of two jobs, in the order of their ids, are in these states, and returns the first one.
async fn states(machine: &Machine, wanted: [&str; 2]) -> Listed {
    eventually(&format!("letters to be {wanted:?}"), LIMIT, async || {
        go_on(machine).await;
        let mut letters = machine.letters().await;
        letters.sort_by(|a, b| a.job.cmp(&b.job));
        let states: Vec<&str> = letters.iter().map(|letter| letter.state.as_str()).collect();
        (states == wanted).then(|| letters.remove(0))
    })
    .await
}

/// How often it was found out that Redis had lost what was put back.
async fn lost(machine: &Machine) -> f64 {
    machine.metric("dlq_redrive_outcome_total", "outcome=\"lost\"").await.unwrap_or_default()
}

/// Waits until each job was done, and nothing is left to be done about any letter. BullMQ runs a job again whose end Redis did not
/// hear, or forgot: that one need not have failed, and its letter is withdrawn if it has.
async fn all_is_over(machine: &Machine, jobs: usize) {
    eventually("all jobs to be done", LIMIT, async || {
        go_on(machine).await;
        let letters = machine.letters().await;
        let is_over = |state: &str| ["resolved", "recurred", "withdrawn"].contains(&state);
        let counts = machine.bull.ask(json!({ "call": "counts", "queue": QUEUE })).await;
        (counts["completed"] == jobs && letters.iter().all(|letter| is_over(&letter.state))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_wants_another_password_is_named_and_ends_nothing() {
    let machine = Machine::start("").await;
    let requires = |password: &'static str| {
        let mut asked = redis::cmd("CONFIG");
        asked.arg("SET").arg("requirepass").arg(password);
        asked
    };
    machine.bull.query::<()>(&requires("hunter2-hunter2")).await;
    let mut daemon = machine.daemon().await;
    let named = eventually("health to name the source", LIMIT, async || {
        machine.metric("health_check_status", "source jobs").await.filter(|works| *works == 0.0)
    });
    named.await;
    assert_eq!(machine.get("/readyz").await, None, "not ready without any source");
    assert!(daemon.runs());
}
