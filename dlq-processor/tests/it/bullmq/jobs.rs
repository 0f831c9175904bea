//! Every kind of job, from the failure until it is done: nothing of it changes, and it runs once for each time it is put back.

use dlq_processor::source::{Put, Source};
use serde_json::{Value, json};

use super::{Bull, Job};

in_every_version! {
    what_is_put_back_is_the_same_job_and_runs_once: plain, with_a_priority, last_in_first_out, delayed_once, with_tries,
    with_an_id_of_its_own, of_unicode_and_zeros, of_a_mebibyte, thrown_without_an_error, deduplicated, repeated
}

async fn plain(bull: &Bull) {
    let job = bull.failed("plain", json!({"to": "a@b"}), json!({})).await;
    let found = &job.found;
    assert_eq!((found.episode.job.as_str(), found.episode.queue.as_str()), (job.id.as_str(), "plain"));
    assert_eq!((found.name.as_str(), found.data.as_slice()), ("job", br#"{"to":"a@b"}"#.as_slice()));
    assert_eq!((found.reason.as_deref(), found.attempts, found.stalls), (Some("boom"), 1, 0));
    assert!(found.stack.as_deref().unwrap().starts_with("Error: boom\n"));
    assert!(found.put_in_at_ms.unwrap() <= found.episode.failed_at_ms && !found.is_in_flow);
    comes_back_the_same(bull, job, 1).await;
}

async fn with_a_priority(bull: &Bull) {
    let job = bull.failed("priority", json!(1), json!({"priority": 7})).await;
    comes_back_the_same(bull, job, 1).await;
}

async fn last_in_first_out(bull: &Bull) {
    let job = bull.failed("lifo", json!(1), json!({"lifo": true})).await;
    comes_back_the_same(bull, job, 1).await;
}

async fn delayed_once(bull: &Bull) {
    let job = bull.failed("delayed", json!(1), json!({"delay": 50})).await;
    comes_back_the_same(bull, job, 1).await;
}

async fn with_tries(bull: &Bull) {
    let backoff = json!({"attempts": 3, "backoff": {"type": "fixed", "delay": 10}});
    let job = bull.failed("tries", json!(1), backoff).await;
    assert_eq!(job.found.attempts, 3);
    comes_back_the_same(bull, job, 3).await;
}

async fn with_an_id_of_its_own(bull: &Bull) {
    let job = bull.failed("id", json!(1), json!({"jobId": "mail ü {1}"})).await;
    assert_eq!(job.id, "mail ü {1}");
    comes_back_the_same(bull, job, 1).await;
}

async fn of_unicode_and_zeros(bull: &Bull) {
    let job = bull.failed("unicode", json!("\u{0}\u{1f600}é\u{2028}\\u0000"), json!({})).await;
    assert_eq!(serde_json::from_slice::<Value>(&job.found.data).unwrap(), json!("\u{0}\u{1f600}é\u{2028}\\u0000"));
    comes_back_the_same(bull, job, 1).await;
}

async fn of_a_mebibyte(bull: &Bull) {
    let job = bull.failed("large", json!("x".repeat(1 << 20)), json!({})).await;
    assert_eq!(job.found.data.len(), (1 << 20) + 2);
    comes_back_the_same(bull, job, 1).await;
}

async fn thrown_without_an_error(bull: &Bull) {
    for (queue, bare) in [("object", json!({})), ("text", json!("boom"))] {
        let job = bull.failed_by(queue, json!({"throws_bare": bare}), json!(1), json!({})).await;
        assert_eq!(job.found.stack, None);
        comes_back_the_same(bull, job, 1).await;
    }
}

async fn deduplicated(bull: &Bull) {
    let job = bull.failed("deduplicated", json!(1), json!({"deduplication": {"id": "one"}})).await;
    comes_back_the_same(bull, job, 1).await;
}

async fn repeated(bull: &Bull) {
    bull.does("repeated", json!({"throws": "boom"})).await;
    bull.ask(json!({"call": "repeat", "queue": "repeated", "name": "job", "data": 1})).await;
    bull.work("repeated").await;
    let found = bull.the_failure("repeated").await;
    let job = Job { bull, queue: "repeated", id: found.episode.job.clone(), found };
    job.is_mended().await;
    assert_eq!(job.put_back("order", false).await, Put::Moved);
    bull.is("repeated", &job.id, dlq_processor::source::State::Completed).await;
    assert_eq!(job.runs().await.len(), 2);
    let counts = bull.ask(json!({"call": "counts", "queue": "repeated"})).await;
    assert_eq!(
        (counts["delayed"].as_u64(), counts["failed"].as_u64()),
        (Some(1), Some(0)),
        "the next one is untouched"
    );
}

/// Puts it back, once mended, and compares what the worker saw, and what is in Redis.
async fn comes_back_the_same(bull: &Bull, job: Job<'_>, runs_before: usize) {
    const SAME: [&str; 5] = ["name", "data", "opts", "timestamp", "priority"];
    let fields = async || {
        let mut all = Vec::new();
        for field in SAME {
            all.push(bull.field(job.queue, &job.id, field).await);
        }
        all
    };
    let before = fields().await;
    job.is_mended().await;
    assert_eq!(job.put_back("order", false).await, Put::Moved, "{}", job.queue);
    job.is_done_after(runs_before + 1).await;
    assert_eq!(fields().await, before, "{}", job.queue);
    let runs = job.runs().await;
    assert_eq!(runs.last(), runs.first(), "{}", job.queue);
    assert_eq!(runs[0]["name"], "job");
    let episodes = std::slice::from_ref(job.episode());
    assert_eq!(bull.source.read(episodes).await.unwrap(), [None], "{}: it has not failed any more", job.queue);
    assert_eq!(bull.source.forget(episodes).await.unwrap(), 0, "{}: what was done is not removed", job.queue);
    assert_eq!(job.put_back("order", false).await, Put::Already, "{}", job.queue);
    assert_eq!(job.put_back("another order", false).await, Put::NotFailed, "{}", job.queue);
}
