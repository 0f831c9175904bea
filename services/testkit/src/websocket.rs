//! Targets that speak WebSocket (RFC 6455): they open for whoever asks, and send every message back.

use std::io;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpStream;

use crate::peer::Peer;
use crate::target::Target;
use crate::transport::find;

/// What the proof is made of beside the client's key (RFC 6455 section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

impl Target {
    /// Opens for whoever asks, then sends every frame back, the goodbye included. Frames are short: 125 bytes at most.
    pub fn websocket() -> Self {
        Self::websocket_saying(&[])
    }

    /// As [`Self::websocket`], with these bytes right behind the answer that opens.
    pub fn websocket_saying(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self::serve("ws", move |peer| serve(peer, bytes.clone()))
    }
}

async fn serve(mut peer: Peer<TcpStream>, first: Vec<u8>) -> io::Result<()> {
    let mut heard = Vec::new();
    let end = loop {
        if let Some(end) = find(&heard, b"\r\n\r\n") {
            break end + 4;
        }
        let bytes = peer.read().await?;
        if bytes.is_empty() {
            return peer.finish().await;
        }
        heard.extend(bytes);
    };
    let head = String::from_utf8_lossy(&heard).into_owned();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    let proof = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()));
    let opened = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {proof}\r\n\r\n"
    );
    peer.send(&[opened.as_bytes(), &first].concat()).await?;
    heard.drain(..end);
    loop {
        while let Some((frame, length)) = unmasked(&heard) {
            heard.drain(..length);
            peer.send(&frame).await?;
        }
        let bytes = peer.read().await?;
        if bytes.is_empty() {
            return peer.finish().await;
        }
        heard.extend(bytes);
    }
}

/// Returns the first frame as a server sends it, and how long it was.
fn unmasked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (first, length) = (*bytes.first()?, bytes.get(1)? & 0x7f);
    let mask = bytes.get(2..6)?;
    let end = 6 + usize::from(length);
    let payload = bytes.get(6..end)?.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Some(([first, length].into_iter().chain(payload).collect(), end))
}
