//! Bodies flow both ways as they come, and end when either side does.

use std::time::Duration;

use testkit::{Target, eventually};
use tokio::io::AsyncWriteExt;

use crate::{ByHand, Gateway, LIMIT, read_to_end, read_until, settings, soon, upstream};

const GET: &str = "GET /api/airtable/x HTTP/1.1\nHost: x\n{key}\nConnection: close\n\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
const HUGE_BYTES: u64 = 100 * 1024 * 1024;

#[tokio::test]
async fn the_first_piece_of_an_answer_arrives_before_the_last_is_sent() {
    let (service, url) = ByHand::listen().await;
    let gateway = Gateway::before(&url).await;
    let mut client = gateway.write(GET).await;
    let (mut upstream, _) = service.accept().await;
    upstream.write_all(CHUNKED).await.unwrap();
    read_until(&mut client, "first").await;
    upstream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut client).await.ends_with("4\r\nlast\r\n0\r\n\r\n"));
}

/// The head of an answer with events, and the first of them.
const EVENTS: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n";
const LAST_EVENT: &[u8] = b"9\r\ndata: b\n\n\r\n0\r\n\r\n";

#[tokio::test]
async fn events_pass_as_they_come_and_may_be_far_between() {
    let (service, url) = ByHand::listen().await;
    let mut settings = settings();
    settings.airtable_gateway = upstream(&url);
    let gateway = Gateway::start_here(settings).await;
    let mut client = gateway.write(GET).await;
    let (mut service, _) = service.accept().await;
    service.write_all(EVENTS).await.unwrap();
    read_until(&mut client, "data: a\n\n").await;
    // Anything else is given up after 30 s.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(299)).await;
    tokio::time::resume();
    service.write_all(LAST_EVENT).await.unwrap();
    assert!(read_to_end(&mut client).await.ends_with("9\r\ndata: b\n\n\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn events_that_answer_a_chat_are_handed_on_as_they_come() {
    let (service, url) = ByHand::listen().await;
    let mut settings = settings();
    settings.llm_orchestrator = upstream(&url);
    let gateway = Gateway::start(settings).await;
    let body = r#"{"message": "hello", "stream": true}"#;
    let head = "POST /api/chat HTTP/1.1\nHost: x\n{key}\nConnection: close\nContent-Type: application/json\n";
    let mut client = gateway.write(&format!("{head}Content-Length: {}\n\n{body}", body.len())).await;
    let (mut service, _) = service.accept().await;
    service.write_all(EVENTS).await.unwrap();
    read_until(&mut client, "data: a\n\n").await;
    service.write_all(LAST_EVENT).await.unwrap();
    assert!(read_to_end(&mut client).await.ends_with("9\r\ndata: b\n\n\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn a_request_that_falls_silent_is_its_clients_fault() {
    let (service, url) = ByHand::listen().await;
    let gateway = Gateway::impatient_before(&url).await;
    let head = "POST /api/airtable/x HTTP/1.1\nHost: x\n{key}\nTransfer-Encoding: chunked\n\n5\npiece\n";
    let mut client = gateway.write(head).await;
    let _upstream = service.accept().await;
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"code\":\"request_timeout\""), "{answer}");
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("{result=\"client\",upstream=\"airtable-gateway\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn the_first_piece_of_a_request_arrives_before_the_last_is_sent() {
    let (service, url) = ByHand::listen().await;
    let gateway = Gateway::before(&url).await;
    let mut client =
        gateway.write("POST /api/airtable/x HTTP/1.1\nHost: x\n{key}\nTransfer-Encoding: chunked\n\n5\nfirst\n").await;
    let (mut upstream, head) = service.accept().await;
    if !head.contains("first") {
        read_until(&mut upstream, "first").await;
    }
    client.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut upstream, "last\r\n0\r\n\r\n").await;
    upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    read_until(&mut client, "HTTP/1.1 204 ").await;
}

#[tokio::test]
async fn a_hundred_mebibytes_pass_without_being_held() {
    let target = Target::huge_body(HUGE_BYTES);
    let gateway = Gateway::before(&target.url("")).await;
    let mut client = gateway.write(GET).await;
    read_until(&mut client, "\r\n\r\n").await;
    // Nobody reads: what still flows is what buffers take, in sockets for the most part.
    let mut before = 0;
    let stopped = async || {
        let written = target.bytes_written();
        (std::mem::replace(&mut before, written) == written).then_some(written)
    };
    let held = eventually("the flow stops", LIMIT, stopped).await;
    assert!(held < HUGE_BYTES / 2, "{held} bytes are held");
    let read = soon("the rest", tokio::io::copy(&mut client, &mut tokio::io::sink())).await.unwrap();
    assert!((HUGE_BYTES - 1024 * 1024..=HUGE_BYTES).contains(&read), "{read}");
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_ends_the_upstream_request() {
    let (service, url) = ByHand::listen().await;
    let gateway = Gateway::before(&url).await;
    let client = gateway.write(GET).await;
    let (mut upstream, _) = service.accept().await;
    drop(client);
    assert_eq!(read_to_end(&mut upstream).await, "");
}

#[tokio::test]
async fn a_client_that_leaves_while_it_reads_ends_the_upstream_answer() {
    let (service, url) = ByHand::listen().await;
    let gateway = Gateway::before(&url).await;
    let mut client = gateway.write(GET).await;
    let (mut upstream, _) = service.accept().await;
    upstream.write_all(CHUNKED).await.unwrap();
    read_until(&mut client, "first").await;
    drop(client);
    assert_eq!(read_to_end(&mut upstream).await, "");
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    for target in [Target::half_body(), Target::reset_mid_body()] {
        let gateway = Gateway::before(&target.url("")).await;
        let mut client = gateway.write(GET).await;
        let answer = read_to_end(&mut client).await;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.len());
        assert!(answer.contains("content-length: 1000") && body.is_none_or(|length| length < 1000), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_falls_silent_is_cut_off() {
    let (service, url) = ByHand::listen().await;
    let gateway = Gateway::impatient_before(&url).await;
    let mut client = gateway.write(GET).await;
    let (mut upstream, _) = service.accept().await;
    upstream.write_all(CHUNKED).await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(answer.contains("first") && !answer.ends_with("0\r\n\r\n"), "{answer}");
    assert_eq!(read_to_end(&mut upstream).await, "");
}
