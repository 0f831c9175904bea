//! Dead jobs that are put back as other jobs: into another queue, or with something else in them.

use dlq_processor::source::{Order, Other, Put, Source, State};
use redis::cmd;
use serde_json::{Value, json};

use super::Bull;
use super::bull::Job;

in_every_version! {
    a_dead_job_is_put_back_as_another_job_once:
    in_another_queue, with_something_else_in_it, with_its_priority_and_its_tries, where_the_queue_is_paused,
    although_it_was_repeated, but_not_from_a_flow, nor_what_somebody_put_back_already, nor_from_what_cannot_be_read
}

impl Job<'_> {
    fn other(&self, id: &str, queue: &str, data: Option<&str>) -> Other {
        let data = data.map(|data| data.as_bytes().to_vec());
        Other { order: self.order(id, true), kept: self.found.kept.clone(), queue: queue.to_owned(), data }
    }

    async fn put_other(&self, id: &str, queue: &str, data: Option<&str>) -> Put {
        self.bull.source.put_others(&[self.other(id, queue, data)]).await.unwrap()[0]
    }
}

async fn options(bull: &Bull, queue: &str, id: &str) -> Value {
    serde_json::from_slice(&bull.field(queue, id, "opts").await.unwrap()).unwrap()
}

async fn in_another_queue(bull: &Bull) {
    let job = bull.failed("from", json!("\u{0}\u{1f600}"), json!({"jobId": "mail ü", "attempts": 1})).await;
    for _again in 0..2 {
        assert_eq!(job.put_other("one", "into", None).await, Put::Anew);
    }
    bull.is("into", "dlq~one", State::UnderWay).await;
    let waiting: Vec<String> = bull.query(cmd("LRANGE").arg("bull:into:wait").arg(0).arg(-1)).await;
    assert_eq!(waiting, ["dlq~one"]);
    assert_eq!(options(bull, "into", "dlq~one").await.get("jobId"), None, "it has another id");
    bull.work("into").await;
    bull.is("into", "dlq~one", State::Completed).await;
    assert_eq!(bull.runs("into", "dlq~one").await, [json!({"name": "job", "data": "\u{0}\u{1f600}"})]);
    assert_eq!(bull.field("into", "dlq~one", "data").await, Some(job.found.data.clone()));
    bull.is("from", &job.id, State::Failed(job.episode().failed_at_ms)).await;
    // Also when nothing is left of it.
    bull.query::<()>(cmd("DEL").arg("bull:into:dlq~one")).await;
    bull.query::<()>(cmd("ZREM").arg("bull:into:completed").arg("dlq~one")).await;
    assert_eq!(job.put_other("one", "into", None).await, Put::Anew);
    bull.is("into", "dlq~one", State::Gone).await;
    assert_eq!(job.put_other("two", "into", None).await, Put::Anew, "another order is carried out");
    bull.is("into", "dlq~two", State::Completed).await;
}

async fn with_something_else_in_it(bull: &Bull) {
    let job = bull.failed("edited", json!({"to": "a@b"}), json!({})).await;
    job.is_mended().await;
    assert_eq!(job.put_other("one", "edited", Some(r#"{"to":"c@d"}"#)).await, Put::Anew);
    bull.is("edited", "dlq~one", State::Completed).await;
    assert_eq!(bull.runs("edited", "dlq~one").await, [json!({"name": "job", "data": {"to": "c@d"}})]);
    assert_eq!(bull.field("edited", &job.id, "data").await, Some(job.found.data.clone()), "what it held stays");
}

async fn with_its_priority_and_its_tries(bull: &Bull) {
    let opts = json!({"priority": 7, "attempts": 3, "backoff": {"type": "fixed", "delay": 5}});
    let job = bull.failed("urgent", json!(1), opts.clone()).await;
    assert_eq!(job.put_other("one", "urgent too", None).await, Put::Anew);
    let mut asked = cmd("ZSCORE");
    let score: f64 = bull.query(asked.arg("bull:urgent too:prioritized").arg("dlq~one")).await;
    assert_eq!((score / 4_294_967_296.0).floor(), 7.0);
    assert_eq!(options(bull, "urgent too", "dlq~one").await["attempts"], 3);
    bull.does("urgent too", json!({"throws": "boom"})).await;
    bull.work("urgent too").await;
    let again = bull.the_failure("urgent too").await;
    assert_eq!((again.attempts, again.episode.job.as_str()), (3, "dlq~one"));
}

async fn where_the_queue_is_paused(bull: &Bull) {
    let job = bull.failed("runs", json!(1), json!({})).await;
    bull.ask(json!({"call": "pause", "queue": "rests"})).await;
    assert_eq!(job.put_other("one", "rests", None).await, Put::Anew);
    bull.work("rests").await;
    assert_eq!(bull.runs("rests", "dlq~one").await.len(), 0);
    bull.ask(json!({"call": "resume", "queue": "rests"})).await;
    bull.is("rests", "dlq~one", State::Completed).await;
}

async fn although_it_was_repeated(bull: &Bull) {
    bull.does("hours", json!({"throws": "boom"})).await;
    bull.ask(json!({"call": "repeat", "queue": "hours", "name": "job", "data": 1})).await;
    bull.work("hours").await;
    let found = bull.the_failure("hours").await;
    let job = Job { bull, queue: "hours", id: found.episode.job.clone(), found };
    assert_eq!(job.put_other("one", "once", None).await, Put::Anew);
    bull.work("once").await;
    bull.is("once", "dlq~one", State::Completed).await;
    bull.is_idle("once").await;
}

async fn but_not_from_a_flow(bull: &Bull) {
    bull.does("branch", json!({"throws": "boom"})).await;
    let tree = json!({"name": "job", "queueName": "trunk", "data": 1, "children": [
        {"name": "job", "queueName": "branch", "data": 2},
    ]});
    bull.ask(json!({"call": "flow", "tree": tree})).await;
    bull.work("branch").await;
    let found = bull.the_failure("branch").await;
    let job = Job { bull, queue: "branch", id: found.episode.job.clone(), found };
    assert_eq!(job.put_other("one", "elsewhere", None).await, Put::Flow);
    bull.is("elsewhere", "dlq~one", State::Lost).await;
}

async fn nor_what_somebody_put_back_already(bull: &Bull) {
    let job = bull.failed("retried", json!(1), json!({})).await;
    assert_eq!(job.put_back("by somebody", true).await, Put::Moved);
    job.fails_again().await;
    assert_eq!(job.put_other("one", "elsewhere too", None).await, Put::Fenced);
    let job = bull.failed("done", json!(1), json!({})).await;
    job.is_mended().await;
    assert_eq!(job.put_back("by somebody", true).await, Put::Moved);
    job.is_done_after(2).await;
    assert_eq!(job.put_other("one", "elsewhere too", None).await, Put::NotFailed);
    bull.is("elsewhere too", "dlq~one", State::Lost).await;
}

async fn nor_from_what_cannot_be_read(bull: &Bull) {
    let job = bull.failed("unread", json!(1), json!({})).await;
    let order = Order { id: "one".to_owned(), ..job.order("one", true) };
    for kept in [&b""[..], b"odd"] {
        let other = Other { order: order.clone(), kept: kept.to_vec(), queue: "nowhere".to_owned(), data: None };
        assert_eq!(bull.source.put_others(&[other]).await.unwrap(), [Put::Refused]);
    }
}
