//! Targets that misbehave below any protocol: connecting, resetting, closing, stalling, trickling, and dialogs.

use std::io;
use std::net::TcpStream as BlockingStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::peer::Peer;
use crate::target::{Target, bind};

/// How long a loopback connection may take before its SYN counts as unanswered; a healthy one takes microseconds.
const SYN_PATIENCE: Duration = Duration::from_millis(200);

impl Target {
    /// Refuses: connecting fails at once (RST to SYN). The port is bound without listening, so nobody else gets it.
    pub fn refuse() -> Self {
        let socket = bind(0);
        Self::hold(socket.local_addr().expect("a bound socket has an address"), socket)
    }

    /// Never completes a connection: the accept queue is full, so the client's SYN stays unanswered (Linux).
    ///
    /// Blocks the calling thread for some 200 ms, until it has seen one connection fail.
    pub fn blackhole() -> Self {
        let listener = bind(0).listen(0).expect("a bound socket can listen");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let mut queued = Vec::new();
        while let Ok(stream) = BlockingStream::connect_timeout(&addr, SYN_PATIENCE) {
            queued.push(stream);
            assert!(queued.len() < 16, "the accept queue of {addr} does not fill up");
        }
        Self::hold(addr, (listener, queued))
    }

    /// Accepts and reads, but never answers and never closes.
    pub fn stall() -> Self {
        Self::serve("http", stall)
    }

    /// Accepts and resets at once: the client's first read or write fails.
    pub fn reset() -> Self {
        Self::reset_after(Bytes::new())
    }

    /// Accepts, sends `bytes` (at most some KiB, so that they leave at once), then resets.
    pub fn reset_after(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::serve("http", move |mut peer| {
            let bytes = bytes.clone();
            async move {
                peer.send(&bytes).await?;
                peer.stream.set_zero_linger()
            }
        })
    }

    /// Accepts and closes cleanly: the client's first read finds the end.
    pub fn close() -> Self {
        Self::serve("http", |mut peer| async move { peer.finish().await })
    }

    /// Sends `bytes` one at a time with `gap` before each, then closes cleanly (a slow loris turned server).
    pub fn slow(bytes: impl Into<Bytes>, gap: Duration) -> Self {
        let bytes = bytes.into();
        Self::serve("http", move |mut peer| {
            let bytes = bytes.clone();
            async move {
                for byte in bytes {
                    tokio::time::sleep(gap).await;
                    peer.send(&[byte]).await?;
                }
                peer.finish().await
            }
        })
    }

    /// Sends `banner`, then each time the client's bytes contain an expected piece, sends the answer beside it.
    ///
    /// Pieces may be asked for in any order and again; the earliest in the bytes wins, then the first in the list.
    /// Bytes before a piece are skipped. Unknown bytes get no answer.
    pub fn say(banner: impl Into<Bytes>, answers: &[(&[u8], &[u8])]) -> Self {
        let script = Arc::new(Script::new(banner.into(), answers));
        Self::serve("tcp", move |peer| talk(peer, Arc::clone(&script)))
    }
}

/// What a dialog target says, and to what.
pub(crate) struct Script {
    banner: Bytes,
    answers: Vec<(Bytes, Bytes)>,
}

impl Script {
    pub(crate) fn new(banner: Bytes, answers: &[(&[u8], &[u8])]) -> Self {
        let copy = |(piece, answer): &(&[u8], &[u8])| (Bytes::copy_from_slice(piece), Bytes::copy_from_slice(answer));
        Self { banner, answers: answers.iter().map(copy).collect() }
    }

    /// Returns the end of the earliest expected piece in `heard`, and the answer to it.
    fn answer_to(&self, heard: &[u8]) -> Option<(usize, &Bytes)> {
        let mut earliest: Option<(usize, usize, &Bytes)> = None;
        for (piece, answer) in &self.answers {
            let Some(start) = find(heard, piece) else { continue };
            if earliest.is_none_or(|(other, ..)| start < other) {
                earliest = Some((start, start + piece.len(), answer));
            }
        }
        earliest.map(|(_, end, answer)| (end, answer))
    }
}

/// Holds the dialog of `script` with one client until it leaves.
pub(crate) async fn talk<S>(mut peer: Peer<S>, script: Arc<Script>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    peer.send(&script.banner).await?;
    let mut heard = Vec::new();
    loop {
        let bytes = peer.read().await?;
        if bytes.is_empty() {
            return peer.finish().await;
        }
        heard.extend(bytes);
        while let Some((end, answer)) = script.answer_to(&heard) {
            heard.drain(..end);
            peer.send(answer).await?;
        }
    }
}

/// Reads for ever and never answers.
pub(crate) async fn stall<S: AsyncRead + AsyncWrite + Unpin>(mut peer: Peer<S>) -> io::Result<()> {
    peer.drain().await?;
    // Closing now would answer a client that has only finished writing.
    std::future::pending().await
}

/// Returns where `piece` starts in `bytes`.
pub(crate) fn find(bytes: &[u8], piece: &[u8]) -> Option<usize> {
    bytes.windows(piece.len().max(1)).position(|window| window == piece)
}
