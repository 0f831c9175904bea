//! A dialog over a connection: send these bytes, wait for those. Bytes that came early are kept for the next step.

use std::fmt;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use data_encoding::HEXLOWER_PERMISSIVE;
use kit::config::{Cursor, Fields};
use regex::bytes::{Regex, RegexBuilder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::expect::{MAX_REGEX_BYTES, excerpt};
use super::handshake::tls_cause;
use super::observation::{Outcome, Phase, ReasonCode};
use super::run::Run;

/// Bytes that are read at most in one dialog.
const MAX_HEARD_BYTES: usize = 64 * 1024;

/// One turn: first what we send, then what we wait for.
pub(super) struct Step {
    send: Option<Bytes>,
    /// True if what is sent was written as text.
    is_text: bool,
    expect: Option<Expected>,
}

/// What is waited for.
#[derive(Debug)]
pub(super) enum Expected {
    Bytes(Bytes),
    Matches(Regex),
}

impl fmt::Debug for Step {
    /// Without what is sent: it may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("expect", &self.expect.as_ref().map(Expected::show)).finish_non_exhaustive()
    }
}

impl Step {
    /// Decodes `{ send | send_hex | send_base64, expect | expect_hex | expect_matches }`.
    pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let fields = cursor.fields()?;
        let step = Self::decode_in(&fields);
        fields.end();
        let step = step?;
        if step.send.is_none() && step.expect.is_none() {
            cursor.mistake("a step sends or expects something; write { send: …, expect: … }");
            return None;
        }
        Some(step)
    }

    /// As [`Step::decode`], among other keys; there may be nothing of it.
    pub(super) fn decode_in(fields: &Fields<'_>) -> Option<Self> {
        let send = one_of(
            fields,
            [
                ("send", fields.get("send").map(|c| c.text().map(Bytes::from))),
                ("send_hex", fields.get("send_hex").map(|c| hex(&c))),
                ("send_base64", fields.get("send_base64").map(|c| base64(&c))),
            ],
        );
        let expect = one_of(
            fields,
            [
                ("expect", fields.get("expect").map(|c| c.text().map(|text| Expected::Bytes(text.into())))),
                ("expect_hex", fields.get("expect_hex").map(|c| hex(&c).map(Expected::Bytes))),
                ("expect_matches", fields.get("expect_matches").map(|c| regex(&c).map(Expected::Matches))),
            ],
        );
        let is_text = fields.has("send");
        Some(Self { send: send?, is_text, expect: expect? })
    }

    /// What is sent first, if anything is.
    pub(super) fn sent(&self) -> Option<&Bytes> {
        self.send.as_ref()
    }

    /// True if what is sent is a text, where a protocol tells texts from bytes.
    pub(super) fn is_text(&self) -> bool {
        self.is_text
    }

    /// What is waited for then, if anything is.
    pub(super) fn expected(&self) -> Option<&Expected> {
        self.expect.as_ref()
    }
}

impl Expected {
    /// True if it is in these bytes, which are whole.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.end_in(bytes, 0).is_some()
    }

    /// Returns the end of the match, if it has come; `from` is where the bytes not yet looked at begin.
    fn end_in(&self, heard: &[u8], from: usize) -> Option<usize> {
        match self {
            Self::Matches(regex) => regex.find(heard).map(|found| found.end()),
            Self::Bytes(wanted) => {
                let start = from.saturating_sub(wanted.len().saturating_sub(1));
                let fresh = heard.get(start..).unwrap_or_default();
                let at = fresh.windows(wanted.len().max(1)).position(|window| window == wanted)?;
                Some(start + at + wanted.len())
            }
        }
    }

    /// For people.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Bytes(wanted) => format!("{:?}", excerpt(wanted)),
            Self::Matches(regex) => format!("a match of {:?}", regex.as_str()),
        }
    }
}

