//! How queues behave, whatever is below them: each function is one behaviour, run on SQLite and on PostgreSQL.

mod dead;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kit::queue::{
    Claim, Draft, Failed, Job, JobId, LEASE_EXPIRED, MAX_PAYLOAD_BYTES, MAX_REASON_BYTES, Options, QueueError, Queues,
    Retry, Stats,
};

/// Calls the macro `$run` with the name of every behaviour.
macro_rules! every {
    ($run:ident) => {
        $run! {
            a_job_comes_out_as_it_was_put_in_and_is_gone_when_complete
            higher_priority_goes_first_then_the_longest_due_then_the_oldest
            a_job_is_not_claimed_before_its_time
            a_second_claim_finds_nothing_until_the_lease_runs_out
            an_extended_lease_lasts
            a_late_worker_changes_nothing
            a_job_that_fails_waits_and_after_its_last_attempt_is_dead
            a_job_that_ends_its_worker_every_time_dies_too
            a_dead_job_can_be_brought_back_once_or_thrown_away
            a_key_admits_one_unfinished_job
            a_dead_job_does_not_come_back_beside_another_with_its_key
            a_full_queue_says_so
            what_is_too_large_or_has_no_name_is_refused
            workers_at_the_same_time_get_different_jobs
            a_keyed_job_changes_while_it_runs
            a_keyed_job_keeps_to_its_bound
            every_queue_that_has_a_job_is_named
            the_dead_are_listed_as_they_died
            an_order_brings_a_job_back_once
            a_job_that_comes_back_for_one_attempt_has_one
            a_job_that_is_gone_is_made_anew_once
        }
    };
}
pub(crate) use every;

pub(crate) use self::dead::*;

pub(crate) const LEASE: Duration = Duration::from_secs(30);
const Q: &str = "mail";

/// A clock that stands until it is moved.
#[derive(Clone)]
pub(crate) struct Time(Arc<AtomicI64>);

impl Default for Time {
    /// Any time will do; this is 14 November 2023.
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_700_000_000_000)))
    }
}

