//! How often a job is tried after it was put back.

use dlq_processor::source::Put;
use serde_json::json;

use super::Bull;

in_every_version! {
    a_job_gets_as_many_tries_as_the_order_says:
    that_used_all, that_gave_up_before, that_used_none, that_counts_its_starts
}

async fn that_used_all(bull: &Bull) {
    let opts = json!({"attempts": 3, "backoff": {"type": "exponential", "delay": 5}});
    let mut job = bull.failed("used", json!(1), opts).await;
    assert_eq!((job.found.attempts, job.runs().await.len()), (3, 3));
    assert_eq!(job.put_back("one", false).await, Put::Moved);
    job.found = job.fails_again().await;
    assert_eq!(job.runs().await.len(), 4);
    assert_eq!(job.put_back("all", true).await, Put::Moved);
    job.found = job.fails_again().await;
    assert_eq!((job.found.attempts, job.runs().await.len()), (3, 7));
    job.is_mended().await;
    assert_eq!(job.put_back("last", true).await, Put::Moved);
    job.is_done_after(8).await;
}

async fn that_gave_up_before(bull: &Bull) {
    // BullMQ 5.0 tries again at once only after five seconds, and after these milliseconds at once.
    let opts = json!({"attempts": 4, "backoff": {"type": "fixed", "delay": 5}});
    let mut job = bull.failed_by("gave up", json!({"gives_up": "never"}), json!(1), opts).await;
    assert_eq!((job.found.attempts, job.runs().await.len()), (1, 1));
    assert_eq!(job.found.reason.as_deref(), Some("never"));
    bull.does("gave up", json!({"throws": "boom"})).await;
    assert_eq!(job.put_back("one", false).await, Put::Moved);
    job.found = job.fails_again().await;
    assert_eq!(job.runs().await.len(), 2);
    assert_eq!(job.put_back("all", true).await, Put::Moved);
    job.found = job.fails_again().await;
    assert_eq!(job.runs().await.len(), 6);
}

/// As one whose worker was not heard of again. BullMQ 4 counts a try as it begins.
async fn that_used_none(bull: &Bull) {
    if bull.version == "bullmq-4" {
        return;
    }
    let opts = json!({"attempts": 4, "backoff": {"type": "fixed", "delay": 5}});
    let job = bull.failed_by("none", json!({"gives_up": "never"}), json!(1), opts).await;
    let key = format!("bull:none:{}", job.id);
    bull.query::<()>(redis::cmd("HDEL").arg(key).arg("atm")).await;
    bull.does("none", json!({"throws": "boom"})).await;
    assert_eq!(job.put_back("one", false).await, Put::Moved);
    job.fails_again().await;
    assert_eq!(job.runs().await.len(), 2);
}

/// BullMQ 5.81 and later.
async fn that_counts_its_starts(bull: &Bull) {
    let worker = json!({"call": "work", "queue": "starts", "opts": {"maxStartedAttempts": 1}});
    bull.ask(worker).await;
    let job = bull.failed("starts", json!(1), json!({})).await;
    job.is_mended().await;
    assert_eq!(job.put_back("one", false).await, Put::Moved);
    job.is_done_after(2).await;
}
