//! The daemon beside a queue of dead letters, as the original's queue-processor fills it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::eventually;

use super::machine::{Daemon, LIMIT, Machine, QUEUE};

const DEAD: &str = "dead-letter-queue";
const CONFIG: &str = "retries: { transient: { base: 1s, cap: 1s } }\noperator_token_file: token\nqueues: [";
const REASON: &str = "connect ECONNREFUSED 127.0.0.1:25";

pub(super) async fn tell(machine: &Machine, entry: Value) -> String {
    // As the original does, which takes 0 for "all".
    let opts = json!({ "removeOnComplete": 0, "removeOnFail": 0 });
    machine.bull.add(DEAD, json!({ "name": "failed-job", "data": entry, "opts": opts })).await
}

pub(super) fn entry(id: &str, data: &Value, failed_at_ms: i64) -> Value {
    json!({ "originalQueue": QUEUE, "originalJobId": id, "originalJobName": "job", "originalJobData": data,
        "failureReason": REASON, "failedAt": failed_at_ms, "attempts": 1 })
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

async fn is_empty(machine: &Machine) {
    eventually("the queue to be empty", LIMIT, async || {
        let counts = machine.bull.ask(json!({ "call": "counts", "queue": DEAD })).await;
        ["wait", "waiting", "failed"].iter().all(|place| counts[place].as_u64().unwrap_or(0) == 0).then_some(())
    })
    .await;
}

async fn states(machine: &Machine) -> Vec<(String, String)> {
    let mut states: Vec<_> = machine.letters().await.into_iter().map(|letter| (letter.job, letter.state)).collect();
    states.sort();
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_is_redriven_once_though_power_was_cut_before_it_was_taken_out() {
    let machine = Machine::start(&format!("{CONFIG}{{ queue: '*', mode: act }}]\n")).await;
    machine.fail(0, "").await;
    machine.does(json!({})).await;
    tell(&machine, entry("m-1", &json!({ "to": "a" }), now_ms())).await;
    for place in ["after_capture_commit", "after_intent", "after_lua", "after_redriven"] {
        Daemon::spawn_with(machine.folder.path(), &[("DLQ_FAILPOINT", place)]).ended().await;
        if place == "after_capture_commit" {
            let counts = machine.bull.ask(json!({ "call": "counts", "queue": DEAD })).await;
            assert_eq!(counts["wait"].as_u64().or(counts["waiting"].as_u64()), Some(1), "{counts}");
        }
    }
    let daemon = machine.daemon().await;
    is_empty(&machine).await;
    eventually("it to be resolved", LIMIT, async || {
        (states(&machine).await == [("m-1".to_owned(), "resolved".to_owned())]).then_some(())
    })
    .await;
    assert_eq!(machine.runs("m-1").await, 1);
    let letter = machine.letters().await.remove(0);
    assert_eq!((letter.queue.as_str(), letter.found_in.as_deref()), (QUEUE, Some(DEAD)));
    assert_eq!((letter.name.as_str(), letter.message.as_str(), letter.attempts), ("job", REASON, 1));
    daemon.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_is_told_of_and_still_in_its_own_queue_is_redriven_once() {
    let machine = Machine::start(&format!("{CONFIG}{{ queue: '*', mode: act }}]\n")).await;
    let ids = machine.fail(6, REASON).await;
    let failed = async || {
        let counts = machine.bull.ask(json!({ "call": "counts", "queue": QUEUE })).await;
        (counts["failed"] == 6).then_some(())
    };
    eventually("all to fail", LIMIT, failed).await;
    for (number, id) in ids.iter().enumerate() {
        let at: Vec<u8> = machine.bull.field(QUEUE, id, "finishedOn").await.unwrap();
        let at_ms: i64 = String::from_utf8(at).unwrap().parse().unwrap();
        // Before it failed, at once, and after it.
        let told_at_ms = at_ms + [-3, 0, 3][number % 3];
        tell(&machine, entry(id, &json!({ "number": number }), told_at_ms)).await;
    }
    machine.does(json!({})).await;
    let _daemon = machine.daemon().await;
    is_empty(&machine).await;
    eventually("each to be resolved once", LIMIT, async || {
        let states = states(&machine).await;
        let resolved = states.iter().filter(|(_, state)| state == "resolved").count();
        let is_over = states.iter().all(|(_, state)| ["resolved", "recurred", "withdrawn"].contains(&state.as_str()));
        (resolved == 6 && is_over).then_some(())
    })
    .await;
    for id in &ids {
        assert_eq!(machine.runs(id).await, 2, "job {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_opted_in_what_is_told_of_is_taken_in_and_stays_where_it_is() {
    let machine = Machine::start(&format!("{CONFIG}{{ queue: '{QUEUE}', mode: act }}]\n")).await;
    machine.fail(0, "").await;
    tell(&machine, entry("m-1", &json!(1), now_ms())).await;
    let odd = tell(&machine, json!({ "hello": "world" })).await;
    let dump = async || {
        let mut waiting = redis::cmd("LRANGE");
        let ids: Vec<String> = machine.bull.query(waiting.arg(format!("bull:{DEAD}:wait")).arg(0).arg(-1)).await;
        let mut jobs = Vec::new();
        for id in &ids {
            let fields = machine.bull.query(redis::cmd("HGETALL").arg(format!("bull:{DEAD}:{id}"))).await;
            jobs.push(BTreeMap::<String, String>::from_iter::<Vec<_>>(fields));
        }
        let events: u64 = machine.bull.query(redis::cmd("XLEN").arg(format!("bull:{DEAD}:events"))).await;
        (ids, jobs, events)
    };
    let before = dump().await;
    let _daemon = machine.daemon().await;
    let expected =
        [(odd.clone(), "parked".to_owned()), ("m-1".to_owned(), "observed".to_owned())].into_iter().collect::<Vec<_>>();
    eventually("both to be taken in", LIMIT, async || (states(&machine).await == expected).then_some(())).await;
    let letters = machine.letters().await;
    let of_odd = letters.iter().find(|letter| letter.job == odd).unwrap();
    assert_eq!(of_odd.message, "this entry of dead-letter-queue has no originalQueue");
    let told = letters.iter().find(|letter| letter.job == "m-1").unwrap();
    let path = format!("/api/v1/letters/{}/redrive", told.id);
    let (status, answer) = machine.ask_as_operator("POST", &path, "1", &json!({ "reason": "it was mended" })).await;
    let why = answer["error"].as_str().unwrap();
    assert!(status == 409 && why.contains("nothing is redriven in dead-letter-queue: give it mode: act"), "{why}");
    assert_eq!(dump().await, before);
    assert_eq!(machine.runs("m-1").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_others_take_what_is_told_of_nothing_of_it_is_redriven() {
    let machine = Machine::start(&format!("{CONFIG}{{ queue: '*', mode: act }}]\n")).await;
    machine.fail(0, "").await;
    machine.does(json!({})).await;
    machine.bull.ask(json!({ "call": "pause", "queue": DEAD })).await;
    machine.bull.work(DEAD).await;
    let _daemon = machine.daemon().await;
    eventually("the worker to be seen", LIMIT, async || {
        machine.metric("dlq_queue_peril", "kind=\"workers\"").await.filter(|seen| *seen == 1.0).map(drop)
    })
    .await;
    tell(&machine, entry("m-1", &json!(1), now_ms())).await;
    eventually("it to be due", LIMIT, async || {
        let letters = machine.letters().await;
        letters.first()?.due_at_ms.filter(|due_at_ms| *due_at_ms + 1000 < now_ms())
    })
    .await;
    assert_eq!((machine.runs("m-1").await, states(&machine).await[0].1.as_str()), (0, "scheduled"));
    machine.bull.ask(json!({ "call": "rest", "queue": DEAD })).await;
    eventually("it to be redriven", LIMIT, async || (machine.runs("m-1").await == 1).then_some(())).await;
}