impl Time {
    pub(crate) fn clock(&self) -> impl Fn() -> Timestamp + Send + Sync + 'static {
        let time = self.clone();
        move || time.now()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    pub(crate) fn pass(&self, length: Duration) {
        self.0.fetch_add(i64::try_from(length.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

fn attempts(number: u32) -> Options<'static> {
    Options { max_attempts: NonZeroU32::new(number).unwrap(), ..Options::default() }
}

fn key(key: &str) -> Options<'_> {
    Options { key: Some(key), ..Options::default() }
}

/// Puts a job in; its payload is its name.
pub(crate) async fn put(queues: &Queues, name: &str, options: Options<'_>) -> JobId {
    queues.enqueue(Q, name, name, options).await.unwrap()
}

async fn claim(queues: &Queues, limit: u32) -> Vec<Job> {
    queues.claim(&[Q], "worker", LEASE, limit).await.unwrap()
}

async fn one(queues: &Queues) -> Claim {
    let jobs = claim(queues, 2).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs[0].claim
}

async fn names(queues: &Queues) -> String {
    let jobs = claim(queues, 100).await;
    jobs.into_iter().map(|job| job.name).collect::<Vec<_>>().join(" ")
}

async fn stats(queues: &Queues) -> Stats {
    queues.stats(Q).await.unwrap()
}

/// Waiting, scheduled, running, dead.
async fn counts(queues: &Queues) -> [u64; 4] {
    let stats = stats(queues).await;
    [stats.waiting, stats.scheduled, stats.running, stats.dead]
}

pub(crate) async fn a_job_comes_out_as_it_was_put_in_and_is_gone_when_complete(queues: &Queues, time: &Time) {
    let payload = serde_json::json!({"to": "ä\u{0}\"", "n": 18_446_744_073_709_551_615_u64});
    let id = queues.enqueue(Q, "send", &payload, attempts(3)).await.unwrap();
    assert_eq!(counts(queues).await, [1, 0, 0, 0]);
    time.pass(Duration::from_secs(5));
    assert_eq!(stats(queues).await.oldest_age, Some(Duration::from_secs(5)));
    let job = claim(queues, 10).await.remove(0);
    assert_eq!((job.claim.id, job.queue.as_str(), job.name.as_str()), (id, Q, "send"));
    assert_eq!((job.attempt, job.max_attempts), (1, 3));
    assert_eq!((job.created_at, job.until), (time.now() - Duration::from_secs(5), time.now() + LEASE));
    assert_eq!(job.decode::<serde_json::Value>().unwrap(), payload);
    assert_eq!(counts(queues).await, [0, 0, 1, 0]);
    queues.complete(job.claim).await.unwrap();
    assert_eq!(stats(queues).await, Stats::default());
}

pub(crate) async fn higher_priority_goes_first_then_the_longest_due_then_the_oldest(queues: &Queues, time: &Time) {
    let start = time.now();
    time.pass(LEASE);
    let due = |seconds| Some(start + Duration::from_secs(seconds));
    put(queues, "d", Options { run_at: due(2), ..Options::default() }).await;
    put(queues, "e", Options { run_at: due(2), ..Options::default() }).await;
    put(queues, "c", Options { run_at: due(1), ..Options::default() }).await;
    put(queues, "f", Options { run_at: due(0), priority: -1, ..Options::default() }).await;
    put(queues, "a", Options { run_at: due(3), priority: 7, ..Options::default() }).await;
    queues.enqueue("other", "b", "b", Options { priority: 1, ..Options::default() }).await.unwrap();
    let first = queues.claim(&["other", Q], "worker", LEASE, 3).await.unwrap();
    assert_eq!(first.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(names(queues).await, "d e f");
}

pub(crate) async fn a_job_is_not_claimed_before_its_time(queues: &Queues, time: &Time) {
    let later = Options { run_at: Some(time.now() + LEASE), ..Options::default() };
    put(queues, "later", later).await;
    time.pass(LEASE - Duration::from_millis(1));
    assert_eq!((names(queues).await.as_str(), counts(queues).await), ("", [0, 1, 0, 0]));
    time.pass(Duration::from_millis(1));
    assert_eq!(names(queues).await, "later");
}

pub(crate) async fn a_second_claim_finds_nothing_until_the_lease_runs_out(queues: &Queues, time: &Time) {
    put(queues, "a", attempts(3)).await;
    let first = one(queues).await;
    time.pass(LEASE - Duration::from_millis(1));
    assert_eq!(names(queues).await, "");
    time.pass(Duration::from_millis(1));
    let again = claim(queues, 1).await.remove(0);
    assert_eq!((again.claim.id, again.attempt), (first.id, 2));
    assert!(again.claim.epoch > first.epoch);
}

pub(crate) async fn an_extended_lease_lasts(queues: &Queues, time: &Time) {
    put(queues, "a", attempts(3)).await;
    let held = one(queues).await;
    time.pass(LEASE / 2);
    assert_eq!(queues.extend(held, LEASE).await.unwrap(), time.now() + LEASE);
    time.pass(LEASE - Duration::from_millis(1));
    assert_eq!(names(queues).await, "");
    queues.complete(held).await.unwrap();
}

pub(crate) async fn a_late_worker_changes_nothing(queues: &Queues, time: &Time) {
    put(queues, "a", attempts(9)).await;
    let late = one(queues).await;
    time.pass(LEASE);
    let held = one(queues).await;
    let refused = [
        queues.complete(late).await.err(),
        queues.fail(late, "late", Retry::Dead).await.err(),
        queues.fail(late, "late", Retry::After(Duration::ZERO)).await.err(),
        queues.extend(late, LEASE).await.err(),
        queues.settle(late, |_payload| None).await.err(),
    ];
    for error in refused {
        assert!(matches!(&error, Some(QueueError::Lost(id)) if *id == late.id), "{error:?}");
        assert_eq!(error.unwrap().to_string(), format!("job {} is no longer held by this claim", late.id));
    }
    assert_eq!(counts(queues).await, [0, 0, 1, 0]);
    queues.complete(held).await.unwrap();
    assert!(matches!(queues.complete(held).await, Err(QueueError::Lost(_))), "and once is once");
}

pub(crate) async fn a_job_that_fails_waits_and_after_its_last_attempt_is_dead(queues: &Queues, time: &Time) {
    let (born, wait) = (time.now(), Retry::After(LEASE));
    let id = put(queues, "a", attempts(2)).await;
    assert_eq!(queues.fail(one(queues).await, "first", wait).await.unwrap(), Failed::Waits);
    assert_eq!(counts(queues).await, [0, 1, 0, 0]);
    time.pass(LEASE);
    let long = "ä".repeat(MAX_REASON_BYTES);
    assert_eq!(queues.fail(one(queues).await, &long, wait).await.unwrap(), Failed::Dead);
    let dead = queues.dead(Q, 10, None).await.unwrap().remove(0);
    assert_eq!((dead.id, dead.attempts, dead.max_attempts, dead.payload.as_str()), (id, 2, 2, "\"a\""));
    assert!(dead.reason.len() <= MAX_REASON_BYTES && dead.reason.ends_with("ä [cut]"), "{}", dead.reason.len());
    assert_eq!((dead.created_at, dead.first_failed_at, dead.failed_at), (born, born, born + LEASE));
    put(queues, "b", attempts(9)).await;
    assert_eq!(queues.fail(one(queues).await, "no use", Retry::Dead).await.unwrap(), Failed::Dead);
    let rest = queues.dead(Q, 10, Some(id)).await.unwrap();
    assert_eq!(rest.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["no use"]);
    assert_eq!(queues.dead(Q, 1, None).await.unwrap().len(), 1);
    assert_eq!(counts(queues).await, [0, 0, 0, 2]);
}

pub(crate) async fn a_job_that_ends_its_worker_every_time_dies_too(queues: &Queues, time: &Time) {
    put(queues, "poison", attempts(2)).await;
    for _ in 0..2 {
        one(queues).await;
        time.pass(LEASE);
    }
    assert_eq!(names(queues).await, "");
    let dead = queues.dead(Q, 10, None).await.unwrap().remove(0);
    assert_eq!((dead.reason.as_str(), dead.attempts), (LEASE_EXPIRED, 2));
}

pub(crate) async fn a_dead_job_can_be_brought_back_once_or_thrown_away(queues: &Queues, _time: &Time) {
    let id = put(queues, "a", attempts(1)).await;
    assert!(!queues.redrive(id, None).await.unwrap() && !queues.discard(id, None).await.unwrap(), "it is not dead");
    queues.fail(one(queues).await, "x", Retry::Dead).await.unwrap();
    let first = queues.dead(Q, 1, None).await.unwrap().remove(0).epoch;
    assert!(queues.redrive(id, Some(first)).await.unwrap());
    assert!(!queues.redrive(id, Some(first)).await.unwrap());
    let job = claim(queues, 1).await.remove(0);
    assert_eq!((job.claim.id, job.attempt), (id, 1));
    queues.fail(job.claim, "y", Retry::Dead).await.unwrap();
    // The answer to the first redrive was lost, and somebody asks again.
    assert!(!queues.redrive(id, Some(first)).await.unwrap() && !queues.discard(id, Some(first)).await.unwrap());
    assert!(queues.discard(id, None).await.unwrap() && !queues.discard(id, None).await.unwrap());
    assert_eq!(stats(queues).await, Stats::default());
}

pub(crate) async fn a_key_admits_one_unfinished_job(queues: &Queues, _time: &Time) {
    let first = put(queues, "a", key("k")).await;
    assert_eq!(put(queues, "b", key("k")).await, first);
    assert_ne!(queues.enqueue("other", "a", "a", key("k")).await.unwrap(), first);
    let held = one(queues).await;
    assert_eq!(put(queues, "c", key("k")).await, first, "also while it runs");
    queues.complete(held).await.unwrap();
    let second = put(queues, "d", key("k")).await;
    assert_ne!(second, first);
    queues.fail(one(queues).await, "x", Retry::Dead).await.unwrap();
    assert_ne!(put(queues, "e", key("k")).await, second, "the dead do not hold their keys");
    assert_eq!(names(queues).await, "e");
}

pub(crate) async fn a_dead_job_does_not_come_back_beside_another_with_its_key(queues: &Queues, _time: &Time) {
    let dead = put(queues, "a", key("k")).await;
    queues.fail(one(queues).await, "x", Retry::Dead).await.unwrap();
    put(queues, "b", key("k")).await;
    let error = queues.redrive(dead, None).await.unwrap_err();
    assert_eq!(error.to_string(), format!("another job with the key of job {dead} is not finished"));
    queues.complete(one(queues).await).await.unwrap();
    assert!(queues.redrive(dead, None).await.unwrap());
}

pub(crate) async fn a_full_queue_says_so(queues: &Queues, time: &Time) {
    let bounded = |key| Options { key, max_unfinished: Some(2), ..Options::default() };
    let first = put(queues, "a", bounded(Some("k"))).await;
    put(queues, "b", Options { run_at: Some(time.now() + LEASE), ..bounded(None) }).await;
    let held = one(queues).await;
    let error = queues.enqueue(Q, "c", "c", bounded(None)).await.unwrap_err();
    assert!(matches!(error, QueueError::Full { .. }), "{error:?}");
    assert_eq!(error.to_string(), "queue \"mail\" is full: 2 jobs are not finished");
    assert_eq!(put(queues, "d", bounded(Some("k"))).await, first, "what is in already is no more");
    queues.enqueue("other", "c", "c", bounded(None)).await.unwrap();
    queues.fail(held, "x", Retry::Dead).await.unwrap();
    put(queues, "c", bounded(None)).await;
}

pub(crate) async fn what_is_too_large_or_has_no_name_is_refused(queues: &Queues, _time: &Time) {
    put(queues, "a", Options::default()).await;
    let refusal = async |queue: &str, name: &str, payload: &str, options: Options<'_>| {
        queues.enqueue(queue, name, payload, options).await.unwrap_err().to_string()
    };
    let plain = Options::default();
    let fits = "x".repeat(MAX_PAYLOAD_BYTES - 2);
    queues.enqueue("large", "a", &fits, plain).await.unwrap();
    let said = refusal("large", "a", &format!("{fits}x"), plain).await;
    assert_eq!(said, "the payload has 262145 bytes, more than 262144; store it elsewhere and queue where it is");
    for (queue, name, options, expected) in
        [("", "a", plain, "queue \"\""), (Q, "a\nb", plain, "job name \"a\\nb\""), (Q, "a", key(""), "key \"\"")]
    {
        let said = refusal(queue, name, "x", options).await;
        assert_eq!(said, format!("{expected} must have 1 to 128 bytes and no control characters"));
    }
    let error = queues.claim(&[Q], "", LEASE, 1).await.unwrap_err().to_string();
    assert!(error.starts_with("owner \"\" must have"), "{error}");
}

pub(crate) async fn workers_at_the_same_time_get_different_jobs(queues: &Queues, _time: &Time) {
    for number in 0..40 {
        put(queues, &number.to_string(), Options::default()).await;
    }
    let claims = (0..8).map(|_worker| claim(queues, 5));
    let jobs: Vec<Job> = futures_util::future::join_all(claims).await.into_iter().flatten().collect();
    let ids: BTreeSet<JobId> = jobs.iter().map(|job| job.claim.id).collect();
    assert_eq!(ids.len(), jobs.len(), "no job twice");
    // Those who looked at rows that another was just taking got fewer; nothing is left behind.
    assert_eq!(jobs.len() + claim(queues, 40).await.len(), 40);
}

pub(crate) async fn a_keyed_job_changes_while_it_runs(queues: &Queues, time: &Time) {
    let draft = |payload: String, run_at| Some(Draft { name: "state", payload, run_at, priority: 0 });
    let now = time.now();
    let add = |more: &'static str| {
        move |found: Option<&str>| draft(format!("\"{}{more}\"", found.unwrap_or_default().trim_matches('"')), now)
    };
    queues.amend(Q, "k", 9, |found| found.map(|_none| unreachable!())).await.unwrap();
    assert_eq!(stats(queues).await, Stats::default());
    queues.amend(Q, "k", 9, add("a")).await.unwrap();
    queues.amend(Q, "k", 9, add("b")).await.unwrap();
    let job = claim(queues, 9).await.remove(0);
    assert_eq!((job.payload.as_str(), job.name.as_str()), ("\"ab\"", "state"));
    queues.amend(Q, "k", 9, add("c")).await.unwrap();
    assert_eq!(names(queues).await, "", "it still runs");
    let later = now + LEASE * 2;
    let keep = |payload: &str| draft(payload.to_owned(), later);
    queues.settle(job.claim, keep).await.unwrap();
    assert_eq!(counts(queues).await, [0, 1, 0, 0]);
    time.pass(LEASE * 2);
    let job = claim(queues, 9).await.remove(0);
    assert_eq!((job.payload.as_str(), job.attempt), ("\"abc\"", 1));
    queues.settle(job.claim, |_payload| None).await.unwrap();
    assert_eq!(stats(queues).await, Stats::default());
}

pub(crate) async fn a_keyed_job_keeps_to_its_bound(queues: &Queues, time: &Time) {
    let run_at = time.now();
    let draft = move |_found: Option<&str>| Some(Draft { name: "state", payload: "1".to_owned(), run_at, priority: 0 });
    queues.amend(Q, "a", 1, draft).await.unwrap();
    queues.amend(Q, "a", 1, draft).await.unwrap();
    let error = queues.amend(Q, "b", 1, draft).await.unwrap_err();
    assert!(matches!(error, QueueError::Full { limit: 1, .. }), "{error:?}");
    assert_eq!(queues.count_named(Q, "state").await.unwrap(), 1);
    let large =
        |_found: Option<&str>| Some(Draft { payload: "x".repeat(MAX_PAYLOAD_BYTES + 1), ..draft(None).unwrap() });
    assert!(matches!(queues.amend(Q, "a", 1, large).await, Err(QueueError::PayloadTooLarge { .. })));
    assert_eq!(claim(queues, 1).await[0].payload, "1");
}
