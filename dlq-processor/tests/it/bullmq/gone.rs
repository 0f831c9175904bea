//! Jobs that are gone from Redis are made anew, from what was kept of them.

use dlq_processor::source::{Lost, Put, Source, State};
use serde_json::{Value, json};

use super::Bull;
use super::bull::Job;

in_every_version! {
    a_job_that_is_gone_is_made_anew_once:
    after_it_was_trimmed, with_as_many_tries_as_the_order_says, with_its_priority, last_in_and_first_out,
    in_a_queue_that_is_paused, with_an_id_that_nobody_else_gets, in_place_of_nothing_that_is_there,
    from_what_can_be_read, but_not_in_a_flow
}

impl Job<'_> {
    fn lost(&self, id: &str, has_all_tries: bool) -> Lost {
        Lost { order: self.order(id, has_all_tries), kept: self.found.kept.clone() }
    }

    async fn put_anew(&self, id: &str, has_all_tries: bool) -> Put {
        self.bull.source.put_anew(&[self.lost(id, has_all_tries)]).await.unwrap()[0]
    }

    /// As `removeOnFail` and a Redis that evicts do.
    async fn is_trimmed(&self) {
        assert_eq!(self.bull.source.forget(std::slice::from_ref(self.episode())).await.unwrap(), 1);
        self.bull.is(self.queue, &self.id, State::Gone).await;
    }
}

async fn after_it_was_trimmed(bull: &Bull) {
    const SAME: [&str; 5] = ["name", "data", "opts", "timestamp", "priority"];
    let data = json!(["\u{0}\u{1f600}", "x".repeat(1 << 20)]);
    let job = bull.failed("trimmed", data, json!({"removeOnFail": 1, "jobId": "mail ü"})).await;
    let mut before = Vec::new();
    for field in SAME {
        before.push(bull.field("trimmed", &job.id, field).await);
    }
    bull.add("trimmed", json!({"name": "job", "data": 2, "opts": {"removeOnFail": 1}})).await;
    bull.is("trimmed", &job.id, State::Gone).await;
    job.is_mended().await;
    assert_eq!(job.put_back("order", false).await, Put::Gone);
    assert_eq!(job.put_anew("order", false).await, Put::Moved);
    job.is_done_after(2).await;
    for (field, value) in SAME.into_iter().zip(before) {
        assert_eq!(bull.field("trimmed", &job.id, field).await, value, "{field}");
    }
    let runs = job.runs().await;
    assert_eq!(runs[0], runs[1]);
    assert_eq!(job.put_anew("order", false).await, Put::Already);
    assert_eq!(job.put_back("order", false).await, Put::Already);
    // Also if it was done, and nothing is left of it.
    bull.query::<()>(redis::cmd("DEL").arg(format!("bull:trimmed:{}", job.id))).await;
    assert_eq!(job.put_anew("order", false).await, Put::Already);
}

async fn with_as_many_tries_as_the_order_says(bull: &Bull) {
    let opts = json!({"attempts": 3, "backoff": {"type": "fixed", "delay": 5}});
    let mut job = bull.failed("tries", json!(1), opts).await;
    job.is_trimmed().await;
    assert_eq!(job.put_anew("one", false).await, Put::Moved);
    job.found = job.fails_again().await;
    assert_eq!(job.runs().await.len(), 4);
    job.is_trimmed().await;
    assert_eq!(job.put_anew("all", true).await, Put::Moved);
    job.found = job.fails_again().await;
    assert_eq!((job.found.attempts, job.runs().await.len()), (3, 7));
}

async fn with_its_priority(bull: &Bull) {
    let job = bull.failed("priority", json!(1), json!({"priority": 7})).await;
    is_made_before_a_worker_comes(bull, &job).await;
    let mut asked = redis::cmd("ZSCORE");
    let score: f64 = bull.query(asked.arg("bull:priority:prioritized").arg(&job.id)).await;
    assert_eq!((score / 4_294_967_296.0).floor(), 7.0);
    bull.work("priority").await;
    job.is_done_after(2).await;
}

async fn last_in_and_first_out(bull: &Bull) {
    let job = bull.failed("lifo", json!(1), json!({"lifo": true})).await;
    bull.ask(json!({"call": "rest", "queue": "lifo"})).await;
    let other = bull.add("lifo", json!({"name": "other", "data": 1})).await;
    is_made_before_a_worker_comes(bull, &job).await;
    let waiting: Vec<String> = bull.query(redis::cmd("LRANGE").arg("bull:lifo:wait").arg(0).arg(-1)).await;
    assert_eq!(waiting, [other, job.id.clone()], "workers take from the right");
    bull.work("lifo").await;
    job.is_done_after(2).await;
}

