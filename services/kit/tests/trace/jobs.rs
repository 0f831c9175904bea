//! Jobs of a queue: what does one belongs to what has put it in.

use std::time::Duration;

use kit::queue::{Job, JobFailure, Options, Queues, Worker, WorkerSettings};
use kit::trace::{Context, Kind, Span};
use serde_json::json;
use testkit::{Collector, eventually};
use tokio_util::sync::CancellationToken;

use crate::export;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_attempt_is_a_span_below_the_request_that_put_the_job_in() {
    let collector = Collector::start().await;
    let exporting = export(&collector.http(), []);
    let folder = tempfile::tempdir().unwrap();
    let queues = Queues::sqlite(&folder.path().join("jobs.db")).await.unwrap();
    let span = Span::enter(Kind::Server, "POST /letters", None, None, false);
    let put = |name: &'static str| queues.enqueue("mail", name, &(), Options::default());
    span.within(put("letter")).await.unwrap();
    put("alone").await.unwrap();
    let asked_by = span.context().cloned().unwrap();
    drop(span);
    let settings = WorkerSettings { queues: vec!["mail".to_owned()], ..WorkerSettings::default() };
    let handler = |job: Job| async move {
        match job.name.as_str() {
            "letter" => Err(JobFailure::Dead("no such mailbox".to_owned())),
            _ => Ok(()),
        }
    };
    let worker = Worker::new(queues.clone(), settings, handler);
    let stop = CancellationToken::new();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    let is_done = async || {
        let stats = queues.stats("mail").await.unwrap();
        (stats.waiting + stats.running == 0).then_some(())
    };
    eventually("both jobs to be done", LIMIT, is_done).await;
    stop.cancel();
    working.await.unwrap();
    exporting.finish().await;
    let spans = collector.spans().await;
    let named =
        |name: &str| spans.iter().find(|span| span["attributes"]["messaging.operation.name"] == name).cloned().unwrap();
    let (letter, alone) = (named("letter"), named("alone"));
    assert_eq!((&letter["trace"], &letter["parent"]), (&json!(asked_by.trace_id()), &spans[0]["span"]));
    assert_eq!(
        (&letter["name"], &letter["kind"], &letter["message"]),
        (&json!("process mail"), &json!(5), &json!("no such mailbox"))
    );
    assert_eq!((&alone["parent"], &alone["status"]), (&json!(""), &json!(0)));
}

#[tokio::test]
async fn a_job_that_was_put_in_before_there_were_traces_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let queues = Queues::sqlite(&path).await.unwrap();
    queues.enqueue("mail", "letter", &7, Options::default()).await.unwrap();
    drop(queues);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let file = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let before = "ALTER TABLE jobs DROP COLUMN traceparent; DROP INDEX jobs_died; DROP TABLE job_orders;
        PRAGMA user_version = 1;";
    sqlx::raw_sql(before).execute(&file).await.unwrap();
    file.close().await;
    let queues = Queues::sqlite(&path).await.unwrap();
    let job = queues.claim(&["mail"], "worker", LIMIT, 1).await.unwrap().remove(0);
    assert_eq!((job.payload.as_str(), job.asked_by), ("7", None::<Context>));
}
