//! The daemon beside a worker on our own job tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlq_processor::ledger::{Filter, Ledger, Listed};
use kit::backoff::Backoff;
use kit::db;
use kit::queue::{Job, JobFailure, Options, Queues, Worker, WorkerSettings};
use testkit::{eventually, free_port};
use tokio_util::sync::CancellationToken;

use super::machine::{Daemon, LIMIT};

const CONFIG: &str = "data_dir: data\nsources: { mails: { jobs: { database: 'sqlite:jobs.db' } } }\n\
    queues: [{ queue: '*', mode: act }]\nretries: { transient: { base: 1s, cap: 1s, tries: 100 } }\n";
const QUEUE: &str = "mails";
/// Fewer failures in a row than open a breaker.
const JOBS: usize = 4;
/// Runs of each job that go wrong before it is mended.
const FAILURES: usize = 2;

/// Runs of each job.
type Runs = Arc<Mutex<BTreeMap<String, usize>>>;

#[tokio::test(flavor = "multi_thread")]
async fn every_dead_job_is_redriven_until_it_is_done_and_run_no_more_often_than_that() {
    kit::tls::install();
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("listen: 127.0.0.1:{}\n", free_port());
    std::fs::write(folder.path().join("dlq-processor.yml"), listen + CONFIG).unwrap();
    // The daemon comes first: there is no file yet, and it makes none.
    let _daemon = Daemon::spawn(folder.path());
    let (runs, stop) = (Runs::default(), CancellationToken::new());
    let queues = Queues::sqlite(&folder.path().join("jobs.db")).await.unwrap();
    let worker = worker(queues.clone(), runs.clone());
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    for number in 0..JOBS {
        queues.enqueue(QUEUE, "send", &number, Options::default()).await.unwrap();
    }
    let resolved = eventually("every job to be done", LIMIT, async || {
        let letters = letters(folder.path()).await;
        let ended = letters.iter().filter(|letter| letter.state == "resolved").count();
        (ended == JOBS).then_some(letters)
    });
    let mut of_jobs = BTreeMap::<String, Vec<String>>::new();
    for letter in resolved.await {
        of_jobs.entry(letter.job).or_default().push(letter.state);
    }
    stop.cancel();
    working.await.unwrap();
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(of_jobs.keys().collect::<Vec<_>>(), runs.keys().collect::<Vec<_>>());
    for (job, states) in &of_jobs {
        // Each failure is a letter, each was redriven once and for one try, and the last of these went well.
        assert_eq!(runs[job], states.len() + 1, "job {job}: {states:?}");
        assert_eq!((states.len(), states.iter().filter(|state| *state == "resolved").count()), (FAILURES, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_power_is_cut_no_dead_job_is_lost_and_none_is_redriven_twice() {
    kit::tls::install();
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("listen: 127.0.0.1:{}\n", free_port());
    std::fs::write(folder.path().join("dlq-processor.yml"), listen + CONFIG).unwrap();
    let (runs, queues) = (Runs::default(), Queues::sqlite(&folder.path().join("jobs.db")).await.unwrap());
    for number in 0..JOBS {
        queues.enqueue(QUEUE, "send", &number, Options::default()).await.unwrap();
    }
    let work = |runs: &Runs| {
        let (worker, stop) = (worker(queues.clone(), runs.clone()), CancellationToken::new());
        let stopped = stop.clone();
        (stop, tokio::spawn(async move { worker.run(stopped).await }))
    };
    let all_ran = async |times: usize| {
        eventually("every job to run", LIMIT, async || {
            let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
            (runs.len() == JOBS && runs.values().all(|of_job| *of_job == times)).then_some(())
        })
        .await;
    };
    let (stop, working) = work(&runs);
    all_ran(1).await;
    stop.cancel();
    working.await.unwrap();
    for place in ["after_capture_commit", "after_intent", "after_lua", "after_redriven", "before_outcome"] {
        Daemon::spawn_with(folder.path(), &[("DLQ_FAILPOINT", place)]).ended().await;
    }
    let _daemon = Daemon::spawn(folder.path());
    // The second run of each goes wrong, too.
    let (stop, working) = work(&runs);
    let resolved = eventually("every job to be done", LIMIT, async || {
        let letters = letters(folder.path()).await;
        (letters.iter().filter(|letter| letter.state == "resolved").count() == JOBS).then_some(letters)
    });
    let recurred = resolved.await.iter().filter(|letter| letter.state == "recurred").count();
    stop.cancel();
    working.await.unwrap();
    assert_eq!(recurred, JOBS, "of each job two letters, the second of which was done");
    all_ran(FAILURES + 1).await;
}

/// Gives up at first; later it leaves the tries to the queue.
fn worker(
    queues: Queues,
    runs: Runs,
) -> Worker<impl Fn(Job) -> std::future::Ready<Result<(), JobFailure>> + Send + Sync + 'static> {
    let backoff = Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(1) };
    let poll = Duration::from_millis(20);
    let settings = WorkerSettings { queues: vec![QUEUE.to_owned()], poll, backoff, ..WorkerSettings::default() };
    Worker::new(queues, settings, move |job: Job| {
        let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
        let run = runs.entry(job.claim.id.to_string()).or_default();
        *run += 1;
        let why = "connect ECONNREFUSED 127.0.0.1:25".to_owned();
        std::future::ready(match *run {
            1 => Err(JobFailure::Dead(why)),
            run if run <= FAILURES => Err(JobFailure::Retry(why, None)),
            _ => Ok(()),
        })
    })
}

/// None before the daemon has made its ledger.
async fn letters(folder: &Path) -> Vec<Listed> {
    let path = folder.join("data/ledger.db");
    if !path.exists() {
        return Vec::new();
    }
    let ledger = Ledger::open(&db::Source::Sqlite(path)).await.unwrap();
    let letters = ledger.letters(&Filter::default(), usize::MAX).await.unwrap();
    ledger.close().await;
    letters
}
