//! Logs of a real binary, as a Loki that is not ours gets them.

use e2e::{KEY, Program, ask};
use http::Request;
use serde_json::{Value, json};
use testkit::{Collector, Loki, free_port};

/// A trace that somebody else has begun.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread")]
async fn a_line_in_loki_leads_to_the_trace_of_the_request_that_it_speaks_of() {
    kit::tls::install();
    let (collector, loki, folder) = (Collector::start().await, Loki::start().await, tempfile::tempdir().unwrap());
    let (traces, logs, nobody) = (collector.http(), loki.url(), format!("http://127.0.0.1:{}", free_port()));
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", traces.as_str()),
        ("LOKI_URL", &logs),
        ("ENVIRONMENT", "e2e"),
        ("OTEL_SERVICE_NAME", "front-door"),
        ("AIRTABLE_GATEWAY_URL", &nobody),
        ("LOG_LEVEL", "info"),
    ];
    let mut gateway = Program::new("api-gateway");
    gateway.start(folder.path(), &[], &variables).await;
    let request = Request::get(format!("{}/api/airtable/x", gateway.url())).header("x-api-key", KEY);
    let request = request.header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"));
    assert_eq!(ask(request, &Value::Null).await.unwrap().0, 502);
    gateway.stop().await;
    let held = loki.held().await;
    let lines = held["entries"].as_array().unwrap();
    let of_it = lines.iter().find(|line| line["metadata"]["trace_id"] == TRACE).unwrap();
    assert!(of_it["line"].as_str().unwrap().contains("cannot connect to a service"), "{of_it}");
    assert_eq!((&of_it["labels"]["environment"], &held["refusals"]), (&json!("e2e"), &json!([])));
    let spans = collector.spans().await;
    let span = spans.iter().find(|span| span["trace"] == TRACE && span["span"] == of_it["metadata"]["span_id"]);
    // By that name Grafana gets from one to the other.
    assert_eq!([&span.unwrap()["service"], &of_it["labels"]["service"]], ["front-door"; 2]);
    assert!(lines.iter().any(|line| line["line"].as_str().unwrap().contains("stopped")), "the last is there, too");
}