/// Holds the dialog and returns everything that was heard.
pub(super) async fn talk<S>(run: &mut Run, stream: &mut S, steps: &[Step]) -> Result<Bytes, Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if steps.is_empty() {
        return Ok(Bytes::new());
    }
    run.enter(Phase::FirstByte);
    let (mut waiting, mut heard) = (BytesMut::new(), BytesMut::new());
    for step in steps {
        if let Some(send) = &step.send {
            let sent = async {
                stream.write_all(send).await?;
                stream.flush().await
            };
            sent.await.map_err(|error| broken(&error, "while sending", &heard))?;
        }
        let Some(expected) = &step.expect else { continue };
        let mut from = 0;
        let end = loop {
            if let Some(end) = expected.end_in(&waiting, from) {
                break end;
            }
            from = waiting.len();
            hear(run, stream, &mut waiting, &mut heard, expected).await?;
        };
        waiting.advance(end);
    }
    run.leave();
    Ok(heard.freeze())
}

/// Reads once, whatever comes.
async fn hear<S: AsyncRead + Unpin>(
    run: &mut Run,
    stream: &mut S,
    waiting: &mut BytesMut,
    heard: &mut BytesMut,
    expected: &Expected,
) -> Result<(), Outcome> {
    if heard.len() >= MAX_HEARD_BYTES {
        let text = format!("{} did not come within {MAX_HEARD_BYTES} bytes", expected.show());
        return Err(Outcome::fail(ReasonCode::TooLarge, text));
    }
    let before = waiting.len();
    waiting.reserve(4096);
    let limit = run.last_word();
    let read = match tokio::time::timeout_at(limit, stream.read_buf(waiting)).await {
        // Nothing at all came: the runner says so, and in which step.
        Err(_elapsed) if heard.is_empty() => std::future::pending().await,
        Err(_elapsed) => {
            let text = format!("{} did not come in time; received {:?}", expected.show(), excerpt(heard));
            return Err(Outcome::fail(ReasonCode::Body, text));
        }
        Ok(read) => read,
    };
    match read {
        Ok(0) => Err(broken(&io::ErrorKind::UnexpectedEof.into(), &format!("before {} came", expected.show()), heard)),
        Ok(_) => {
            if heard.is_empty() {
                run.enter(Phase::Transfer);
            }
            heard.extend_from_slice(waiting.get(before..).unwrap_or_default());
            Ok(())
        }
        Err(error) => Err(broken(&error, &format!("before {} came", expected.show()), heard)),
    }
}

/// Says how a connection ended, at which place in the dialog, and what had come until then.
pub(super) fn broken(error: &io::Error, place: &str, heard: &[u8]) -> Outcome {
    if let Some(outcome) = tls_cause(error) {
        return outcome;
    }
    let received = if heard.is_empty() { String::new() } else { format!("; received {:?}", excerpt(heard)) };
    let how = match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            "reset".to_owned()
        }
        _ => format!("broken ({error})"),
    };
    Outcome::fail(ReasonCode::Reset, format!("connection {how} {place}{received}"))
}

/// Takes the one value that is written. The outer `None` is a mistake, the inner one means that none is.
fn one_of<T, const N: usize>(fields: &Fields<'_>, values: [(&str, Option<Option<T>>); N]) -> Option<Option<T>> {
    let mut written = values.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
    let Some((key, value)) = written.next() else { return Some(None) };
    if let Some((other, _)) = written.next() {
        fields.cursor().mistake(format!("both {key:?} and {other:?} are set; keep one"));
        return None;
    }
    value.map(Some)
}

fn hex(cursor: &Cursor<'_>) -> Option<Bytes> {
    let digits: String = cursor.text()?.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok().filter(|bytes| !bytes.is_empty());
    if bytes.is_none() {
        cursor.mistake(format!("{} is not hex; write two digits a byte, like 0d 0a", cursor.node().shown()));
    }
    bytes.map(Bytes::from)
}

fn base64(cursor: &Cursor<'_>) -> Option<Bytes> {
    let decoded = STANDARD.decode(cursor.text()?).ok();
    if decoded.is_none() {
        cursor.mistake(format!("{} is not base64 (RFC 4648 section 4)", cursor.node().shown()));
    }
    decoded.map(Bytes::from)
}

fn regex(cursor: &Cursor<'_>) -> Option<Regex> {
    match RegexBuilder::new(&cursor.text()?).size_limit(MAX_REGEX_BYTES).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            let first = error.to_string().lines().last().unwrap_or("it does not parse").trim().to_owned();
            cursor.mistake(format!("{} is not a regular expression: {first}", cursor.node().shown()));
            None
        }
    }
}
