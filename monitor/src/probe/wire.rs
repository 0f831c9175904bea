//! One connection as protocols read it: whole messages off a bounded buffer, and every way to break in words.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::expect::{MAX_JUDGED_BYTES, excerpt};
use super::observation::{Outcome, Phase, ReasonCode};
use super::run::Run;
use super::stream::Stream;
use super::talk::broken;

/// First two bytes of a TLS alert: content type 21, major version 3 (RFC 8446 section 5.1).
pub(super) const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// What a message parser returns: nothing while more must come, or the message and how many bytes it took.
pub(super) type Parsed<T> = Result<Option<(T, usize)>, Outcome>;

/// A connection that is read message by message; at most [`MAX_JUDGED_BYTES`] in all.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// What was read and not yet taken.
    ahead: BytesMut,
    total: usize,
}

impl Wire {
    /// Takes a connection; what is waited for from now on is the first byte.
    pub(super) fn new(run: &mut Run, stream: Stream) -> Self {
        run.enter(Phase::FirstByte);
        Self { stream, ahead: BytesMut::new(), total: 0 }
    }

    /// Sends these bytes at once.
    pub(super) async fn send(&mut self, bytes: &[u8], what: &str) -> Result<(), Outcome> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| broken(&error, &format!("while sending {what}"), &self.ahead))
    }

    /// Reads until `parse` finds a whole message at the front, and takes it. `what` names it for people.
    pub(super) async fn receive<T>(
        &mut self,
        run: &mut Run,
        what: &str,
        parse: impl Fn(&[u8]) -> Parsed<T>,
    ) -> Result<T, Outcome> {
        loop {
            if let Some((message, length)) = parse(&self.ahead)? {
                self.ahead.advance(length.min(self.ahead.len()));
                return Ok(message);
            }
            if self.total >= MAX_JUDGED_BYTES {
                let text = format!("{what} did not end within {MAX_JUDGED_BYTES} bytes");
                return Err(Outcome::fail(ReasonCode::TooLarge, text));
            }
            self.ahead.reserve(4096);
            let place = || format!("before {what} came");
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(0) => return Err(broken(&io::ErrorKind::UnexpectedEof.into(), &place(), &self.ahead)),
                Ok(read) => {
                    if self.total == 0 {
                        run.enter(Phase::Transfer);
                    }
                    self.total += read;
                }
                Err(error) => return Err(broken(&error, &place(), &self.ahead)),
            }
        }
    }

    /// Says goodbye where the protocol has a word for it. That nobody hears it changes nothing.
    pub(super) async fn part(mut self, word: &[u8]) {
        let _nobody_hears = self.send(word, "the goodbye").await;
        let _closed_anyway = self.stream.shutdown().await;
    }

    /// Gives the bare connection back, to speak TLS on it. None if it is not bare, or the peer has said more than it was
    /// asked: that would count as said within TLS ("NO STARTTLS", USENIX Security 2021).
    pub(super) fn into_plain(self) -> Option<TcpStream> {
        match self.stream {
            Stream::Plain(stream) if self.ahead.is_empty() => Some(stream),
            _ => None,
        }
    }

    /// True if the connection is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        !matches!(self.stream, Stream::Plain(_))
    }

    /// True if what is said can be read by nobody between.
    pub(super) fn is_private(&self, run: &Run) -> bool {
        self.is_tls() || run.seen.address.is_some_and(|address| address.ip().is_loopback())
    }
}

/// Takes a line without its end, at most `most` bytes long; `protocol` names whose lines they are.
pub(super) fn line(bytes: &[u8], most: usize, protocol: &str) -> Parsed<String> {
    let end = bytes.iter().take(most).position(|byte| *byte == b'\n');
    match end {
        Some(end) => {
            let text = bytes.get(..end).unwrap_or_default();
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            Ok(Some((String::from_utf8_lossy(text).into_owned(), end + 1)))
        }
        None if bytes.len() >= most || bytes.starts_with(&TLS_ALERT) => Err(foreign(protocol, bytes)),
        None => Ok(None),
    }
}

/// The fail of an answer that is not of the protocol.
pub(super) fn foreign(protocol: &str, heard: &[u8]) -> Outcome {
    let text = if heard.starts_with(&TLS_ALERT) {
        format!("the server speaks TLS on this port, not plain {protocol}; write tls: {{}}")
    } else {
        format!("the answer is not of {protocol}: {:?}", excerpt(heard))
    };
    Outcome::fail(ReasonCode::Protocol, text)
}
