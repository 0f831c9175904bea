//! What the daemon does where it may, and where it may not; and while something is away.

use dlq_processor::ledger::Ledger;
use serde_json::json;
use testkit::{at_scale, eventually};

use super::machine::{LIMIT, Machine, QUEUE};

/// Jobs that are put in at once.
const AT_ONCE: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_opted_in_letters_are_taken_in_and_nothing_is_changed() {
    let machine = Machine::start("").await;
    let ids = machine.fail(5, "connect ECONNREFUSED 127.0.0.1:25").await;
    let _daemon = machine.daemon().await;
    eventually("all to be taken in", LIMIT, async || {
        machine.metric("dlq_captured_total", "").await.filter(|taken| *taken >= 5.0).map(drop)
    })
    .await;
    let letters = machine.letters().await;
    assert!(letters.iter().all(|it| it.state == "observed" && it.action == "redrive"), "{letters:?}");
    let counts = machine.bull.ask(json!({ "call": "counts", "queue": QUEUE })).await;
    assert_eq!(counts["failed"], 5, "{counts}");
    for id in ids {
        assert_eq!(machine.runs(&id).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_away_is_named_and_work_goes_on_when_it_is_back() {
    let mut machine = Machine::start("").await;
    machine.bull.redis.end();
    let _daemon = machine.daemon().await;
    let named = eventually("health to name the source", LIMIT, async || {
        // 503 has no body here; metrics say it all the time.
        machine.metric("health_check_status", "source jobs").await.filter(|works| *works == 0.0)
    });
    named.await;
    assert_eq!(machine.get("/readyz").await, None, "not ready without any source");
    machine.bull.redis.begin().await;
    machine.fail(3, "boom").await;
    eventually("all to be taken in", LIMIT, async || {
        machine.metric("dlq_captured_total", "").await.filter(|taken| *taken >= 3.0).map(drop)
    })
    .await;
    eventually("it to be ready", LIMIT, async || machine.get("/readyz").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_back_where_it_could_be_thrown_away() {
    let config = "queues: [{ queue: '*', mode: act }]\nretries: { transient: { base: 1s, cap: 1s } }\n";
    let machine = Machine::start(config).await;
    let policy = async |policy| {
        let mut asked = redis::cmd("CONFIG");
        machine.bull.query::<()>(asked.arg("SET").arg("maxmemory-policy").arg(policy)).await;
    };
    policy("allkeys-lru").await;
    let ids = machine.fail(1, "connect ECONNREFUSED 127.0.0.1:25").await;
    let _daemon = machine.daemon().await;
    let said = eventually("health to say why", LIMIT, async || {
        machine.get("/health").await.filter(|health| health.contains("maxmemory-policy allkeys-lru"))
    });
    assert!(said.await.contains("\"status\":\"degraded\""));
    assert_eq!(machine.runs(&ids[0]).await, 1);
    machine.does(json!({})).await;
    policy("noeviction").await;
    eventually("it to be redriven", LIMIT, async || (machine.runs(&ids[0]).await == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nothing_can_be_lost_any_more_is_known_though_nothing_is_due() {
    let config = "queues: [{ queue: '*', mode: act }]\nretries: { transient: { base: 1s, cap: 1s } }\noperator_token_file: token\n";
    let machine = Machine::start(config).await;
    let policy = async |policy| {
        let mut asked = redis::cmd("CONFIG");
        machine.bull.query::<()>(asked.arg("SET").arg("maxmemory-policy").arg(policy)).await;
    };
    let _daemon = machine.daemon().await;
    let armed = async |wanted: f64| {
        let armed = machine.metric("dlq_source_armed", "source=\"jobs\"").await?;
        let is_well = machine.metric("health_check_status", "redriving jobs").await?;
        (armed == wanted && is_well == wanted).then_some(())
    };
    eventually("it to act", LIMIT, async || armed(1.0).await).await;
    policy("allkeys-lru").await;
    machine.fail(1, "connect ECONNREFUSED 127.0.0.1:25").await;
    eventually("it to be disarmed", LIMIT, async || armed(0.0).await).await;
    let letter = eventually("it to be taken in", LIMIT, async || machine.letters().await.pop()).await;
    let (path, body) = (format!("/api/v1/letters/{}/discard", letter.id), json!({ "reason": "nobody needs it" }));
    let answer = machine.ask_as_operator("POST", &path, "1", &body).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    policy("noeviction").await;
    eventually("it to be armed", LIMIT, async || armed(1.0).await).await;
    assert_eq!(machine.letters().await[0].state, "discarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_back_where_nobody_would_take_it() {
    let config = "queues: [{ queue: '*', mode: act }]\nretries: { transient: { base: 1s, cap: 1s } }\n";
    let machine = Machine::start(config).await;
    let ids = machine.fail(1, "connect ECONNREFUSED 127.0.0.1:25").await;
    // What is paused before its worker has it would never fail.
    eventually("it to fail", LIMIT, async || {
        let counts = machine.bull.ask(json!({ "call": "counts", "queue": QUEUE })).await;
        (counts["failed"] == 1).then_some(())
    })
    .await;
    machine.bull.ask(json!({ "call": "pause", "queue": QUEUE })).await;
    machine.does(json!({})).await;
    let _daemon = machine.daemon().await;
    eventually("it to be held back", LIMIT, async || {
        machine.metric("dlq_queue_held", "reason=\"paused\"").await.filter(|held| *held == 1.0).map(drop)
    })
    .await;
    assert_eq!((machine.runs(&ids[0]).await, machine.letters().await[0].state.as_str()), (1, "scheduled"));
    machine.bull.ask(json!({ "call": "resume", "queue": QUEUE })).await;
    eventually("it to be redriven", LIMIT, async || (machine.runs(&ids[0]).await == 2).then_some(())).await;
    assert_eq!(machine.metric("dlq_queue_held", "").await, Some(0.0));
    for timed in ["dlq_capture_lag_seconds", "dlq_redrive_latency_seconds", "dlq_time_to_resolution_seconds"] {
        eventually(timed, LIMIT, async || {
            (machine.metric(&format!("{timed}_count"), "").await == Some(1.0)).then_some(())
        })
        .await;
    }
    for room in ["dlq_rate_tokens", "dlq_budget_remaining"] {
        let tokens = machine.metric(room, &format!("queue=\"{QUEUE}\"")).await.unwrap();
        assert!(tokens > 0.0, "{room}: {tokens}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_redriven_in_a_queue_that_throws_failures_away_until_somebody_accepts_that() {
    let config = "retries: { transient: { base: 1s, cap: 1s } }\nqueues: [{ queue: '*', mode: act";
    let mut machine = Machine::start(&format!("{config} }}]\n")).await;
    machine.throw_away(50);
    let ids = machine.fail(1, "connect ECONNREFUSED 127.0.0.1:25").await;
    let daemon = machine.daemon().await;
    eventually("the peril to be seen", LIMIT, async || {
        machine.metric("dlq_queue_peril", "kind=\"retention\"").await.filter(|seen| *seen == 1.0).map(drop)
    })
    .await;
    machine.does(json!({})).await;
    eventually("it to be due", LIMIT, async || {
        let letters = machine.letters().await;
        let now_ms = jiff::Timestamp::now().as_millisecond();
        letters.first()?.due_at_ms.filter(|due_at_ms| *due_at_ms + 1000 < now_ms)
    })
    .await;
    assert_eq!(machine.runs(&ids[0]).await, 1);
    daemon.kill();
    machine.configure(&format!("{config}, accept: [retention] }}]\n"));
    let _daemon = machine.daemon().await;
    eventually("it to be redriven", LIMIT, async || (machine.runs(&ids[0]).await == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_failures_that_their_queue_throws_away_each_is_taken_in_or_counted() {
    let mut machine = Machine::start("").await;
    machine.throw_away(50);
    // It must know the queue, so that nothing is over before it looks.
    machine.fail(1, "first").await;
    let _daemon = machine.daemon().await;
    let taken = async || machine.metric("dlq_captured_total", "").await.unwrap_or_default();
    let missed = async || machine.metric("dlq_capture_missed_total", "").await.unwrap_or_default();
    eventually("the first to be taken in", LIMIT, async || (taken().await == 1.0).then_some(())).await;
    let jobs = at_scale(2_000, 20_000);
    for _ in 0..jobs / AT_ONCE {
        machine.fail(AT_ONCE, "boom").await;
        // More would push what failed out of the queue's news, of which it keeps ten thousand.
        eventually("most to fail", LIMIT, async || {
            let counts = machine.bull.ask(json!({ "call": "counts", "queue": QUEUE })).await;
            (counts["waiting"].as_u64()? < AT_ONCE as u64).then_some(())
        })
        .await;
    }
    let all = (jobs + 1) as f64;
    eventually("each to be taken in or counted", LIMIT, async || (taken().await + missed().await >= all).then_some(()))
        .await;
    let (taken, missed) = (taken().await, missed().await);
    println!("{taken} taken in, {missed} counted as missed, of {all}");
    // How many depends on how fast the machine is: 50 failures are gone in a few hundredths of a second.
    assert!(taken + missed == all && taken > 50.0, "{taken} {missed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_thrown_away_while_nobody_listened_is_counted_later() {
    let mut machine = Machine::start("").await;
    machine.throw_away(5);
    machine.fail(1, "first").await;
    let daemon = machine.daemon().await;
    let source = kit::db::Source::Sqlite(machine.folder.path().join("data/ledger.db"));
    eventually("it to be written how far was heard", LIMIT, async || {
        let ledger = Ledger::open(&source).await.ok()?;
        let heard = ledger.heard("jobs").await.ok()?;
        ledger.close().await;
        (!heard.is_empty() && !machine.letters().await.is_empty()).then_some(())
    })
    .await;
    daemon.kill();
    machine.fail(30, "boom").await;
    eventually("all to fail and most to be thrown away", LIMIT, async || {
        let events = redis::cmd("XLEN").arg(format!("bull:{QUEUE}:events")).to_owned();
        (machine.bull.query::<u64>(&events).await >= 31 * 3).then_some(())
    })
    .await;
    let _daemon = machine.daemon().await;
    eventually("the others to be counted", LIMIT, async || {
        let missed = machine.metric("dlq_capture_missed_total", "").await?;
        let taken = machine.metric("dlq_captured_total", "").await?;
        (missed + taken == 30.0 && missed >= 20.0).then_some(())
    })
    .await;
}
