//! Proves with plain clients that every fake misbehaves exactly as its name says.

mod eventually;
mod port;
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
