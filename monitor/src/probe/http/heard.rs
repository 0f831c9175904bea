//! A connection that remembers the first bytes it read (when the answer began, and what it was if it is not HTTP), and
//! how reading broke: HTTP/2 keeps only the words of a socket's error.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::probe::handshake::tls_cause;
use crate::probe::observation::Outcome;
use crate::probe::stream::Stream;

/// How much of the beginning is remembered, in bytes: enough to recognise a protocol in a message.
const KEPT_BYTES: usize = 64;

/// What is known of an answer below HTTP.
#[derive(Debug)]
pub(in crate::probe) struct Beginning {
    /// True for HTTP/2.
    pub(super) two: bool,
    /// Its first bytes, once there are any.
    pub(super) bytes: OnceLock<Vec<u8>>,
    /// How the connection ended, once it has.
    pub(super) broken: OnceLock<Broken>,
}

/// The end of a connection: clean, or by an error of the socket or of TLS.
#[derive(Debug)]
pub(super) enum Broken {
    Closed,
    Tls(Outcome),
    Socket(io::ErrorKind),
}

/// A stream that fills a [`Beginning`].
pub(super) struct Heard {
    stream: Stream,
    beginning: Arc<Beginning>,
}

impl Heard {
    pub(super) fn new(stream: Stream, two: bool) -> (Self, Arc<Beginning>) {
        let beginning = Arc::new(Beginning { two, bytes: OnceLock::new(), broken: OnceLock::new() });
        (Self { stream, beginning: beginning.clone() }, beginning)
    }

    /// Keeps how the connection broke; a reset may meet us while we write.
    fn note(&self, error: &io::Error) {
        self.beginning.broken.get_or_init(|| tls_cause(error).map_or(Broken::Socket(error.kind()), Broken::Tls));
    }
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining();
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer)) {
            self.note(&error);
            return Poll::Ready(Err(error));
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() && room > 0 {
            self.beginning.broken.get_or_init(|| Broken::Closed);
        } else {
            self.beginning.bytes.get_or_init(|| read.iter().copied().take(KEPT_BYTES).collect());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(written.inspect_err(|error| self.note(error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(flushed.inspect_err(|error| self.note(error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
