//! Parts of flows, and jobs that stand for others: put back where that is safe, and left to a person where it is not.

use dlq_processor::source::{Put, Source, State};
use serde_json::{Value, json};
use testkit::eventually;

use super::bull::Job;
use super::{Bull, LIMIT};

in_every_version! {
    a_part_of_a_flow_is_put_back_while_its_parent_waits_for_it:
    that_its_parent_still_depends_on, that_its_parent_went_on_without, beside_others_that_failed,
    but_not_if_its_parent_failed_with_it, nor_if_its_parent_is_gone, nor_if_its_parent_runs_or_is_done
}

in_every_version! {
    a_job_that_stands_for_others_is_not_run_beside_a_newer_one: while_it_is_under_way, but_after_it_was_done
}

/// A flow whose child fails, with these options.
async fn failed_child<'b>(
    bull: &'b Bull,
    [parent, child]: [&'static str; 2],
    opts: Value,
    more: Value,
) -> (String, Job<'b>) {
    bull.does(child, json!({"throws": "boom"})).await;
    let first = json!({"name": "job", "queueName": child, "data": 2, "opts": opts});
    let children: Vec<Value> = [first].into_iter().chain(more.as_array().unwrap().iter().cloned()).collect();
    let tree = json!({"name": "job", "queueName": parent, "data": 1, "children": children});
    let made = bull.ask(json!({"call": "flow", "tree": tree})).await;
    bull.work(child).await;
    let found = bull.the_failure(child).await;
    assert!(found.is_in_flow);
    (made["parent"].as_str().unwrap().to_owned(), Job { bull, queue: child, id: found.episode.job.clone(), found })
}

async fn state(bull: &Bull, queue: &str, id: &str) -> Value {
    bull.ask(json!({"call": "state", "queue": queue, "job": id})).await
}

/// BullMQ 5.58 and later: a failure is noted with the parent, and one job may stand for others.
fn is_recent(bull: &Bull) -> bool {
    !["bullmq-4", "bullmq-5-0"].contains(&bull.version)
}

/// Puts it back, and has the parent run once, after it.
async fn is_done_with(bull: &Bull, job: &Job<'_>, [queue, parent]: [&str; 2]) {
    assert_eq!(bull.runs(queue, parent).await.len(), 0);
    job.is_mended().await;
    assert_eq!(job.put_back("order", true).await, Put::Moved);
    assert_eq!(job.put_back("order", true).await, Put::Already);
    bull.is(job.queue, &job.id, State::Completed).await;
    bull.work(queue).await;
    bull.is(queue, parent, State::Completed).await;
    bull.is_idle(queue).await;
    assert_eq!((bull.runs(queue, parent).await.len(), job.runs().await.len()), (1, 2));
    let processed: u64 = bull.query(redis::cmd("HLEN").arg(format!("bull:{queue}:{parent}:processed"))).await;
    assert!(processed >= 1, "its result is the parent's to read");
}

async fn that_its_parent_still_depends_on(bull: &Bull) {
    let (parent, job) = failed_child(bull, ["trunk", "branch"], json!({}), json!([])).await;
    assert_eq!(state(bull, "trunk", &parent).await, "waiting-children");
    is_done_with(bull, &job, ["trunk", &parent]).await;
}

/// The parent waits for another child.
async fn that_its_parent_went_on_without(bull: &Bull) {
    if !is_recent(bull) {
        return;
    }
    bull.does("other branch", json!({})).await;
    let other = json!([{"name": "job", "queueName": "other branch", "data": 3}]);
    let opts = json!({"ignoreDependencyOnFailure": true});
    let (parent, job) = failed_child(bull, ["trunk two", "branch two"], opts, other).await;
    let key = format!("bull:trunk two:{parent}");
    let count = async |part: &str, count: &str| bull.query::<u64>(redis::cmd(count).arg(format!("{key}:{part}"))).await;
    assert_eq!([count("failed", "HLEN").await, count("dependencies", "SCARD").await], [1, 1]);
    job.is_mended().await;
    bull.ask(json!({"call": "pause", "queue": "branch two"})).await;
    assert_eq!(job.put_back("order", true).await, Put::Moved);
    assert_eq!([count("failed", "HLEN").await, count("dependencies", "SCARD").await], [0, 2], "it is waited for again");
    bull.work("other branch").await;
    bull.work("trunk two").await;
    eventually("the other child to be done", LIMIT, async || (count("dependencies", "SCARD").await == 1).then_some(()))
        .await;
    assert_eq!(state(bull, "trunk two", &parent).await, "waiting-children");
    bull.ask(json!({"call": "resume", "queue": "branch two"})).await;
    bull.is("trunk two", &parent, State::Completed).await;
    assert_eq!((bull.runs("trunk two", &parent).await.len(), count("processed", "HLEN").await), (1, 2));
}

