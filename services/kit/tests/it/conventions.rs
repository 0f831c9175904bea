//! What happens to every request: ids, deadline, body limit, a caught panic, JSON errors, counting.

use std::convert::Infallible;

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::stream;
use kit::http::{Endpoints, Limits, with_conventions};
use kit::metrics::{Format, HttpMetrics, Metrics};
use tokio::io::AsyncWriteExt;

use crate::{SHORT, Server, read_to_end};

/// Starts a server whose handlers misbehave, with a deadline of [`SHORT`] and bodies of at most 10 bytes.
async fn start(metrics: &Metrics) -> Server {
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/panic", get(panics))
        .route("/late", get(std::future::pending::<()>))
        .route("/echo/{name}", post(async |body: String| body))
        .route("/stream", get(async || Body::from_stream(stream::iter(["hel", "lo"].map(Ok::<_, Infallible>)))));
    let router = with_conventions(router, HttpMetrics::new(metrics, "test"), SHORT, 10);
    Server::start(router.layer(Extension(Endpoints(["GET /".to_owned()].into()))), Limits::default()).await
}

async fn panics() {
    panic!("on purpose")
}

/// Asks for `path` and returns the status and the JSON body.
async fn error(server: &Server, path: &str) -> (String, serde_json::Value) {
    let answer = server.get(path, "").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/json"), "{head}");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(json["error"] == json["detail"] && json["error"] == json["message"] && json["path"] == path, "{json}");
    (head[9..12].to_owned(), json)
}

#[tokio::test]
async fn a_body_that_nobody_reads_costs_the_client_no_connection() {
    let server = start(&Metrics::new("test", "1")).await;
    let mut stream = server.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n").await;
    // Meanwhile the first is refused.
    server.get("/", "").await;
    stream.write_all(b"helloGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let answers = read_to_end(&mut stream).await;
    assert!(answers.starts_with("HTTP/1.1 405 ") && answers.ends_with("\r\n\r\nhello"), "{answers}");
    // What never comes is not waited for, and what is only announced not asked for.
    for more in ["", "Expect: 100-continue\r\n"] {
        let mut stream = server.write(&format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n{more}\r\n")).await;
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
}

#[tokio::test]
async fn a_panic_is_500_and_the_server_goes_on() {
    let server = start(&Metrics::new("test", "1")).await;
    for _ in 0..2 {
        let (status, json) = error(&server, "/panic").await;
        assert_eq!((status.as_str(), json["error"].as_str()), ("500", Some("internal error")));
    }
    assert!(server.get("/", "").await.ends_with("hello"));
}

#[tokio::test]
async fn a_late_handler_is_504() {
    let server = start(&Metrics::new("test", "1")).await;
    let (status, json) = error(&server, "/late").await;
    assert_eq!((status.as_str(), json["error"].as_str()), ("504", Some("not finished in time")));
}

#[tokio::test]
async fn an_unknown_path_is_404_and_lists_the_known() {
    let server = start(&Metrics::new("test", "1")).await;
    let (status, json) = error(&server, "/nope").await;
    assert_eq!((status.as_str(), json["code"].as_str()), ("404", Some("not_found")));
    assert_eq!(json["available_endpoints"], serde_json::json!(["GET /"]));
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_are_right() {
    let server = start(&Metrics::new("test", "1")).await;
    assert_eq!(error(&server, "/echo/a").await.0, "405");
    assert!(server.get("/echo/a", "").await.contains("allow: POST\r\n"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let server = start(&Metrics::new("test", "1")).await;
    for (length, status) in [(10, "200"), (11, "413")] {
        let body = "x".repeat(length);
        let request =
            format!("POST /echo/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        let answer = read_to_end(&mut server.write(&request).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn ids_are_echoed_made_or_taken_from_the_trace() {
    let server = start(&Metrics::new("test", "1")).await;
    let answer = server.get("/nope", "X-Request-ID: r-1\r\nX-Trace-ID: t-1\r\n").await;
    assert!(answer.contains("x-request-id: r-1\r\n") && answer.contains("x-trace-id: t-1\r\n"), "{answer}");
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let answer = server.get("/panic", parent).await;
    assert!(answer.contains("x-trace-id: 0af7651916cd43dd8448eb211c80319c\r\n"), "{answer}");
    let endless = "x".repeat(129);
    let answer = server.get("/", &format!("X-Request-ID: {endless}\r\n")).await;
    assert!(answer.contains("x-request-id: ") && !answer.contains(&endless), "{answer}");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_probes_are_not() {
    let metrics = Metrics::new("test", "1");
    let server = start(&metrics).await;
    server.get("/", "X-Monitor-Probe: 1\r\n").await;
    for path in ["/", "/echo/a", "/echo/b", "/random-1", "/random-2"] {
        server.get(path, "").await;
    }
    let text = metrics.encode(Format::Text);
    for (endpoint, status, count) in [("/", 200, 1), ("/echo/{name}", 405, 2), ("unmatched", 404, 2)] {
        let line = format!(
            "http_requests_total{{endpoint=\"{endpoint}\",method=\"GET\",service=\"test\",\
             status=\"{status}\",status_code=\"{status}\"}} {count}\n"
        );
        assert!(text.contains(&line), "{line} not in {text}");
    }
}

#[tokio::test]
async fn bodies_are_measured_both_ways_also_those_whose_length_nobody_said() {
    let metrics = Metrics::new("test", "1");
    let server = start(&metrics).await;
    server.get("/stream", "").await;
    let head = "POST /echo/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"]
    {
        let answer = read_to_end(&mut server.write(&format!("{head}{body}")).await).await;
        assert!(answer.ends_with("hello"), "{answer}");
    }
    let text = metrics.encode(Format::Text);
    for (name, endpoint, method, sum, count) in [
        ("request", "/stream", "GET", 0, 1),
        ("response", "/stream", "GET", 5, 1),
        ("request", "/echo/{name}", "POST", 10, 2),
        ("response", "/echo/{name}", "POST", 10, 2),
    ] {
        let labels = format!("{{endpoint=\"{endpoint}\",method=\"{method}\",service=\"test\"}}");
        for (suffix, value) in [("sum", sum), ("count", count)] {
            let line = format!("http_{name}_size_bytes_{suffix}{labels} {value}\n");
            assert!(text.contains(&line), "{line} not in {text}");
        }
    }
}
