//! Requests that are served and sent, as a collector sees them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, StatusCode};
use axum::routing::{any, get};
use bytes::Bytes;
use http_body_util::Full;
use kit::http::{Limits, serve, with_conventions};
use kit::metrics::{Format, HttpMetrics, Metrics};
use serde_json::{Value, json};
use testkit::{Collector, Target};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::export;

const LIMIT: Duration = Duration::from_secs(20);

/// Serves `router` and returns where.
async fn serve_it(router: Router) -> SocketAddr {
    serve_measured(router, &Metrics::new("test", "1")).await
}

async fn serve_measured(router: Router, metrics: &Metrics) -> SocketAddr {
    let router = with_conventions(router, HttpMetrics::new(metrics, "test"), LIMIT, 10);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, Limits::default(), CancellationToken::new()));
    address
}

/// Asks and returns the trace that the answer names.
async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let answer = kit::http::client(LIMIT).request(request).await.unwrap();
    answer.headers()["x-trace-id"].to_str().unwrap().replace('-', "")
}

fn kinds(spans: &[Value]) -> Vec<(u64, &str)> {
    let kind = |span: &Value| span["kind"].as_u64().unwrap();
    spans.iter().map(|span| (kind(span), span["name"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_request_and_what_is_asked_for_it_are_one_trace() {
    let collector = Collector::start().await;
    let exporting = export(&collector.http(), []);
    let inner = serve_it(Router::new().route("/items/{id}", get(async || StatusCode::NOT_FOUND))).await;
    let call = async move || {
        let request = Request::get(format!("http://{inner}/items/7?token=hunter2")).body(Full::default()).unwrap();
        kit::http::get(request, LIMIT, 100).await.unwrap().0
    };
    let outer = serve_it(Router::new().route("/call/{who}", any(call))).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", parent), ("tracestate", "a=1"), ("user-agent", "test/1")];
    let trace = ask(outer, "BREW", "/call/me?token=hunter2", &headers).await;
    exporting.finish().await;
    let spans = collector.spans().await;
    assert_eq!(kinds(&spans), [(2, "GET /items/{id}"), (3, "GET"), (2, "HTTP /call/{who}")]);
    let [server, client, first] = spans.try_into().unwrap();
    assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
    for span in [&server, &client, &first] {
        assert_eq!((&span["trace"], &span["state"]), (&json!(trace), &json!("a=1")));
        assert!(!span.to_string().contains("hunter2"), "{span}");
    }
    let parents = [&first["parent"], &client["parent"], &server["parent"]];
    assert_eq!(parents, [&json!("b7ad6b7169203331"), &first["span"], &client["span"]]);
    let expected = json!({
        "http.request.method": "_OTHER", "http.request.method_original": "BREW", "http.route": "/call/{who}",
        "http.response.status_code": 404, "url.path": "/call/me", "url.scheme": "http", "server.address": "127.0.0.1",
        "server.port": outer.port(), "network.protocol.version": "1.1", "client.address": "127.0.0.1",
        "user_agent.original": "test/1",
    });
    assert_eq!(first["attributes"], expected);
    let expected = json!({
        "http.request.method": "GET", "http.response.status_code": 404, "error.type": "404",
        "server.address": "127.0.0.1", "server.port": inner.port(), "url.full": format!("http://{inner}/"),
    });
    assert_eq!(client["attributes"], expected);
    assert_eq!([&first, &client, &server].map(|span| &span["status"]), [&json!(0), &json!(2), &json!(0)]);
}

#[tokio::test]
async fn the_trace_of_an_answer_is_the_one_that_is_recorded() {
    let collector = Collector::start().await;
    let exporting = export(&collector.http(), []);
    let address = serve_it(Router::new().route("/", get(async || "hello"))).await;
    let given = "2f1e9a0c-8d7b-4c6a-9e5f-123456789abc";
    let traces = [ask(address, "GET", "/", &[]).await, ask(address, "GET", "/", &[("x-trace-id", given)]).await];
    ask(address, "GET", "/", &[("x-trace-id", "t-1")]).await;
    exporting.finish().await;
    let spans = collector.spans().await;
    assert_eq!((&spans[0]["trace"], &spans[1]["trace"]), (&json!(traces[0]), &json!(given.replace('-', ""))));
    assert!(spans.len() == 3 && spans[2]["parent"] == "");
}

#[tokio::test]
async fn what_programs_ask_all_the_time_is_recorded_only_if_it_fails_or_the_caller_wants_it() {
    let collector = Collector::start().await;
    let exporting = export(&collector.http(), []);
    let panics = async || -> &'static str { panic!("on purpose") };
    let refused = async || (StatusCode::SERVICE_UNAVAILABLE, "not yet");
    let router = Router::new().route("/livez", get(async || "ok")).route("/readyz", get(refused));
    let address = serve_it(router.route("/", get(async || "hello")).route("/panic", get(panics))).await;
    let unsampled = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")];
    for path in ["/livez", "/readyz"] {
        ask(address, "GET", path, &[]).await;
    }
    ask(address, "GET", "/", &[("x-monitor-probe", "1")]).await;
    ask(address, "GET", "/", &unsampled).await;
    ask(address, "GET", "/panic", &unsampled).await;
    ask(address, "GET", "/livez", &[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]).await;
    exporting.finish().await;
    let spans = collector.spans().await;
    assert_eq!(kinds(&spans), [(2, "GET /readyz"), (2, "GET /panic"), (2, "GET /livez")]);
    let errors: Vec<_> = spans.iter().map(|span| span["attributes"]["error.type"].clone()).collect();
    assert_eq!(errors, [json!("503"), json!("500"), Value::Null]);
}

#[tokio::test]
async fn a_request_without_an_answer_says_why() {
    let collector = Collector::start().await;
    let exporting = export(&collector.http(), []);
    let closed = Target::refuse();
    let stalled = Target::stall();
    for target in [closed.url("/"), stalled.url("/")] {
        let request = Request::get(target).body(Full::default()).unwrap();
        kit::http::get(request, Duration::from_millis(100), 100).await.unwrap_err();
    }
    exporting.finish().await;
    let errors: Vec<_> = collector.spans().await.iter().map(|span| span["attributes"]["error.type"].clone()).collect();
    assert_eq!(errors, ["connect", "given_up"]);
}

#[tokio::test]
async fn how_long_a_request_took_has_its_trace_as_an_example_if_that_is_recorded() {
    let collector = Collector::start().await;
    let exporting = export(&collector.http(), []);
    let metrics = Metrics::new("test", "1");
    let server = serve_measured(Router::new().route("/", get(async || "hello")), &metrics).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (flags, has_example) in [("00", false), ("01", true)] {
        ask(server, "GET", "/", &[("traceparent", &format!("00-{trace}-b7ad6b7169203331-{flags}"))]).await;
        let text = metrics.encode(Format::OpenMetrics);
        let example = format!(" # {{trace_id=\"{trace}\"}} ");
        let is_there = |line: &str| line.starts_with("http_request_duration_seconds_bucket") && line.contains(&example);
        assert_eq!(text.lines().any(is_there), has_example, "{flags}: {text}");
    }
    exporting.finish().await;
}
