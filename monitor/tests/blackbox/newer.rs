//! What came after version 0.23 and cannot be compared with it: sockets, WebSockets, bytes, labels, CEL, and time limits that
//! hold.

use std::time::{Duration, Instant};

use testkit::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::answer::Answer;
use crate::own::ours;

const MODULES: &str = r#"modules:
  unix: { prober: unix, timeout: 2s, unix: { query_response: [{ send: PING }, { expect: '^\+PONG (?P<who>\w+)', labels: [{ name: who, value: '${who}' }] }] } }
  bytes: { prober: tcp, timeout: 2s, tcp: { query_response: [{ expect_bytes: "SSH-2.0" }, { expect: '^-Open' }] } }
  other_bytes: { prober: tcp, timeout: 2s, tcp: { query_response: [{ expect_bytes: "HTTP/1.1" }] } }
  echo: { prober: websocket, timeout: 2s, websocket: { query_response: [{ send: hello }, { expect: '^(hel)lo$', send: 'bye ${1}' }, { expect: '^bye hel$' }] } }
  quiet: { prober: websocket, timeout: 500ms, websocket: { query_response: [{ expect: never }] } }
  cel: { prober: http, timeout: 2s, http: { fail_if_body_json_not_matches_cel: 'body.queue.depth < 10 && body.workers.all(w, w.up)' } }
  cel_not: { prober: http, timeout: 2s, http: { fail_if_body_json_matches_cel: 'body.queue.depth > 5' } }
  headers: { prober: http, timeout: 2s, http: { http_headers: { X-Key: { secrets: [very-secret-value] }, Accept: { values: [text/plain] } } } }
  grpc: { prober: grpc, timeout: 500ms, grpc: {} }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn newer_probers_and_options_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"PING\n");
            stream.write_all(b"+PONG shop\r\n").await.unwrap();
        }
    });
    let targets = format!("['127.0.0.0/8', {}]", socket.display());
    let server = ours(folder.path(), MODULES, &targets).await;
    let ask = async |module: &str, target: &str| {
        let url = format!("http://{}/probe?module={module}&target={target}", server.addr());
        Answer::of("GET", &url, &[]).await
    };
    let (ssh, echo) = (Target::say("SSH-2.0-OpenSSH\r\n", &[]), Target::websocket());
    let json = Target::ok(r#"{"queue":{"depth":7},"workers":[{"up":true}]}"#);
    let stall = Target::stall();
    let at = |target: &Target| target.addr().to_string();
    for (module, target, wanted) in [
        ("unix", socket.display().to_string(), &["probe_success 1\n", "probe_expect_info{who=\"shop\"} 1\n"][..]),
        ("bytes", at(&ssh), &["probe_success 1\n", "probe_failed_due_to_bytes 0\n"]),
        ("other_bytes", at(&ssh), &["probe_success 0\n", "probe_failed_due_to_bytes 1\n"]),
        (
            "echo",
            format!("ws://{}/", at(&echo)),
            &[
                "probe_success 1\n",
                "probe_websocket_status_code 101\n",
                "probe_websocket_connection_upgraded 1\n",
                "probe_websocket_failed_due_to_regex 0\n",
            ],
        ),
        ("echo", format!("ws://{}/", at(&json)), &["probe_success 0\n", "probe_websocket_status_code 200\n"]),
        ("cel", json.url("/"), &["probe_success 1\n", "probe_failed_due_to_cel 0\n"]),
        ("cel_not", json.url("/"), &["probe_success 0\n", "probe_failed_due_to_cel 1\n"]),
        ("headers", json.url("/"), &["probe_success 1\n"]),
    ] {
        let answer = ask(module, &target).await.text();
        for line in wanted {
            assert!(answer.contains(line), "{module}: {line:?} is not in\n{answer}");
        }
    }
    let sent = json.requests().into_iter().next_back().unwrap();
    assert_eq!((sent.header("x-key"), sent.header("accept")), (Some("very-secret-value"), Some("text/plain")));
    assert!(!Answer::of("GET", &format!("http://{}/config", server.addr()), &[]).await.text().contains("very-secret"));
    let began = Instant::now();
    for (module, target) in [("grpc", at(&stall)), ("quiet", format!("ws://{}/", at(&echo)))] {
        let answer = ask(module, &target).await.text();
        assert!(answer.contains("probe_success 0\n"), "{answer}");
        assert!(answer.contains("probe_failure_info{reason=\"timeout\"} 1\n"), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "the limits do not hold");
    let refused = ask("unix", "/run/docker.sock").await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    answering.abort();
}