async fn beside_others_that_failed(bull: &Bull) {
    let more = json!([{"name": "other", "queueName": "branch three", "data": 3}]);
    bull.set("does:branch three:other", &json!({}).to_string()).await;
    let (parent, job) = failed_child(bull, ["trunk three", "branch three"], json!({}), more).await;
    is_done_with(bull, &job, ["trunk three", &parent]).await;
}

async fn but_not_if_its_parent_failed_with_it(bull: &Bull) {
    let opts = json!({"failParentOnFailure": true});
    let (parent, job) = failed_child(bull, ["trunk four", "branch four"], opts, json!([])).await;
    bull.work("trunk four").await;
    bull.is("trunk four", &parent, State::Failed(bull.the_failure("trunk four").await.episode.failed_at_ms)).await;
    stays(bull, &job).await;
}

async fn nor_if_its_parent_is_gone(bull: &Bull) {
    let (parent, job) = failed_child(bull, ["trunk five", "branch five"], json!({}), json!([])).await;
    bull.query::<()>(redis::cmd("DEL").arg(format!("bull:trunk five:{parent}"))).await;
    stays(bull, &job).await;
}

async fn nor_if_its_parent_runs_or_is_done(bull: &Bull) {
    if !is_recent(bull) {
        return;
    }
    let opts = json!({"ignoreDependencyOnFailure": true});
    let (parent, job) = failed_child(bull, ["trunk six", "branch six"], opts, json!([])).await;
    stays(bull, &job).await;
    bull.work("trunk six").await;
    bull.is("trunk six", &parent, State::Completed).await;
    stays(bull, &job).await;
}

async fn stays(bull: &Bull, job: &Job<'_>) {
    let key = format!("bull:{}:{}", job.queue, job.id);
    let before: Vec<u8> = bull.query(redis::cmd("DUMP").arg(&key)).await;
    job.is_mended().await;
    assert_eq!(job.put_back("order", true).await, Put::Flow, "{}", job.queue);
    assert_eq!(bull.query::<Vec<u8>>(redis::cmd("DUMP").arg(&key)).await, before);
    bull.is(job.queue, &job.id, State::Failed(job.episode().failed_at_ms)).await;
    assert_eq!(job.runs().await.len(), 1);
}

async fn while_it_is_under_way(bull: &Bull) {
    if !is_recent(bull) {
        return;
    }
    let opts = json!({"deduplication": {"id": "one"}});
    let job = bull.failed("stands", json!(1), opts.clone()).await;
    bull.ask(json!({"call": "pause", "queue": "stands"})).await;
    job.is_mended().await;
    let newer = bull.add("stands", json!({"name": "job", "data": 2, "opts": opts})).await;
    assert_ne!(newer, job.id);
    for has_all_tries in [false, true] {
        assert_eq!(job.put_back("order", has_all_tries).await, Put::Newer);
    }
    let kept = dlq_processor::source::Lost { order: job.order("anew", true), kept: job.found.kept.clone() };
    assert_eq!(bull.source.forget(std::slice::from_ref(job.episode())).await.unwrap(), 1);
    assert_eq!(bull.source.put_anew(std::slice::from_ref(&kept)).await.unwrap(), [Put::Newer]);
    bull.ask(json!({"call": "resume", "queue": "stands"})).await;
    bull.is("stands", &newer, State::Completed).await;
    assert_eq!(bull.source.put_anew(&[kept]).await.unwrap(), [Put::Moved], "it was not carried out before");
    job.is_done_after(2).await;
}

async fn but_after_it_was_done(bull: &Bull) {
    if !is_recent(bull) {
        return;
    }
    // Its key outlives it.
    let opts = json!({"deduplication": {"id": "two", "ttl": 3_600_000}});
    let job = bull.failed("stood", json!(1), opts.clone()).await;
    job.is_mended().await;
    bull.query::<()>(redis::cmd("DEL").arg("bull:stood:de:two")).await;
    let newer = bull.add("stood", json!({"name": "job", "data": 2, "opts": opts})).await;
    bull.is("stood", &newer, State::Completed).await;
    assert_eq!(bull.query::<Option<String>>(redis::cmd("GET").arg("bull:stood:de:two")).await, Some(newer));
    assert_eq!(job.put_back("order", false).await, Put::Moved);
    job.is_done_after(2).await;
}
