//! What a Loki that works is told.

use kit::trace::{Context, Kind, Span, TraceSettings};
use serde_json::{Value, json};
use testkit::{Loki, Target};

use crate::{LIMIT, Log, all_dropped, figure, numbers, sent, work};

#[tokio::test]
async fn lines_arrive_as_they_are_written_with_three_labels_and_the_ids_of_their_trace() {
    let loki = Loki::start().await;
    let variables = [("LOKI_TENANT", "team-a"), ("LOKI_TOKEN", "hunter2hunter2"), ("ENVIRONMENT", "production")];
    let log = Log::start(&loki.url(), &variables);
    let collector = Target::refuse().url("/");
    let environment = kit::config::Environment::of([("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str())]);
    let traces = kit::trace::start(TraceSettings::read(&environment, "test", "1").unwrap());
    let caller = Context::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let span = Span::enter(Kind::Server, "GET /", Some(&caller), None, false);
    let given = "Bearer hunter2hunter2";
    span.within(async { tracing::error!(check.id = "web", given, password = "x", "it \"failed\"") }).await;
    tracing::info!("alone");
    let written = log.lines();
    log.exporting.finish().await;
    let held = loki.held().await;
    assert_eq!((&held["refusals"], &held["duplicates"]), (&json!([]), &json!(0)));
    let at_level = |level: &str| {
        let mut entries = held["entries"].as_array().unwrap().iter();
        let entry =
            entries.find(|entry| entry["labels"]["level"] == level && entry["metadata"]["target"] == "log::delivered");
        let line: Value = serde_json::from_str(entry.unwrap()["line"].as_str().unwrap()).unwrap();
        assert!(written.contains(&line), "{line}");
        (entry.unwrap(), line)
    };
    let (alone, line) = at_level("info");
    assert_eq!(alone["labels"], json!({ "service": "test", "level": "info", "environment": "production" }));
    assert_eq!(alone["metadata"], json!({ "target": "log::delivered" }));
    assert_eq!((line["trace_id"].clone(), line["message"].as_str()), (Value::Null, Some("alone")));
    assert_eq!(alone["headers"]["x-scope-orgid"], "team-a");
    assert_eq!(alone["headers"]["authorization"], "Bearer hunter2hunter2");
    let (failed, line) = at_level("error");
    let span_id = span.context().unwrap().span_id();
    let ids = json!({ "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": span_id, "target": "log::delivered" });
    assert_eq!(failed["metadata"], ids);
    assert_eq!((&line["trace_id"], &line["span_id"]), (&ids["trace_id"], &ids["span_id"]));
    assert_eq!((&line["given"], &line["password"]), (&json!("Bearer [redacted]"), &json!("[redacted]")));
    let at = jiff::Timestamp::from_nanosecond(failed["at"].as_i64().unwrap().into()).unwrap();
    assert_eq!(format!("{at:.6}"), line["timestamp"].as_str().unwrap());
    traces.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_leaves_when_it_is_full_or_old_or_at_the_end() {
    let loki = Loki::start().await;
    let never = [("LOKI_BATCH_WAIT", "3600000"), ("LOKI_BATCH_BYTES", "8KiB")];
    let log = Log::start(&loki.url(), &never);
    work(0..200);
    let first = loki.eventually("full batches", |held| Some(numbers(held)).filter(|found| found.len() > 100)).await;
    assert!(first.len() < 200, "the last batch is not full");
    log.exporting.finish().await;
    let held = loki.held().await;
    assert_eq!(numbers(&held), (0..200).collect::<Vec<_>>());
    assert!(held["requests"].as_array().unwrap().len() > 5, "{}", held["requests"]);
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    assert!(now - figure("telemetry_log_last_success_timestamp_seconds") <= LIMIT.as_secs());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_at_once_is_halved() {
    let loki = Loki::start().await;
    loki.take_at_most(900).await;
    let log = Log::start(&loki.url(), &[("LOKI_BATCH_WAIT", "3600000")]);
    work(0..200);
    let random = |length| -> String { (0..length).map(|_| rand::random_range('a'..='z')).collect() };
    tracing::info!(text = random(2000), "too large");
    log.exporting.finish().await;
    let held = loki.held().await;
    assert_eq!((numbers(&held), all_dropped()), ((0..200).collect::<Vec<_>>(), 1));
    assert_eq!(sent() + all_dropped(), held["entries"].as_array().unwrap().len() as u64 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_threads_write_at_once_and_no_line_is_lost_or_behind_another() {
    let loki = Loki::start().await;
    let log = Log::start(&loki.url(), &[]);
    let threads: Vec<_> =
        (0..8).map(|thread| std::thread::spawn(move || work(thread * 500..(thread + 1) * 500))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    log.exporting.finish().await;
    let held = loki.held().await;
    let mut found = numbers(&held);
    found.sort_unstable();
    assert_eq!((found, &held["duplicates"]), ((0..4000).collect::<Vec<_>>(), &json!(0)));
}
