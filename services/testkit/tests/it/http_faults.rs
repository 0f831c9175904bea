//! HTTP faults, seen byte by byte.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use testkit::{Target, eventually};
use tokio::io::AsyncWriteExt;

use crate::{GET, LIMIT, ask, connect, fetch, read_at_least, split};

#[tokio::test]
async fn half_body_promises_more_than_it_sends() {
    let target = Target::half_body();
    let (head, body) = fetch(&target).await;
    assert!(head.contains("\r\ncontent-length: 1000"), "{head}");
    assert_eq!(body.len(), 29);
    assert_eq!(target.requests()[0].path, "/path?a=b");
}

#[tokio::test]
async fn reset_mid_body_sends_a_part_and_resets() {
    let (answer, end) = ask(&Target::reset_mid_body(), GET).await;
    assert_eq!(split(&answer).1.len(), 29);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn huge_body_sends_every_byte_it_promises() {
    let target = Target::huge_body(20_000_003);
    let (head, body) = fetch(&target).await;
    assert!(head.contains("\r\ncontent-length: 20000003"), "{head}");
    assert_eq!(body.len(), 20_000_003);
    assert_eq!(target.bytes_written(), (head.len() + 4 + body.len()) as u64);
}

#[tokio::test]
async fn huge_body_stops_when_nobody_reads() {
    let target = Target::huge_body(10_000_000_000);
    let mut client = connect(&target).await;
    client.write_all(GET).await.unwrap();
    read_at_least(&mut client, 1_000_000).await;
    drop(client);
    let mut before = 0;
    let stopped = async || {
        let written = target.bytes_written();
        (std::mem::replace(&mut before, written) == written).then_some(written)
    };
    let written = eventually("the writing stops", LIMIT, stopped).await;
    assert!((1_000_000..100_000_000).contains(&written), "{written}");
}

#[tokio::test]
async fn endless_body_and_header_flood_go_on() {
    for (target, start) in [
        (Target::endless_body(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000\r\nxx"),
        (Target::header_flood(), "HTTP/1.1 200 OK\r\nx-flood-0: yy"),
    ] {
        let mut client = connect(&target).await;
        client.write_all(GET).await.unwrap();
        let answer = read_at_least(&mut client, 10_000_000).await;
        assert!(answer.starts_with(start.as_bytes()));
    }
}

#[tokio::test]
async fn gzip_bomb_is_small_and_inflates_to_its_size() {
    let (head, body) = fetch(&Target::gzip_bomb(30_000_000)).await;
    assert!(head.contains("\r\ncontent-encoding: gzip"), "{head}");
    assert!(head.ends_with(&format!("\r\ncontent-length: {}", body.len())), "{head}");
    assert!(body.len() < 60_000, "{}", body.len());
    let mut inflated = Vec::new();
    flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut inflated).unwrap();
    assert_eq!((inflated.len(), inflated.iter().any(|byte| *byte != 0)), (30_000_000, false));
}

#[tokio::test]
async fn one_huge_header_is_as_long_as_asked() {
    let (head, body) = fetch(&Target::one_huge_header(1_000_000)).await;
    assert!(head.contains(&format!("\r\nx-huge: {}\r\n", "y".repeat(1_000_000))));
    assert_eq!(body, b"");
}

#[tokio::test]
async fn slow_headers_come_one_a_gap_and_never_end() {
    let target = Target::slow_headers(Duration::from_millis(10));
    let start = Instant::now();
    let mut client = connect(&target).await;
    client.write_all(GET).await.unwrap();
    let head = read_at_least(&mut client, 17 + 5 * 11).await;
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(&head[..28], b"HTTP/1.1 200 OK\r\nx-slow: 1\r\n");
    assert!(!head.windows(4).any(|window| window == b"\r\n\r\n"));
}

#[tokio::test]
async fn garbage_is_not_http_and_reply_is_verbatim() {
    let (answer, end) = ask(&Target::garbage(), GET).await;
    end.unwrap();
    assert!(!answer.starts_with(b"HTTP/") && !answer.is_empty());
    let (answer, end) = ask(&Target::reply("HTTP/9.9 7\r\n"), GET).await;
    end.unwrap();
    assert_eq!(answer, b"HTTP/9.9 7\r\n");
}
