//! Jobs that are in no set of their queue.

use dlq_processor::source::{Source, State};
use serde_json::json;
use testkit::eventually;

use super::{Bull, LIMIT};

async fn finds_what_is_in_no_set_and_takes_nothing_else_for_lost(bull: &Bull) {
    let opts = [json!({}), json!({ "priority": 5 }), json!({ "delay": 3_600_000 }), json!({ "lifo": true })];
    let jobs = opts.map(|opts| json!({ "name": "job", "data": {}, "opts": opts }));
    let ids = bull.ask(json!({ "call": "add", "queue": "places", "jobs": jobs })).await;
    bull.ask(json!({ "call": "repeat", "queue": "places", "name": "job", "data": {} })).await;
    let child = json!({ "name": "job", "queueName": "places", "data": {} });
    let tree = json!({ "name": "job", "queueName": "parents", "data": {}, "children": [child] });
    bull.ask(json!({ "call": "flow", "tree": tree })).await;
    bull.failed("fails", json!({}), json!({})).await;
    let done = bull.add("does", json!({ "name": "job", "data": {} })).await;
    bull.work("does").await;
    bull.is("does", &done, State::Completed).await;
    bull.set("does:runs:job", &json!({ "waits": true }).to_string()).await;
    bull.add("runs", json!({ "name": "job", "data": {} })).await;
    bull.work("runs").await;
    eventually("a job to run", LIMIT, async || {
        (bull.query::<usize>(redis::cmd("LLEN").arg("bull:runs:active")).await == 1).then_some(())
    })
    .await;
    bull.add("paused", json!({ "name": "job", "data": {} })).await;
    bull.ask(json!({ "call": "pause", "queue": "paused" })).await;

    let queues = ["places", "parents", "fails", "does", "runs", "paused"].map(str::to_owned);
    let found = bull.source.orphans(&queues).await.unwrap();
    assert!(found.len() == 6 && found.iter().all(|it| it.count == 0 && it.is_all), "{}: {found:?}", bull.version);

    // As BullMQ 5 leaves what 6 has put into a paused queue.
    let lost = ids[0].as_str().unwrap();
    let removed: i64 = bull.query(redis::cmd("LREM").arg("bull:places:wait").arg(0).arg(lost)).await;
    assert_eq!(removed, 1);
    let found = bull.source.orphans(&queues[..1]).await.unwrap().remove(0);
    assert_eq!(
        (found.queue.as_str(), found.count, found.jobs),
        ("places", 1, vec![lost.to_owned()]),
        "{}",
        bull.version
    );
}

in_every_version! { jobs_that_are_in_no_set_are_found: finds_what_is_in_no_set_and_takes_nothing_else_for_lost }
