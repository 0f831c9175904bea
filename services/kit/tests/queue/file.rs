//! One SQLite file and several programs: handles of their own stand for them, since each has its own connection.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use kit::queue::{Options, QueueError, Queues, Retry};
use proptest::prelude::*;

use crate::history::{happen, steps};
use crate::open;
use crate::suite::{LEASE, put};

#[tokio::test]
async fn programs_that_start_together_make_the_tables_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/jobs.db");
    let opened = join_all((0..8).map(|_program| Queues::sqlite(&path))).await;
    for (number, queues) in opened.into_iter().enumerate() {
        put(&queues.unwrap(), &number.to_string(), Options::default()).await;
    }
    assert_eq!(open(&path).await.0.stats("mail").await.unwrap().scheduled, 8, "by a clock that stands in the past");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_share_the_file_claim_different_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let (first, _time) = open(&path).await;
    let (second, _time) = open(&path).await;
    for number in 0..60 {
        put(if number % 2 == 0 { &first } else { &second }, &number.to_string(), Options::default()).await;
    }
    let drain = async |queues: &Queues, owner: &str| {
        let mut names = Vec::new();
        loop {
            let jobs = queues.claim(&["mail"], owner, LEASE, 7).await.unwrap();
            if jobs.is_empty() {
                return names;
            }
            for job in jobs {
                queues.complete(job.claim).await.unwrap();
                names.push(job.name);
            }
        }
    };
    let (mine, yours) = tokio::join!(drain(&first, "first"), drain(&second, "second"));
    let all: BTreeSet<&String> = mine.iter().chain(&yours).collect();
    assert_eq!((all.len(), mine.len() + yours.len()), (60, 60));
}

#[tokio::test]
async fn what_a_killed_program_held_comes_back_after_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let (killed, _time) = open(&path).await;
    put(&killed, "a", Options::default()).await;
    let lost = killed.claim(&["mail"], "killed", LEASE, 1).await.unwrap()[0].claim;
    // Nothing is closed: the file is as a killed process leaves it.
    std::mem::forget(killed);
    let (next, time) = open(&path).await;
    assert!(next.claim(&["mail"], "next", LEASE, 1).await.unwrap().is_empty());
    time.pass(LEASE);
    let job = next.claim(&["mail"], "next", LEASE, 1).await.unwrap().remove(0);
    assert_eq!((job.claim.id, job.attempt), (lost.id, 2));
    assert!(matches!(next.complete(lost).await, Err(QueueError::Lost(_))));
}

#[tokio::test]
async fn a_locked_file_is_a_late_answer_and_no_hang() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let (queues, _time) = open(&path).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let hurried = queues.clone().with_deadline(Duration::from_millis(50));
    let error = hurried.enqueue("mail", "a", "a", Options::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "the job store did not answer within 50ms");
    drop(held);
    put(&queues, "b", Options::default()).await;
    assert_eq!(queues.stats("mail").await.unwrap().waiting, 1, "what was late is not in");
}

#[tokio::test]
async fn whoever_watches_over_a_file_makes_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    let refusal = async || Queues::existing_sqlite(&path).await.unwrap_err().to_string();
    let missing =
        format!("there are no job tables in {} yet; the program that puts jobs in makes them", path.display());
    assert_eq!((refusal().await, files()), (missing.clone(), 0));
    std::fs::write(&path, "").unwrap();
    assert_eq!(refusal().await, missing);
    let (queues, _time) = open(&path).await;
    put(&queues, "a", Options::default()).await;
    let watching = Queues::existing_sqlite(&path).await.unwrap();
    assert_eq!(watching.names().await.unwrap().len(), 1);
    watching.close().await;
    queues.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let file = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 2").execute(&file).await.unwrap();
    let older = refusal().await;
    assert!(older.contains("are of version 2, older than the 4 this program needs; start the program that"), "{older}");
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&file).await.unwrap();
    assert_eq!(version, 2);
}

#[tokio::test]
async fn dead_jobs_can_be_read_as_a_view() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let (queues, _time) = open(&path).await;
    put(&queues, "a", Options::default()).await;
    let held = queues.claim(&["mail"], "worker", LEASE, 1).await.unwrap().remove(0).claim;
    queues.fail(held, "no use", Retry::Dead).await.unwrap();
    let reader =
        sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path)).await.unwrap();
    let row: (String, String, String, String, i64, i64, String, String, String, String) = sqlx::query_as(
        "SELECT id, queue, name, payload, attempts, max_attempts, reason, failed_at, created_at, first_failed_at
         FROM dead_jobs",
    )
    .fetch_one(&reader)
    .await
    .unwrap();
    let (id, time) = (held.id.to_string(), "2023-11-14T22:13:20.000Z".to_owned());
    let [queue, name, payload, reason] = ["mail", "a", "\"a\"", "no use"].map(str::to_owned);
    assert_eq!(row, (id, queue, name, payload, 1, 5, reason, time.clone(), time.clone(), time));
}

proptest! {
    // Each case is a file of its own with real commits, some 60 of them.
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_order_of_events_loses_or_doubles_a_job(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (queues, time) = open(&folder.path().join("jobs.db")).await;
            happen(&steps, &queues, &time).await;
        });
    }
}
