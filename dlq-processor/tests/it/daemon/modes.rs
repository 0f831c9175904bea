//! What the daemon does where it may, and where it may not; and while something is away.

use serde_json::json;
use testkit::eventually;

use super::machine::{LIMIT, Machine, QUEUE};

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
async fn nothing_is_put_back_where_nobody_would_take_it() {
    let config = "queues: [{ queue: '*', mode: act }]\nretries: { transient: { base: 1s, cap: 1s } }\n";
    let machine = Machine::start(config).await;
    let ids = machine.fail(1, "connect ECONNREFUSED 127.0.0.1:25").await;
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
