//! Whole messages over an open connection, pings answered on the way, and both ways to end.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::frame::{Frame, Opcode, encode, parse};
use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;
use crate::probe::run::Run;
use crate::probe::talk::Expected;
use crate::probe::wire::Wire;

/// How long a server may take to answer our goodbye; it needs one round trip.
const CLOSE_WAIT: Duration = Duration::from_millis(500);
/// "Normal closure" (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;

/// A connection on which messages are exchanged. What is read in all is bounded by [`Wire`].
pub(in crate::probe) struct Messages {
    wire: Wire,
    /// The beginning of a message whose end has not come.
    begun: Option<(Opcode, Vec<u8>)>,
}

/// What comes next.
enum Heard {
    Message(Vec<u8>),
    Closed { code: Option<u16>, why: String },
}

impl Messages {
    pub(in crate::probe) fn new(wire: Wire) -> Self {
        Self { wire, begun: None }
    }

    /// Sends one message.
    pub(in crate::probe) async fn send(&mut self, payload: &[u8], is_text: bool) -> Result<(), Outcome> {
        let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
        self.put(opcode, payload, "a message").await
    }

    /// Waits for the message that is expected, or for any.
    pub(in crate::probe) async fn hear(
        &mut self,
        run: &mut Run,
        expected: Option<&Expected>,
    ) -> Result<Bytes, Outcome> {
        let what = expected.map_or_else(|| "a message".to_owned(), Expected::show);
        let limit = run.last_word();
        let mut last: Option<Vec<u8>> = None;
        loop {
            match tokio::time::timeout_at(limit, self.next(run, &what)).await {
                Ok(Ok(Heard::Message(message))) if expected.is_none_or(|expected| expected.is_in(&message)) => {
                    return Ok(message.into());
                }
                Ok(Ok(Heard::Message(message))) => last = Some(message),
                Ok(Ok(Heard::Closed { code, why })) => return Err(closed(code, &why, &what, last.as_deref())),
                Ok(Err(outcome)) => return Err(outcome),
                // Nothing at all came: the runner says so, and in which step.
                Err(_elapsed) => match last {
                    None => std::future::pending().await,
                    Some(last) => {
                        let text = format!("{what} did not come in time; the last message was {:?}", excerpt(&last));
                        return Err(Outcome::fail(ReasonCode::Body, text));
                    }
                },
            }
        }
    }

    /// Says goodbye and waits a little for the answer: who leaves without it, some servers log as an error.
    pub(in crate::probe) async fn close(mut self, run: &mut Run) {
        let limit = run.last_word().min(Instant::now() + CLOSE_WAIT);
        let leaving = async {
            self.put(Opcode::Close, &NORMAL.to_be_bytes(), "the goodbye").await?;
            while !matches!(self.next(run, "the answer to our goodbye").await?, Heard::Closed { .. }) {}
            Ok::<(), Outcome>(())
        };
        if !matches!(tokio::time::timeout_at(limit, leaving).await, Ok(Ok(()))) {
            run.seen.remark("the server did not answer our goodbye");
        }
    }

    async fn next(&mut self, run: &mut Run, what: &str) -> Result<Heard, Outcome> {
        loop {
            let frame = self.wire.receive(run, what, parse).await?;
            match frame.opcode {
                Opcode::Ping => self.put(Opcode::Pong, &frame.payload, "the answer to a ping").await?,
                Opcode::Pong => {}
                Opcode::Close => {
                    let mut rest = Reader(&frame.payload);
                    return Ok(Heard::Closed { code: rest.u16(), why: excerpt(rest.0) });
                }
                Opcode::More | Opcode::Text | Opcode::Binary => {
                    if let Some(message) = self.join(frame)? {
                        return Ok(Heard::Message(message));
                    }
                }
            }
        }
    }

    /// Adds a piece; returns the message that it ends.
    fn join(&mut self, frame: Frame) -> Result<Option<Vec<u8>>, Outcome> {
        let (opcode, payload) = match (self.begun.take(), frame.opcode) {
            (Some((opcode, begun)), Opcode::More) => (opcode, [begun, frame.payload].concat()),
            (None, opcode) if opcode != Opcode::More => (opcode, frame.payload),
            _ => {
                let text = "not of WebSocket: the pieces of a message are out of order";
                return Err(Outcome::fail(ReasonCode::Protocol, text));
            }
        };
        if !frame.is_last {
            self.begun = Some((opcode, payload));
            return Ok(None);
        }
        if opcode == Opcode::Text && std::str::from_utf8(&payload).is_err() {
            let text = format!("not of WebSocket: a text that is not UTF-8: {:?}", excerpt(&payload));
            return Err(Outcome::fail(ReasonCode::Protocol, text));
        }
        Ok(Some(payload))
    }

    async fn put(&mut self, opcode: Opcode, payload: &[u8], what: &str) -> Result<(), Outcome> {
        self.wire.send(&encode(opcode, payload, rand::random()), what).await
    }
}

/// A server that closes has decided so; what it says tells whether it refuses us or ends.
fn closed(code: Option<u16>, why: &str, what: &str, last: Option<&[u8]>) -> Outcome {
    let name = match code {
        None => "without a code".to_owned(),
        Some(code) => format!("with code {code}{}", meaning(code)),
    };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let last = last.map(|last| format!("; the last message was {:?}", excerpt(last))).unwrap_or_default();
    let refuses = matches!(code, Some(1003 | 1007..=1010 | 1012..=1013 | 3000..=4999));
    let reason = if refuses { ReasonCode::Rejected } else { ReasonCode::Reset };
    Outcome::fail(reason, format!("closed {name}{why}, before {what} came{last}"))
}

/// The IANA registry "WebSocket Close Code Number".
fn meaning(code: u16) -> &'static str {
    match code {
        1000 => " (normal)",
        1001 => " (going away)",
        1002 => " (protocol error)",
        1003 => " (unsupported data)",
        1007 => " (invalid data)",
        1008 => " (policy violation)",
        1009 => " (message too big)",
        1011 => " (internal error)",
        1012 => " (service restart)",
        1013 => " (try again later)",
        3000 => " (unauthorized)",
        3003 => " (forbidden)",
        _ => "",
    }
}
