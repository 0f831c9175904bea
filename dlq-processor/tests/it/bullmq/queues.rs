//! Queues that are paused, busy, or under another prefix.

use dlq_processor::source::{Cursor, Order, Put, Sought, Source, State};
use serde_json::json;
use testkit::eventually;

use super::bull::{ask, node, source_of};
use super::{Bull, LIMIT};

in_every_version! {
    a_queue_of_any_kind_is_served: that_is_paused, that_is_paused_and_goes_on_with_another_version, that_is_full, of_a_cluster
}

async fn that_is_paused(bull: &Bull) {
    for (queue, opts) in [("paused", json!({})), ("paused too", json!({"priority": 2}))] {
        let job = bull.failed(queue, json!(1), opts).await;
        job.is_mended().await;
        bull.ask(json!({"call": "pause", "queue": queue})).await;
        // Before BullMQ 6, what came while a queue was paused takes the place of all that waits when it goes on.
        let other = bull.add(queue, json!({"name": "other", "data": 1})).await;
        assert_eq!(job.put_back("order", false).await, Put::Moved);
        bull.is(queue, &job.id, State::UnderWay).await;
        assert_eq!(job.runs().await.len(), 1);
        bull.ask(json!({"call": "resume", "queue": queue})).await;
        bull.is(queue, &other, State::Completed).await;
        job.is_done_after(2).await;
    }
}

async fn that_is_paused_and_goes_on_with_another_version(bull: &Bull) {
    let job = bull.failed("moved on", json!(1), json!({})).await;
    job.is_mended().await;
    bull.ask(json!({"call": "pause", "queue": "moved on"})).await;
    bull.ask(json!({"call": "rest", "queue": "moved on"})).await;
    let other = bull.add("moved on", json!({"name": "other", "data": 1})).await;
    assert_eq!(job.put_back("order", false).await, Put::Moved);
    let newest = node("bullmq-6", &bull.redis).await;
    ask(&newest, &json!({"call": "resume", "queue": "moved on"})).await.unwrap();
    ask(&newest, &json!({"call": "work", "queue": "moved on"})).await.unwrap();
    bull.is("moved on", &other, State::Completed).await;
    job.is_done_after(2).await;
}

/// BullMQ 5.58 and later.
async fn that_is_full(bull: &Bull) {
    if ["bullmq-4", "bullmq-5-0"].contains(&bull.version) {
        return;
    }
    let job = bull.failed("full", json!(1), json!({})).await;
    job.is_mended().await;
    bull.ask(json!({"call": "limit", "queue": "full", "jobs": 1})).await;
    bull.set("does:full:other", &json!({"waits": true}).to_string()).await;
    let other = bull.add("full", json!({"name": "other", "data": 1})).await;
    eventually("the other one to run", LIMIT, async || (bull.runs("full", &other).await.len() == 1).then_some(()))
        .await;
    assert_eq!(job.put_back("order", false).await, Put::Moved);
    assert_eq!(bull.ask(json!({"call": "state", "queue": "full", "job": job.id})).await, "waiting");
    bull.query::<()>(redis::cmd("RPUSH").arg("go:full:other").arg(1)).await;
    job.is_done_after(2).await;
}

async fn of_a_cluster(bull: &Bull) {
    let prefix = "{bull}";
    let source = source_of(&bull.redis.url(), prefix);
    bull.does("slot", json!({"throws": "boom"})).await;
    let jobs = json!([{"name": "job", "data": 1}]);
    bull.ask(json!({"call": "add", "queue": "slot", "prefix": prefix, "jobs": jobs})).await;
    bull.ask(json!({"call": "work", "queue": "slot", "prefix": prefix})).await;
    assert_eq!(source.queues().await.unwrap(), ["slot"]);
    let episode = eventually("the failure", LIMIT, async || {
        source.list("slot", Cursor::default()).await.unwrap().episodes.into_iter().next()
    })
    .await;
    bull.does("slot", json!({})).await;
    let job = [Sought::of("slot", &episode.job)];
    let order = Order { episode, id: "order".to_owned(), has_all_tries: false };
    assert_eq!(source.put_back(&[order]).await.unwrap(), [Put::Moved]);
    eventually("the job to be done", LIMIT, async || {
        (source.states(&job).await.unwrap() == [State::Completed]).then_some(())
    })
    .await;
    assert_eq!(bull.runs("slot", &job[0].job).await.len(), 2);
    let strays: Vec<String> = bull.query(redis::cmd("KEYS").arg("bull:slot:*")).await;
    assert_eq!(strays, Vec::<String>::new());
}
