//! Proves with plain clients that every fake misbehaves exactly as its name says.

mod certificates;
mod eventually;
mod http;
mod http_faults;
mod port;
mod proxies;
mod systemd;
mod tls;
mod transport;

use std::io;
use std::time::Duration;

use testkit::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far longer than anything on loopback takes; reaching it fails a test.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a target that must stay silent is listened to.
const SILENCE: Duration = Duration::from_millis(100);
const GET: &[u8] = b"GET /path?a=b HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// Connects to `target`.
async fn connect(target: &Target) -> TcpStream {
    TcpStream::connect(target.addr()).await.expect("the target accepts")
}

/// Sends `bytes` and returns all that comes back, and how it ended.
async fn ask(target: &Target, bytes: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let mut stream = connect(target).await;
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(bytes).await?;
        stream.read_to_end(&mut answer).await.map(drop)
    };
    let end = tokio::time::timeout(LIMIT, exchange).await.expect("the target closes");
    (answer, end)
}

/// Asks for `/path` and returns the head as text and the body.
async fn fetch(target: &Target) -> (String, Vec<u8>) {
    let (answer, end) = ask(target, GET).await;
    end.expect("a clean end");
    split(&answer)
}

/// Cuts an answer at the end of its head.
fn split(answer: &[u8]) -> (String, Vec<u8>) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    let (head, body) = answer.split_at(end + 4);
    (String::from_utf8_lossy(head).trim_end().to_owned(), body.to_vec())
}

/// Reads at least `wanted` bytes, which an endless answer must deliver.
async fn read_at_least(stream: &mut TcpStream, wanted: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = async {
        while bytes.len() < wanted {
            assert_ne!(stream.read_buf(&mut bytes).await.expect("more bytes"), 0, "it ended");
        }
    };
    tokio::time::timeout(LIMIT, read).await.expect("bytes keep coming");
    bytes
}
