//! A Redis that is killed while letters are redriven, and one that does not take the daemon.

use rand::RngExt;
use serde_json::json;
use testkit::{Redis, at_scale, eventually};

use super::killed::{all_are_done, until};
use super::machine::{LIMIT, Machine};
use crate::bullmq::Bull;

const CONFIG: &str = "queues: [{ queue: '*', mode: act, rate: 2000/s, budget: off, without_workers: redrive }]\n\
    rate: 2000/s\nretries: { transient: { base: 1s, cap: 1s, tries: 100 } }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_has_all_on_its_disk_costs_no_letter_and_no_second_redrive() {
    let bull = Bull::start_on("bullmq-5-58", Redis::start_on_disk("always").await).await;
    let mut machine = Machine::start_with(CONFIG, bull);
    let (jobs, mut ids) = (at_scale(40, 400), Vec::new());
    let mut daemon = machine.daemon().await;
    for _ in 0..at_scale(3, 50) {
        machine.does(json!({})).await;
        ids.extend(machine.fail(jobs, "connect ECONNREFUSED 127.0.0.1:25").await);
        until(&machine, "dlq_captured_total", ids.len() - rand::rng().random_range(0..jobs)).await;
        machine.bull.redis.end();
        machine.bull.redis.begin().await;
        assert!(daemon.runs());
        machine.does(json!({})).await;
        all_are_done(&machine, ids.len()).await;
    }
    // How often jobs ran says nothing here: BullMQ runs again what it has not heard the end of.
    let letters = machine.letters().await;
    for id in &ids {
        let resolved = letters.iter().filter(|letter| letter.job == *id && letter.state == "resolved").count();
        assert_eq!(resolved, 1, "job {id}");
    }
    let put_back = async |result| machine.metric("dlq_redrive_total", &format!("result=\"{result}\"")).await.unwrap();
    assert_eq!(put_back("moved").await + put_back("already").await, letters.len() as f64, "each letter once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_redis_has_lost_of_its_last_second_is_put_back_again() {
    let bull = Bull::start_on("bullmq-5-58", Redis::start_on_disk("everysec").await).await;
    let mut machine = Machine::start_with(CONFIG, bull);
    let (mut random, mut ids) = (rand::rng(), Vec::new());
    let mut daemon = machine.daemon().await;
    for _ in 0..at_scale(2, 50) {
        ids.extend(machine.fail(at_scale(20, 200), "connect ECONNREFUSED 127.0.0.1:25").await);
        until(&machine, "dlq_captured_total", ids.len()).await;
        machine.does(json!({})).await;
        until(&machine, "dlq_redrive_total", ids.len() - random.random_range(1..at_scale(20, 200))).await;
        machine.bull.redis.end();
        machine.bull.redis.begin().await;
        assert!(daemon.runs());
        machine.does(json!({})).await;
    }
    // What Redis forgot of ours is put back; of what it forgot of a worker's the ledger knows that it was done.
    eventually("nothing to be left", LIMIT, async || {
        let letters = machine.letters().await;
        let is_over = |state: &str| ["resolved", "recurred", "withdrawn"].contains(&state);
        letters.iter().all(|letter| is_over(&letter.state)).then_some(())
    })
    .await;
    let letters = machine.letters().await;
    let was_done = |id: &&String| letters.iter().any(|letter| letter.job == **id && letter.state == "resolved");
    let undone: Vec<&String> = ids.iter().filter(|id| !was_done(id)).collect();
    assert!(undone.is_empty(), "{undone:?} of {}", ids.len());
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