async fn in_a_queue_that_is_paused(bull: &Bull) {
    let job = bull.failed("paused", json!(1), json!({})).await;
    job.is_mended().await;
    bull.ask(json!({"call": "pause", "queue": "paused"})).await;
    job.is_trimmed().await;
    assert_eq!(job.put_anew("order", false).await, Put::Moved);
    bull.is("paused", &job.id, State::UnderWay).await;
    assert_eq!(job.runs().await.len(), 1);
    bull.ask(json!({"call": "resume", "queue": "paused"})).await;
    job.is_done_after(2).await;
}

/// A Redis that lost jobs lost what counts them.
async fn with_an_id_that_nobody_else_gets(bull: &Bull) {
    let job = bull.failed("counted", json!(1), json!({})).await;
    job.is_mended().await;
    job.is_trimmed().await;
    bull.query::<()>(redis::cmd("DEL").arg("bull:counted:id")).await;
    assert_eq!(job.put_anew("order", false).await, Put::Moved);
    assert_eq!((job.id.as_str(), bull.add("counted", json!({"name": "job", "data": 2})).await.as_str()), ("1", "2"));
    job.is_done_after(2).await;
}

async fn in_place_of_nothing_that_is_there(bull: &Bull) {
    let job = bull.failed("there", json!(1), json!({"jobId": "mail"})).await;
    // It is there after all: then it is put back as any other.
    assert_eq!(job.put_anew("first", false).await, Put::Moved);
    let again = job.fails_again().await;
    assert_eq!(job.put_anew("second", false).await, Put::Fenced);
    assert_eq!(bull.the_failure("there").await, again);
    // Another job got its id meanwhile.
    bull.ask(json!({"call": "rest", "queue": "there"})).await;
    assert_eq!(bull.source.forget(std::slice::from_ref(&again.episode)).await.unwrap(), 1);
    bull.add("there", json!({"name": "new", "data": 2, "opts": {"jobId": job.id}})).await;
    assert_eq!(job.put_anew("third", false).await, Put::NotFailed);
    assert_eq!(bull.field("there", &job.id, "name").await.as_deref(), Some(b"new".as_slice()));
}

async fn from_what_can_be_read(bull: &Bull) {
    let job = bull.failed("unread", json!(1), json!({})).await;
    job.is_trimmed().await;
    for kept in [&b""[..], &job.found.kept[1..]] {
        let lost = Lost { kept: kept.to_vec(), ..job.lost("order", false) };
        assert_eq!(bull.source.put_anew(&[lost]).await.unwrap(), [Put::Gone]);
    }
    // What was kept is of another failure.
    let mut lost = job.lost("order", false);
    lost.order.episode.failed_at_ms += 1;
    assert_eq!(bull.source.put_anew(&[lost]).await.unwrap(), [Put::Fenced]);
    bull.is("unread", &job.id, State::Gone).await;
    bull.is_idle("unread").await;
}

async fn but_not_in_a_flow(bull: &Bull) {
    bull.does("child", json!({"throws": "boom"})).await;
    let tree = json!({"name": "job", "queueName": "parent", "data": 1, "children": [
        {"name": "job", "queueName": "child", "data": 2},
    ]});
    bull.ask(json!({"call": "flow", "queue": "parent", "tree": tree})).await;
    bull.work("child").await;
    let found = bull.the_failure("child").await;
    let job = Job { bull, queue: "child", id: found.episode.job.clone(), found };
    bull.query::<()>(redis::cmd("DEL").arg(format!("bull:child:{}", job.id))).await;
    assert_eq!(job.put_anew("order", true).await, Put::Flow);
    bull.is("child", &job.id, State::Failed(job.episode().failed_at_ms)).await;
    assert_eq!(bull.field("child", &job.id, "name").await, None);
}

/// Makes it anew while nobody works, and has it do nothing wrong.
async fn is_made_before_a_worker_comes(bull: &Bull, job: &Job<'_>) {
    bull.ask(json!({"call": "rest", "queue": job.queue})).await;
    job.is_mended().await;
    job.is_trimmed().await;
    assert_eq!(job.put_anew("order", false).await, Put::Moved);
    assert_eq!(bull.ask(json!({"call": "state", "queue": job.queue, "job": job.id})).await, state_of(job));
}

fn state_of(job: &Job<'_>) -> Value {
    if job.queue == "priority" { json!("prioritized") } else { json!("waiting") }
}
