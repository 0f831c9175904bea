//! kill -9 again and again, while letters are taken in and redriven.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use testkit::{at_scale, eventually};

use super::machine::{Daemon, LIMIT, Machine, QUEUE};
use crate::bullmq::Bull;

const CONFIG: &str = "queues: [{ queue: '*', mode: act, rate: 2000/s, budget: off, max_in_vain: off }]\nrate: 2000/s\n\
    operator_token_file: token\nretries: { transient: { base: 1s, cap: 1s, tries: 100 } }\n";

/// Why jobs fail.
pub(super) const WHY: &str = "connect ECONNREFUSED 127.0.0.1:25";

#[tokio::test(flavor = "multi_thread")]
async fn no_letter_is_lost_and_none_is_redriven_twice() {
    let seed = at_scale::<fn() -> u64>(|| 7, testkit::seed)();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let machine = Machine::start(CONFIG).await;
    let (jobs, mut ids) = (at_scale(30, 100), Vec::new());
    for _ in 0..at_scale(10, 200) {
        ids.extend(machine.fail(jobs, WHY).await);
        let daemon = machine.daemon().await;
        // It is killed at whatever it is about then: taking in, writing, redriving, or noting what came of that.
        until(&machine, "dlq_captured_total", random.random_range(0..jobs)).await;
        if random.random() {
            recover(&machine).await;
            until(&machine, "dlq_redrive_total", random.random_range(0..jobs / 2)).await;
        }
        daemon.kill();
    }
    recover(&machine).await;
    let daemon = machine.daemon().await;
    all_are_done(&machine, ids.len()).await;
    daemon.kill();
    each_failure_was_redriven_once(&machine, &ids).await;
}

/// Ends where power could be cut between any two things that are durable.
const PLACES: [&str; 5] = ["after_capture_commit", "after_intent", "after_lua", "after_redriven", "before_outcome"];

macro_rules! in_every_version {
    ($sentence:ident: $($test:ident $version:literal;)+) => {
        mod $sentence {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::cut_power_everywhere($version).await;
                }
            )+
        }
    };
}

in_every_version! {
    wherever_power_is_cut_no_letter_is_lost_and_none_is_redriven_twice:
    in_bullmq_4 "bullmq-4";
    in_bullmq_5_0 "bullmq-5-0";
    in_bullmq_5_58 "bullmq-5-58";
    in_bullmq_5_81 "bullmq-5-81";
    in_bullmq_6 "bullmq-6";
}

async fn cut_power_everywhere(version: &'static str) {
    let machine = Machine::start_with(CONFIG, Bull::start(version).await);
    let mut ids = Vec::new();
    for place in PLACES {
        ids.extend(machine.fail(5, WHY).await);
        let all_fail = async || {
            let counts = machine.bull.ask(json!({ "call": "counts", "queue": QUEUE })).await;
            (counts["failed"].as_u64()? >= 5).then_some(())
        };
        eventually("all to fail", LIMIT, all_fail).await;
        recover(&machine).await;
        Daemon::spawn_with(machine.folder.path(), &[("DLQ_FAILPOINT", place)]).ended().await;
        let daemon = machine.daemon().await;
        all_are_done(&machine, ids.len()).await;
        daemon.kill();
    }
    each_failure_was_redriven_once(&machine, &ids).await;
}

/// Has jobs be done, but for those that have not failed yet.
pub(super) async fn recover(machine: &Machine) {
    machine.does(json!({ "throws_first": WHY })).await;
}

/// What goes on failing opens the breaker, which is shut for half a minute then.
pub(super) async fn go_on(machine: &Machine) {
    if machine.metric("dlq_breaker_open", "").await > Some(0.0) {
        machine.close_breaker().await;
    }
}

/// Waits until each job was done, and each letter but its last one says that it failed again.
async fn all_are_done(machine: &Machine, jobs: usize) {
    eventually("every job to be done", LIMIT, async || {
        go_on(machine).await;
        let letters = machine.letters().await;
        let count = |state: &str| letters.iter().filter(|letter| letter.state == state).count();
        (count("resolved") == jobs && count("resolved") + count("recurred") == letters.len()).then_some(())
    })
    .await;
}

async fn each_failure_was_redriven_once(machine: &Machine, ids: &[String]) {
    let mut letters = BTreeMap::<String, Vec<String>>::new();
    for letter in machine.letters().await {
        letters.entry(letter.job).or_default().push(letter.state);
    }
    let (mut runs, count) = (0, letters.values().map(Vec::len).sum::<usize>());
    for id in ids {
        let states = letters.remove(id).unwrap_or_default();
        let resolved = states.iter().filter(|state| *state == "resolved").count();
        assert_eq!(resolved, 1, "job {id}: {states:?}");
        // Each failure is a letter, each letter was redriven once, and the last of these runs went well.
        assert_eq!(machine.runs(id).await, states.len() + 1, "job {id}: {states:?}");
        runs += states.len() + 1;
    }
    println!("{} jobs, {count} letters, {runs} runs: none lost, none twice", ids.len());
    assert!(letters.is_empty(), "{letters:?}");
}

pub(super) async fn until(machine: &Machine, name: &str, wanted: usize) {
    eventually("some progress", LIMIT, async || {
        go_on(machine).await;
        machine.metric(name, "").await.filter(|done| *done >= wanted as f64).map(drop)
    })
    .await;
}
