//! The worker's loop on real time: what a handler does to its job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kit::backoff::Backoff;
use kit::queue::{Job, JobFailure, Options, Queues, Stats, Worker, WorkerSettings};
use testkit::eventually;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);
/// A deadline that a test waits for.
const SHORT: Duration = Duration::from_millis(100);

async fn queues(folder: &tempfile::TempDir) -> Queues {
    Queues::sqlite(&folder.path().join("jobs.db")).await.unwrap()
}

fn settings() -> WorkerSettings {
    let backoff = Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(1) };
    // A look comes so rarely that only being told explains a job that is done.
    WorkerSettings { queues: vec!["q".to_owned()], deadline: LIMIT, poll: LIMIT, backoff, ..WorkerSettings::default() }
}

async fn gone(queues: &Queues, expected: Stats) {
    eventually("the jobs to be settled", LIMIT, async || (queues.stats("q").await.unwrap() == expected).then_some(()))
        .await;
}

#[tokio::test]
async fn what_this_process_puts_in_is_done_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (queues, stop) = (queues(&folder).await, CancellationToken::new());
    let done = Arc::new(AtomicU32::new(0));
    let count = done.clone();
    let worker = Worker::new(queues.clone(), settings(), move |job: Job| {
        count.fetch_add(job.decode::<u32>().unwrap(), Ordering::SeqCst);
        async { Ok(()) }
    });
    let until = stop.clone();
    let task = tokio::spawn(async move { worker.run(until).await });
    for number in 1..=10_u32 {
        queues.enqueue("q", "add", &number, Options::default()).await.unwrap();
    }
    gone(&queues, Stats::default()).await;
    assert_eq!(done.load(Ordering::SeqCst), 55);
    stop.cancel();
    tokio::time::timeout(LIMIT, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn panics_errors_and_late_handlers_are_attempts_and_the_worker_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (queues, stop) = (queues(&folder).await, CancellationToken::new());
    let work = async |job: Job| match (job.name.as_str(), job.attempt) {
        ("panics", _) => panic!("on purpose"),
        ("late", _) => std::future::pending().await,
        ("refused", _) => Err(JobFailure::Dead("no such address".to_owned())),
        ("flaky", 1) => Err(JobFailure::Retry("busy".to_owned(), None)),
        ("flaky", 2) => Err(JobFailure::Retry("busy".to_owned(), Some(Duration::ZERO))),
        _ => Ok(()),
    };
    let settings = WorkerSettings { deadline: SHORT, poll: Duration::from_millis(5), concurrency: 2, ..settings() };
    let worker = Worker::new(queues.clone(), settings, work);
    let max_attempts = 3.try_into().unwrap();
    for name in ["panics", "late", "refused", "flaky", "plain"] {
        queues.enqueue("q", name, "", Options { max_attempts, ..Options::default() }).await.unwrap();
    }
    let until = stop.clone();
    let task = tokio::spawn(async move { worker.run(until).await });
    gone(&queues, Stats { dead: 3, ..Stats::default() }).await;
    stop.cancel();
    tokio::time::timeout(LIMIT, task).await.unwrap().unwrap();
    let dead = queues.dead("q", 10, None).await.unwrap();
    let dead: Vec<_> = dead.iter().map(|dead| (dead.name.as_str(), dead.attempts, dead.reason.as_str())).collect();
    let expected = [
        ("panics", 3, "the handler panicked: on purpose"),
        ("late", 3, "not finished within 100ms"),
        ("refused", 1, "no such address"),
    ];
    assert_eq!(dead, expected);
}

#[tokio::test]
async fn stopping_waits_for_what_runs_and_begins_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let (queues, stop) = (queues(&folder).await, CancellationToken::new());
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (says, waits) = (begun.clone(), go.clone());
    let worker = Worker::new(queues.clone(), settings(), move |_job| {
        let (says, waits) = (says.clone(), waits.clone());
        async move {
            says.add_permits(1);
            waits.acquire().await.unwrap().forget();
            Ok(())
        }
    });
    for name in ["runs", "waits"] {
        queues.enqueue("q", name, "", Options::default()).await.unwrap();
    }
    let until = stop.clone();
    let task = tokio::spawn(async move { worker.run(until).await });
    begun.acquire().await.unwrap().forget();
    stop.cancel();
    go.add_permits(2);
    tokio::time::timeout(LIMIT, task).await.unwrap().unwrap();
    let stats = queues.stats("q").await.unwrap();
    assert_eq!((stats.waiting, stats.running), (1, 0));
}
