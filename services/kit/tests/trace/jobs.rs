//! Jobs of a queue: what does one belongs to what has put it in.

use std::time::Duration;

use kit::queue::{Job, JobFailure, Options, Queues, Worker, WorkerSettings};
use kit::trace::{Context, Kind, Span};
use serde_json::{Value, json};
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
    let caller = Context::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap().with_state(b"a=1");
    let span = Span::enter(Kind::Server, "POST /letters", Some(&caller), None, false);
    let put = |name: &'static str| queues.enqueue("mail", name, &(), Options::default());
    span.within(put("letter")).await.unwrap();
    put("alone").await.unwrap();
    let full = queues.enqueue("mail", "too much", &(), Options { max_unfinished: Some(2), ..Options::default() });
    full.await.unwrap_err();
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
    let of = |what: &str, job: &str| {
        let is_it = |span: &&Value| span["name"] == what && span["attributes"]["messaging.operation.name"] == job;
        spans.iter().find(is_it).cloned().unwrap()
    };
    let [sent, letter, alone] = [("send mail", "letter"), ("process mail", "letter"), ("process mail", "alone")]
        .map(|(what, job)| of(what, job));
    let outer = spans.iter().find(|span| span["name"] == "POST /letters").unwrap();
    assert_eq!((&sent["parent"], &letter["parent"]), (&outer["span"], &sent["span"]));
    for span in [outer, &sent, &letter] {
        assert_eq!((&span["trace"], &span["state"]), (&json!(caller.trace_id()), &json!("a=1")));
    }
    assert_eq!((&sent["kind"], &sent["remote"], &letter["remote"]), (&json!(4), &json!(false), &json!(true)));
    assert_eq!((&letter["kind"], &letter["message"]), (&json!(5), &json!("no such mailbox")));
    let id = &letter["attributes"]["messaging.message.id"];
    let told = json!({
        "messaging.system": "jobs", "messaging.operation.type": "send", "messaging.operation.name": "letter",
        "messaging.destination.name": "mail", "messaging.message.id": id,
    });
    assert_eq!(sent["attributes"], told);
    assert_eq!((&alone["parent"], &alone["status"]), (&of("send mail", "alone")["span"], &json!(0)));
    assert_eq!(of("send mail", "too much")["attributes"]["error.type"], "full");
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
    let before = "ALTER TABLE jobs DROP COLUMN traceparent; ALTER TABLE jobs DROP COLUMN tracestate; DROP INDEX jobs_died; DROP TABLE job_orders;
        PRAGMA user_version = 1;";
    sqlx::raw_sql(before).execute(&file).await.unwrap();
    file.close().await;
    let queues = Queues::sqlite(&path).await.unwrap();
    let job = queues.claim(&["mail"], "worker", LIMIT, 1).await.unwrap().remove(0);
    assert_eq!((job.payload.as_str(), job.asked_by), ("7", None::<Context>));
}
