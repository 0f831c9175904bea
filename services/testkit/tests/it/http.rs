//! Healthy HTTP targets, seen by a client that writes HTTP by hand and by one that speaks HTTP/2.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::{Request, Response, Target};

use crate::{ask, connect, fetch};

fn status(head: &str) -> &str {
    &head[9..12]
}

fn location(head: &str) -> &str {
    head.lines().find_map(|line| line.strip_prefix("location: ")).expect("a location")
}

#[tokio::test]
async fn ok_answers_and_remembers_the_request() {
    let target = Target::ok("fine");
    let post =
        b"POST /hook?a=b HTTP/1.1\r\nHost: test\r\nX-Key: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    let (answer, _) = ask(&target, post).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\r\n\r\nfine"));
    let requests = target.requests();
    let [Request { method, path, version, .. }] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((method.as_str(), path.as_str(), version.as_str()), ("POST", "/hook?a=b", "HTTP/1.1"));
    assert_eq!((requests[0].header("x-KEY"), requests[0].text()), (Some("1"), "body".to_owned()));
}

#[tokio::test]
async fn answer_sends_its_status_headers_and_body() {
    let (head, body) = fetch(&Target::answer(503, &[("retry-after", "7")], "busy")).await;
    assert_eq!((status(&head), body.as_slice()), ("503", b"busy".as_slice()));
    assert!(head.contains("\r\nretry-after: 7"), "{head}");
}

#[tokio::test]
async fn respond_with_sees_the_request() {
    let target = Target::respond_with(|request| Response::new(201, request.path.clone()).with_header("x-a", "b"));
    let (head, body) = fetch(&target).await;
    assert_eq!((status(&head), body.as_slice()), ("201", b"/path?a=b".as_slice()));
    assert!(head.contains("\r\nx-a: b"), "{head}");
}

#[tokio::test]
async fn http2_by_prior_knowledge_is_answered() {
    let target = Target::ok("fine");
    let io = TokioIo::new(connect(&target).await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = hyper::Request::get(target.url("/two")).body(Full::default()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
    assert_eq!((target.requests()[0].version.as_str(), target.requests()[0].path.as_str()), ("HTTP/2.0", "/two"));
    driver.abort();
}

#[tokio::test]
async fn status_and_delay_change_while_it_runs() {
    let target = Target::ok("fine");
    assert_eq!(status(&fetch(&target).await.0), "200");
    target.set_status(500);
    assert_eq!(fetch(&target).await.1, b"fine");
    assert_eq!(status(&fetch(&target).await.0), "500");
    target.set_delay(Duration::from_millis(50));
    let start = Instant::now();
    fetch(&target).await;
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(target.connections(), 4);
}

#[tokio::test]
async fn sequence_goes_through_its_statuses_and_stays_at_the_last() {
    let target = Target::sequence([503, 429, 200]);
    for expected in ["503", "429", "200", "200"] {
        assert_eq!(status(&fetch(&target).await.0), expected);
    }
}

#[tokio::test]
async fn redirects_point_where_they_say() {
    let (head, _) = fetch(&Target::redirect_to("http://elsewhere.example/")).await;
    assert_eq!((status(&head), location(&head)), ("302", "http://elsewhere.example/"));
    let target = Target::redirect_loop();
    for expected in ["/turn/0", "/turn/1", "/turn/2"] {
        assert_eq!(location(&fetch(&target).await.0), expected);
    }
}
