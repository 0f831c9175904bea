//! HTTP/1.1 targets written by hand, each wrong in one way. They read one request a connection, answer and close.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::gzip::Bomb;
use crate::peer::Peer;
use crate::target::Target;

/// Bytes written at once where an answer is large or has no end.
const PIECE_BYTES: usize = 64 * 1024;
const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nthe first bytes of a thousand";

impl Target {
    /// Promises 1000 bytes of body, sends 29 of them and closes cleanly.
    pub fn half_body() -> Self {
        Self::after_request(|mut peer| async move {
            peer.send(HALF).await?;
            peer.finish().await
        })
    }

    /// Promises 1000 bytes of body, sends 29 of them and resets.
    pub fn reset_mid_body() -> Self {
        Self::after_request(|mut peer| async move {
            peer.send(HALF).await?;
            peer.stream.set_zero_linger()
        })
    }

    /// Really sends a body of `bytes`, with its `content-length`, as long as the client reads.
    ///
    /// [`Target::bytes_written`] tells how much left; it includes what socket buffers hold (a few MiB).
    pub fn huge_body(bytes: u64) -> Self {
        Self::after_request(move |mut peer| async move {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {bytes}\r\n\r\n");
            peer.send(head.as_bytes()).await?;
            let piece = vec![b'x'; PIECE_BYTES];
            let mut left = bytes;
            while left > 0 {
                let count = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                peer.send(piece.get(..count).unwrap_or(&piece)).await?;
                left -= count as u64;
            }
            peer.finish().await
        })
    }

    /// Sends a chunked body that never ends, as fast as the client reads.
    pub fn endless_body() -> Self {
        Self::after_request(|mut peer| async move {
            peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = format!("{PIECE_BYTES:x}\r\n{}\r\n", "x".repeat(PIECE_BYTES));
            loop {
                peer.send(chunk.as_bytes()).await?;
            }
        })
    }

    /// Sends a valid gzip body, a thousandth in size, that inflates to `bytes` of zeros.
    pub fn gzip_bomb(bytes: u64) -> Self {
        Self::after_request(move |mut peer| async move {
            let bomb = Bomb::new(bytes);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
                bomb.len()
            );
            peer.send(head.as_bytes()).await?;
            for piece in bomb.pieces() {
                peer.send(piece).await?;
            }
            peer.finish().await
        })
    }

    /// Sends header after header without end, as fast as the client reads.
    pub fn header_flood() -> Self {
        Self::after_request(|mut peer| async move {
            peer.send(b"HTTP/1.1 200 OK\r\n").await?;
            let mut turn = 0_u64;
            loop {
                peer.send(format!("x-flood-{turn}: {}\r\n", "y".repeat(100)).as_bytes()).await?;
                turn += 1;
            }
        })
    }

    /// Sends a complete answer in which the value of one header is `bytes` long.
    pub fn one_huge_header(bytes: usize) -> Self {
        Self::after_request(move |mut peer| async move {
            let answer = format!("HTTP/1.1 200 OK\r\nx-huge: {}\r\ncontent-length: 0\r\n\r\n", "y".repeat(bytes));
            peer.send(answer.as_bytes()).await?;
            peer.finish().await
        })
    }

    /// Sends the status line, then a short header each `gap`, and never the end of the head.
    pub fn slow_headers(gap: Duration) -> Self {
        Self::after_request(move |mut peer| async move {
            peer.send(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                tokio::time::sleep(gap).await;
                peer.send(b"x-slow: 1\r\n").await?;
            }
        })
    }

    /// Answers the request with bytes that are not HTTP and closes cleanly.
    pub fn garbage() -> Self {
        Self::reply(b"\x00\x01\xfe\xffthis is not the protocol you are looking for\r\n\r\n".as_slice())
    }

    /// Answers the request with exactly `bytes` and closes cleanly.
    pub fn reply(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::after_request(move |mut peer| {
            let bytes = bytes.clone();
            async move {
                peer.send(&bytes).await?;
                peer.finish().await
            }
        })
    }

    /// Starts a target that gives each connection to `handler` once its request is read.
    fn after_request<H, E>(handler: H) -> Self
    where
        H: Fn(Peer<TcpStream>) -> E + Clone + Send + 'static,
        E: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::serve("http", move |mut peer| {
            let handler = handler.clone();
            async move {
                peer.read_request().await?;
                handler(peer).await
            }
        })
    }
}
