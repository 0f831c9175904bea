//! Jobs whose worker is not heard of again.

use dlq_processor::source::Put;
use serde_json::{Value, json};
use testkit::eventually;

use super::bull::ask;
use super::{Bull, Job, LIMIT};

in_every_version! {
    a_job_of_which_workers_die_is_told_from_others: that_ends_the_process, that_throws_nothing_at_all
}

/// A worker that finds out soon that another one is not heard of any more.
fn attentive() -> Value {
    json!({"lockDuration": 200, "stalledInterval": 50, "maxStalledCount": 1, "drainDelay": 1})
}

async fn that_ends_the_process(bull: &Bull) {
    bull.does("deadly", json!({"exits": true})).await;
    let id = bull.add("deadly", json!({"name": "job", "data": 1, "opts": {"attempts": 3}})).await;
    let work = json!({"call": "work", "queue": "deadly", "opts": attentive()});
    for deaths in 1..=2 {
        let another = bull.another().await;
        // It may be dead before it has answered.
        ask(&another, &work).await;
        eventually("a worker to die", LIMIT, async || {
            let is_dead = ask(&another, &json!({"call": "state", "queue": "deadly", "job": id})).await.is_none();
            (is_dead && bull.runs("deadly", &id).await.len() == deaths).then_some(())
        })
        .await;
    }
    bull.ask(work).await;
    let found = bull.the_failure("deadly").await;
    assert_eq!(found.reason.as_deref(), Some("job stalled more than allowable limit"));
    assert_eq!(found.stalls, 2);
    let job = Job { bull, queue: "deadly", id, found };
    job.is_mended().await;
    assert_eq!(job.put_back("order", false).await, Put::Moved);
    job.is_done_after(3).await;
    for count in ["stc", "stalledCounter"] {
        assert_eq!(bull.field("deadly", &job.id, count).await, None, "it may stall as often as a new one");
    }
}

/// BullMQ itself fails at `throw null`, and nobody hears of the job until it is taken for stalled.
async fn that_throws_nothing_at_all(bull: &Bull) {
    bull.does("null", json!({"throws_bare": null})).await;
    let id = bull.add("null", json!({"name": "job", "data": 1})).await;
    bull.ask(json!({"call": "work", "queue": "null", "opts": attentive()})).await;
    let found = bull.the_failure("null").await;
    assert_eq!((found.stalls, found.reason.as_deref()), (2, Some("job stalled more than allowable limit")));
    let job = Job { bull, queue: "null", id, found };
    job.is_mended().await;
    assert_eq!(job.put_back("order", false).await, Put::Moved);
    job.is_done_after(3).await;
}
