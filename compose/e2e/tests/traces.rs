//! Traces of the real binaries, as a collector that is not ours gets them.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use e2e::program;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use testkit::{Collector, eventually, free_port};
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(30);
/// A trace that somebody else has begun.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// Longer than the test: nothing is sent before the program ends.
const NEVER: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");

/// A program of ours.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    async fn start(name: &str, folder: &Path, port: u16, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program(name));
        command.args(arguments).current_dir(folder).env_clear().env("PORT", port.to_string()).env("LOG_LEVEL", "warn");
        command.env("API_KEY", "the-services-key").env("JWT_SECRET", "0123456789abcdef0123456789abcdef");
        let child = command.envs(variables.iter().copied()).kill_on_drop(true).spawn().unwrap();
        let started = Self { child, url: format!("http://127.0.0.1:{port}") };
        let is_there = async || started.ask("/livez", "").await.map(drop);
        eventually(&format!("{name} to listen"), LIMIT, is_there).await;
        started
    }

    async fn ask(&self, path: &str, traceparent: &str) -> Option<u16> {
        let request = Request::get(format!("{}{path}", self.url)).header("traceparent", traceparent);
        let request = request.body(Full::<Bytes>::default()).unwrap();
        Some(kit::http::get(request, LIMIT, 1 << 20).await.ok()?.0.as_u16())
    }

    /// Ends it as systemd does.
    async fn end(mut self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        tokio::time::timeout(LIMIT, self.child.wait()).await.expect("it ends").unwrap();
    }
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
    let platform = Program::start("platform-services", folder.path(), free_port(), &["run"], &http).await;
    let grpc = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", by_grpc.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("PLATFORM_SERVICES_URL", &platform.url),
        NEVER,
    ];
    let gateway = Program::start("api-gateway", folder.path(), free_port(), &["run"], &grpc).await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let path = "/api/v1/users/profile";
    assert_eq!(gateway.ask(path, &parent).await, Some(401), "nobody is signed in");
    let port = free_port();
    let config = format!(
        "listen: 127.0.0.1:{port}\ndata_dir: data/monitor\nservices:\n  gateway:\n    checks:\n      profile: \
         {{ http: {{ url: \"{}{path}\" }}, expect: {{ status: 401 }}, every: 1h }}\n",
        gateway.url
    );
    std::fs::write(folder.path().join("monitor.yml"), config).unwrap();
    let quick = [("OTEL_EXPORTER_OTLP_ENDPOINT", by_http.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let monitor = Program::start("monitor", folder.path(), port, &["run", "--config", "monitor.yml"], &quick).await;
    let is_probe = |span: &&Value| span["name"] == "probe gateway/profile";
    let probed = |spans: &[Value]| spans.iter().find(is_probe).cloned();
    let probe = collector.eventually("the probe's span", probed).await;
    for program in [monitor, gateway, platform] {
        program.end().await;
    }
    let spans = collector.spans().await;
    let through = [
        ("api-gateway", format!("GET {path}")),
        ("api-gateway", "GET".to_owned()),
        ("platform-services", "GET /auth/profile".to_owned()),
    ];
    let through: Vec<(&str, &str)> = through.iter().map(|(service, name)| (*service, name.as_str())).collect();
    assert_eq!(chain(&spans, TRACE, "b7ad6b7169203331"), through);
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
    let gateway = Program::start("api-gateway", folder.path(), free_port(), &["run"], &short).await;
    collector.hang();
    for _request in 0..100 {
        assert_eq!(gateway.ask("/nowhere", &format!("00-{TRACE}-b7ad6b7169203331-01")).await, Some(404));
    }
    let request = Request::get(format!("{}/metrics", gateway.url)).body(Full::<Bytes>::default()).unwrap();
    let (_, text) = kit::http::get(request, LIMIT, 1 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let lost = value("telemetry_spans_dropped_total{reason=\"queue_full\"}");
    assert!(lost >= 100 - 2 * 16 && value("telemetry_spans_waiting") <= 16, "{text}");
    gateway.end().await;
    collector.go_on();
}
