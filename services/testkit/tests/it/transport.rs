//! Transport fakes, seen by a bare TCP client.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use testkit::{Target, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{LIMIT, SILENCE, ask, connect};

#[tokio::test]
async fn refuse_refuses_and_keeps_its_port() {
    let target = Target::refuse();
    let refused = TcpStream::connect(target.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(TcpListener::bind(target.addr()).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[tokio::test]
async fn blackhole_never_completes_a_connection() {
    let target = Target::blackhole();
    assert!(timeout(SILENCE, TcpStream::connect(target.addr())).await.is_err());
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn stall_takes_bytes_and_never_answers_even_a_finished_client() {
    let target = Target::stall();
    let mut client = connect(&target).await;
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    assert!(timeout(SILENCE, client.read_u8()).await.is_err());
    eventually("it has read", LIMIT, async || (target.received() == [b"hello"]).then_some(())).await;
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn reset_resets() {
    let (answer, end) = ask(&Target::reset(), b"").await;
    assert_eq!((answer.len(), end.unwrap_err().kind()), (0, ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn reset_after_sends_its_bytes_and_resets() {
    let (answer, end) = ask(&Target::reset_after("220 he"), b"").await;
    assert_eq!((answer.as_slice(), end.unwrap_err().kind()), (b"220 he".as_slice(), ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn close_ends_cleanly_even_when_the_client_has_sent_something() {
    let (answer, end) = ask(&Target::close(), &[b'x'; 100_000]).await;
    assert_eq!(answer, b"");
    end.unwrap();
}

#[tokio::test]
async fn slow_sends_byte_by_byte() {
    let target = Target::slow("hello", Duration::from_millis(20));
    let start = Instant::now();
    let mut client = connect(&target).await;
    let mut reads = Vec::new();
    let mut buffer = [0; 16];
    while let count @ 1.. = timeout(LIMIT, client.read(&mut buffer)).await.unwrap().unwrap() {
        reads.extend_from_slice(&buffer[..count]);
        assert!(start.elapsed() >= Duration::from_millis(20) * u32::try_from(reads.len()).unwrap());
    }
    assert_eq!(reads, b"hello");
}

#[tokio::test]
async fn say_greets_and_answers_what_it_knows_in_any_order() {
    let target = Target::say("220 ready\r\n", &[(b"EHLO", b"250 hi\r\n"), (b"\x00QUIT", b"221 \xff\r\n")]);
    let mut client = connect(&target).await;
    client.write_all(b"EHLO me\r\nwhat\x00QU").await.unwrap();
    let mut heard = vec![0; 19];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, b"220 ready\r\n250 hi\r\n");
    client.write_all(b"ITEHLO").await.unwrap();
    let mut heard = vec![0; 15];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, b"221 \xff\r\n250 hi\r\n"[..15]);
    assert_eq!(target.received(), [b"EHLO me\r\nwhat\x00QUITEHLO"]);
}

#[tokio::test]
async fn a_dropped_target_ends_its_connections_and_frees_its_port() {
    let target = Target::stall();
    let mut client = connect(&target).await;
    let addr = target.addr();
    eventually("the connection is accepted", LIMIT, async || (target.connections() == 1).then_some(())).await;
    drop(target);
    assert!(!matches!(timeout(LIMIT, client.read(&mut [0])).await.unwrap(), Ok(1..)));
    eventually("the port refuses", LIMIT, async || TcpStream::connect(addr).await.err()).await;
}
