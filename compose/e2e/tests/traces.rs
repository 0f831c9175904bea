//! Traces of the real binaries, as a collector that is not ours gets them.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use e2e::{Program, ask, get};
use http::Request;
use serde_json::{Value, json};
use testkit::Collector;

/// A trace that somebody else has begun.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
/// Longer than the test: nothing is sent before the program ends.
const NEVER: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");

/// Starts a program of ours.
async fn start(name: &'static str, folder: &Path, variables: &[(&str, &str)]) -> Program {
    let mut started = Program::new(name);
    started.start(folder, &[], variables).await;
    started
}

/// Asks as part of a trace.
async fn status(gateway: &Program, path: &str) -> u16 {
    let request =
        Request::get(format!("{}{path}", gateway.url())).header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    ask(request, &Value::Null).await.unwrap().0
}

/// Returns who did what below this span, at each step the one thing.
fn chain<'a>(spans: &'a [Value], trace: &str, mut parent: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut found = Vec::new();
    let text = |span: &'a Value, name: &str| span[name].as_str().unwrap();
    // Phases of a probe are no requests.
    let below = |span: &&Value, parent: &str| span["trace"] == trace && span["parent"] == parent && span["kind"] != 1;
    while let Some(span) = spans.iter().find(|span| below(span, parent)) {
        found.push((text(span, "service"), text(span, "name")));
        parent = text(span, "span");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_trace_through_gateway_and_platform_and_a_probe_begins_one() {
    kit::tls::install();
    let (collector, folder) = (Collector::start().await, tempfile::tempdir().unwrap());
    let (by_http, by_grpc) = (collector.http(), collector.grpc());
    let http = [("OTEL_EXPORTER_OTLP_ENDPOINT", by_http.as_str()), NEVER];
    let platform = start("platform-services", folder.path(), &http).await;
    let at = platform.url();
    let grpc = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", by_grpc.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("PLATFORM_SERVICES_URL", &at),
        NEVER,
    ];
    let gateway = start("api-gateway", folder.path(), &grpc).await;
    let path = "/api/v1/users/profile";
    assert_eq!(status(&gateway, path).await, 401, "nobody is signed in");
    let mut monitor = Program::new("monitor");
    let config = format!(
        "listen: {}\ndata_dir: data/monitor\nservices:\n  gateway:\n    checks:\n      profile: \
         {{ http: {{ url: \"{}{path}\" }}, expect: {{ status: 401 }}, every: 1h }}\n",
        monitor.address(),
        gateway.url()
    );
    std::fs::write(folder.path().join("monitor.yml"), config).unwrap();
    let quick = [("OTEL_EXPORTER_OTLP_ENDPOINT", by_http.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    monitor.start(folder.path(), &["--config", "monitor.yml"], &quick).await;
    let is_probe = |span: &&Value| span["name"] == "probe gateway/profile";
    let probed = |spans: &[Value]| spans.iter().find(is_probe).cloned();
    let probe = collector.eventually("the probe's span", probed).await;
    for mut program in [monitor, gateway, platform] {
        program.stop().await;
    }
    let spans = collector.spans().await;
    let through = [
        ("api-gateway", format!("GET {path}")),
        ("api-gateway", "GET".to_owned()),
        ("platform-services", "GET /auth/profile".to_owned()),
    ];
    let through: Vec<(&str, &str)> = through.iter().map(|(service, name)| (*service, name.as_str())).collect();
    assert_eq!(chain(&spans, TRACE, CALLER), through);
    let trace = probe["trace"].as_str().unwrap();
    assert_eq!(chain(&spans, trace, probe["span"].as_str().unwrap()), through);
    assert_eq!((&probe["parent"], &probe["kind"], &probe["service"]), (&json!(""), &json!(3), &json!("monitor")));
    assert_eq!(probe["attributes"]["http.response.status_code"], 401);
    let steps: Vec<_> = spans.iter().filter(|span| span["parent"] == probe["span"] && span["kind"] == 1).collect();
    assert_eq!(steps.iter().map(|span| &span["name"]).collect::<Vec<_>>(), ["connect", "first_byte", "transfer"]);
    let protocol = |service: &str| &spans.iter().find(|span| span["service"] == service).unwrap()["protocol"];
    assert_eq!((protocol("api-gateway"), protocol("platform-services")), (&json!("grpc"), &json!("http")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_up_neither_requests_nor_the_end() {
    kit::tls::install();
    let (collector, folder) = (Collector::start().await, tempfile::tempdir().unwrap());
    let endpoint = collector.http();
    let short = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
    ];
    let mut gateway = start("api-gateway", folder.path(), &short).await;
    collector.hang();
    for _request in 0..100 {
        assert_eq!(status(&gateway, "/nowhere").await, 404);
    }
    let text = get(&format!("{}/metrics", gateway.url())).await.unwrap();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let lost = value("telemetry_spans_dropped_total{reason=\"queue_full\"}");
    assert!(lost >= 100 - 2 * 16 && value("telemetry_spans_waiting") <= 16, "{text}");
    gateway.stop().await;
    collector.go_on();
}
