//! Why an HTTP exchange broke off, in words: closed, reset, refused by TLS, or not HTTP at all.

use std::io;

use http_body::Body as _;
use hyper::body::Incoming;

use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};

use super::exchange::{MAX_HEAD_BYTES, MAX_HEADERS};
use super::heard::{Beginning, Broken};

/// Explains an error before the answer's head was complete.
pub(super) fn before_head(error: &hyper::Error, beginning: &Beginning) -> Outcome {
    let protocol = if beginning.two { "HTTP/2" } else { "HTTP" };
    let begun = beginning.bytes.get().map(|bytes| excerpt(bytes)).unwrap_or_default();
    // A server begins HTTP/2 with a SETTINGS frame, type 4 (RFC 9113 sections 3.4 and 4.1).
    if beginning.two && beginning.bytes.get().is_some_and(|bytes| bytes.get(3) != Some(&4)) {
        return Outcome::fail(ReasonCode::Protocol, format!("not HTTP/2: {begun:?}"));
    }
    if let Some(outcome) = below(beginning, "before the answer was complete") {
        return outcome;
    }
    if error.is_parse_too_large() {
        let text =
            format!("the answer's head is larger than {MAX_HEAD_BYTES} bytes or has more than {MAX_HEADERS} headers");
        return Outcome::fail(ReasonCode::Protocol, text);
    }
    if error.is_parse() {
        return Outcome::fail(ReasonCode::Protocol, format!("not {protocol}: {begun:?} ({error})"));
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return match beginning.bytes.get() {
            None => Outcome::fail(ReasonCode::Reset, "connection closed without an answer"),
            Some(_) => {
                Outcome::fail(ReasonCode::Reset, format!("connection closed within the answer's head: {begun:?}"))
            }
        };
    }
    match beginning.bytes.get() {
        None => Outcome::fail(ReasonCode::Protocol, format!("{protocol} failed before an answer: {}", root(error))),
        Some(_) => Outcome::fail(ReasonCode::Protocol, format!("not {protocol}: {begun:?} ({})", root(error))),
    }
}

/// Explains an error after `count` bytes of the body.
pub(in crate::probe) fn within_body(
    error: &hyper::Error,
    beginning: &Beginning,
    count: usize,
    promised: Option<u64>,
) -> Outcome {
    let of = promised.map(|promised| format!(" of {promised}")).unwrap_or_default();
    let place = format!("after {count}{of} bytes");
    if let Some(outcome) = below(beginning, &place) {
        return outcome;
    }
    if matches!(beginning.broken.get(), Some(Broken::Closed)) {
        return Outcome::fail(ReasonCode::Reset, format!("the answer ended {place}"));
    }
    Outcome::fail(ReasonCode::Protocol, format!("the answer broke {place}: {}", root(error)))
}

/// Explains a body that ended without an error after `count` bytes, if it is not whole: hyper ends it also where the server
/// reset its stream of HTTP/2 with `NO_ERROR`, which says that it is whole only if `END_STREAM` came before (RFC 9113
/// section 8.1).
pub(in crate::probe) fn ended_early(
    body: &Incoming,
    beginning: &Beginning,
    count: usize,
    promised: Option<u64>,
) -> Option<Outcome> {
    let is_whole = !beginning.two || body.is_end_stream() || promised.is_some_and(|promised| promised == count as u64);
    let of = promised.map(|promised| format!(" of {promised}")).unwrap_or_default();
    let text = format!("the server reset the stream after {count}{of} bytes");
    (!is_whole).then(|| Outcome::fail(ReasonCode::Reset, text))
}

/// Tells what the socket or TLS said, which is the cause of whatever HTTP says.
fn below(beginning: &Beginning, place: &str) -> Option<Outcome> {
    match beginning.broken.get()? {
        Broken::Tls(outcome) => Some(outcome.clone()),
        // HTTP/1 tells by itself whether the end came too early; HTTP/2 calls every end a broken pipe.
        Broken::Closed if beginning.two => Some(Outcome::fail(ReasonCode::Reset, format!("connection closed {place}"))),
        Broken::Socket(
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe,
        ) => Some(Outcome::fail(ReasonCode::Reset, format!("connection reset {place}"))),
        // The connection ended without TLS's close_notify (RFC 8446 section 6.1).
        Broken::Socket(io::ErrorKind::UnexpectedEof) => {
            Some(Outcome::fail(ReasonCode::Reset, format!("the answer ended {place}")))
        }
        Broken::Closed | Broken::Socket(_) => None,
    }
}

/// The innermost cause: the outer ones only say "error" in other words.
fn root(error: &hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
