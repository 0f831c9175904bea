//! A Valkey, which says when something is on its disk.

use serde_json::json;
use testkit::{Redis, eventually};

use super::killed::WHY;
use super::machine::{LIMIT, Machine, QUEUE};
use crate::bullmq::Bull;

const CONFIG: &str = "queues: [{ queue: '*', mode: act, without_workers: redrive }]\n\
    operator_token_file: token\nretries: { transient: { base: 1s, cap: 1s } }\n";

/// How often it was waited for its disk, and how often it refused that.
async fn waits(machine: &Machine) -> (u64, u64) {
    let stats: String = machine.bull.query(redis::cmd("INFO").arg("commandstats")).await;
    let of_disk = stats.lines().find_map(|line| line.strip_prefix("cmdstat_waitaof:")).unwrap_or_default();
    let count = |name: &str| {
        let value = of_disk.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        value.map_or(0, |value| value.parse::<u64>().unwrap())
    };
    (count("calls"), count("rejected_calls") + count("failed_calls"))
}

async fn are_done_once_each(version: &'static str) {
    let bull = Bull::start_on(version, Redis::start_valkey_on_disk("everysec").await).await;
    let machine = Machine::start_with(CONFIG, bull);
    let ids = machine.fail(3, WHY).await;
    let _daemon = machine.daemon().await;
    eventually("all to be taken in", LIMIT, async || (machine.letters().await.len() >= 3).then_some(())).await;
    machine.does(json!({})).await;
    machine.close_breaker().await;
    eventually("all to be done", LIMIT, async || {
        let done = machine.metric("dlq_redrive_outcome_total", "outcome=\"resolved\"").await?;
        (done >= 3.0).then_some(())
    })
    .await;
    for id in &ids {
        let letters = machine.letters().await.into_iter().filter(|letter| letter.job == *id).count();
        assert_eq!(machine.runs(id).await, 1 + letters, "{id} in {version}");
    }
    let (waited, refused) = waits(&machine).await;
    assert!(waited > 0 && refused == 0, "{waited} {refused}");
    // A server that does not say so in time, or does not let this one ask, is not waited for for ever.
    let mut slow = redis::cmd("CONFIG");
    slow.arg("SET").arg("appendfsync").arg("no");
    let mut refuses = redis::cmd("ACL");
    refuses.arg("SETUSER").arg("default").arg("-waitaof");
    for change in [slow, refuses] {
        machine.bull.query::<redis::Value>(&change).await;
        let resolved = async || machine.metric("dlq_redrive_outcome_total", "outcome=\"resolved\"").await;
        let before = resolved().await.unwrap();
        machine.fail(1, WHY).await;
        eventually("it to fail", LIMIT, async || {
            let counts = machine.bull.ask(json!({ "call": "counts", "queue": QUEUE })).await;
            (counts["failed"] == 1).then_some(())
        })
        .await;
        machine.does(json!({})).await;
        eventually("it to be done", LIMIT, async || resolved().await.filter(|now| *now > before)).await;
    }
}

macro_rules! of_versions {
    ($($name:ident: $version:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                are_done_once_each($version).await;
            }
        )*
    };
}

of_versions! {
    letters_of_bullmq_4_are_done_once_and_wait_for_the_disk: "bullmq-4";
    letters_of_bullmq_5_0_are_done_once_and_wait_for_the_disk: "bullmq-5-0";
    letters_of_bullmq_5_58_are_done_once_and_wait_for_the_disk: "bullmq-5-58";
    letters_of_bullmq_5_81_are_done_once_and_wait_for_the_disk: "bullmq-5-81";
    letters_of_bullmq_6_are_done_once_and_wait_for_the_disk: "bullmq-6";
}
