//! Stopping lets running requests finish and takes no new ones.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::{ByHand, Gateway, LIMIT, read_to_end, soon};

#[tokio::test]
async fn a_running_request_finishes_and_new_ones_are_refused() {
    let (service, url) = ByHand::listen().await;
    let gateway = Gateway::before(&url).await;
    let mut client = gateway.write("GET /api/airtable/x HTTP/1.1\nHost: x\n{key}\n\n").await;
    let (mut upstream, _) = service.accept().await;
    gateway.stop.cancel();
    let refused = async || TcpStream::connect(gateway.address).await.is_err().then_some(());
    testkit::eventually("new connections are refused", LIMIT, refused).await;
    assert!(!gateway.task.is_finished());
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\ndone"), "{answer}");
    soon("the gateway's end", gateway.task).await.unwrap();
}
