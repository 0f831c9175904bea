//! `query_response`: what is waited for line by line or byte by byte, what is sent then, and TLS that begins in between.
//!
//! Bytes that came early are kept for the next turn, and those that are expected may come in any number of segments. As
//! there, each `send` gets a line end.

use std::io;

use bytes::{Bytes, BytesMut};
use kit::config::{Cursor, Fields};
use regex::bytes::Regex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

use super::file::flag;
use super::tls::{Secrecy, Told};
use super::visit::{Stop, Visit};
use super::{gauges, re2};
use crate::probe::expect::excerpt;
use crate::probe::handshake::shake_hands_over;
use crate::probe::observation::{Phase, ReasonCode};
use crate::probe::talk::broken;

/// Bytes that are read at most in one dialog.
const MAX_HEARD_BYTES: usize = 1024 * 1024;

/// One turn.
#[derive(Debug)]
struct Turn {
    expect: Option<Regex>,
    expect_bytes: Bytes,
    /// With `${1}` and `${name}` for what `expect` has found.
    send: String,
    labels: Vec<(String, String)>,
    starts_tls: bool,
}

/// A dialog, and how it is kept from others.
#[derive(Debug)]
pub(super) struct Dialog {
    turns: Vec<Turn>,
    /// True if TLS comes before anything else.
    pub(super) is_tls: bool,
    pub(super) secrecy: Secrecy,
}

impl Dialog {
    /// Decodes `query_response`, `tls` and `tls_config`.
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Self> {
        let items = fields.get("query_response").map(|c| c.items()).unwrap_or_default();
        let turns: Vec<Option<Turn>> = items.iter().map(decode_turn).collect();
        let is_tls = flag(fields, "tls", false);
        let secrecy = Secrecy::decode(fields.get("tls_config"), &[]);
        Some(Self { turns: turns.into_iter().collect::<Option<_>>()?, is_tls: is_tls?, secrecy: secrecy? })
    }

    /// Sets the gauges that every dialog has.
    pub(super) fn begin(visit: &mut Visit) {
        visit.gauges.flag(gauges::FAILED_REGEX, false);
        visit.gauges.flag(gauges::FAILED_BYTES, false);
    }

    /// Talks to the end. `name` is asked for where TLS begins.
    pub(super) async fn hold<S>(
        &self,
        visit: &mut Visit,
        stream: S,
        name: Result<ServerName<'static>, Stop>,
    ) -> Result<(), Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut line = Line { connection: Connection::Plain(stream), ahead: BytesMut::new(), heard: 0 };
        if self.is_tls {
            line = line.secure(visit, &self.secrecy, name.clone()?).await?;
        }
        for turn in &self.turns {
            let mut send = turn.send.clone().into_bytes();
            if let Some(expect) = &turn.expect {
                let found = line.wait_for(visit, expect).await?;
                send = expand(expect, &found, &turn.send);
                turn.tell_labels(visit, expect, &found);
            }
            if !turn.expect_bytes.is_empty() {
                line.wait_for_bytes(visit, &turn.expect_bytes).await?;
            }
            if !send.is_empty() {
                // Not what: it may be a password.
                visit.say(format!("sends {} bytes", send.len()));
                send.push(b'\n');
                line.send(&send).await?;
            }
            if turn.starts_tls {
                line = line.secure(visit, &self.secrecy, name.clone()?).await?;
            }
        }
        visit.run.leave();
        Ok(())
    }
}

impl Turn {
    fn tell_labels(&self, visit: &mut Visit, expect: &Regex, found: &[u8]) {
        if self.labels.is_empty() {
            return;
        }
        let value = |text: &str| String::from_utf8_lossy(&expand(expect, found, text)).into_owned();
        let labels: Vec<(&str, String)> = self.labels.iter().map(|(name, text)| (name.as_str(), value(text))).collect();
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        visit.gauges.set_with(gauges::EXPECT_INFO, &labels, 1.0);
    }
}

/// Puts what was found into a text.
fn expand(expect: &Regex, found: &[u8], text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(captures) = expect.captures(&re2::readable(found)) {
        captures.expand(text.as_bytes(), &mut out);
    }
    out
}

fn decode_turn(cursor: &Cursor<'_>) -> Option<Turn> {
    let fields = cursor.fields()?;
    let expect = match fields.get("expect") {
        Some(cursor) => re2::decode(&cursor).map(Some),
        None => Some(None),
    };
    let expect_bytes = fields.get("expect_bytes").map_or(Some(Bytes::new()), |c| c.text().map(Bytes::from));
    let send = fields.get("send").map_or(Some(String::new()), |c| c.text());
    let starts_tls = flag(&fields, "starttls", false);
    let labels = fields.get("labels").map(|c| c.items()).unwrap_or_default();
    let labels: Vec<Option<(String, String)>> = labels.iter().map(decode_label).collect();
    fields.end();
    Some(Turn {
        expect: expect?,
        expect_bytes: expect_bytes?,
        send: send?,
        labels: labels.into_iter().collect::<Option<_>>()?,
        starts_tls: starts_tls?,
    })
}

fn decode_label(cursor: &Cursor<'_>) -> Option<(String, String)> {
    let fields = cursor.fields()?;
    let name = fields.require("name").and_then(|c| {
        let name = c.text()?;
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            c.mistake(format!("{name:?} is not the name of a label; write letters, digits and underscores"));
        }
        is_name.then_some(name)
    });
    let value = fields.get("value").map_or(Some(String::new()), |c| c.text());
    fields.end();
    Some((name?, value?))
}

/// A connection before or after TLS has begun on it.
enum Connection<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

/// A connection and what was read of it ahead.
struct Line<S> {
    connection: Connection<S>,
    ahead: BytesMut,
    heard: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Line<S> {
    /// Begins TLS. What was said before in the clear does not count as said within it ("NO STARTTLS", USENIX Security 2021).
    async fn secure(self, visit: &mut Visit, secrecy: &Secrecy, name: ServerName<'static>) -> Result<Self, Stop> {
        let Connection::Plain(stream) = self.connection else {
            return Err(Stop::failed(ReasonCode::Tls, "TLS has begun already"));
        };
        let secured = shake_hands_over(&mut visit.run, stream, &secrecy.tls.config, &name).await;
        secrecy.tell(visit, Told::Whole);
        let (stream, _asks_for_ours) = secured?;
        Ok(Self { connection: Connection::Tls(Box::new(stream)), ahead: BytesMut::new(), heard: self.heard })
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let sent = match &mut self.connection {
            Connection::Plain(stream) => stream.write_all(bytes).await,
            Connection::Tls(stream) => match stream.write_all(bytes).await {
                Ok(()) => stream.flush().await,
                failed => failed,
            },
        };
        Ok(sent.map_err(|error| broken(&error, "while sending", &self.ahead))?)
    }

    /// Returns the first line that matches. At the end of the time what has come of a line will do too.
    async fn wait_for(&mut self, visit: &mut Visit, expect: &Regex) -> Result<Vec<u8>, Stop> {
        loop {
            while let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line = self.ahead.split_to(end + 1);
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if re2::is_match(expect, line) {
                    visit.say(format!("{:?} matches {:?}", excerpt(line), expect.as_str()));
                    return Ok(line.to_vec());
                }
                visit.say(format!("{:?} does not match {:?}", excerpt(line), expect.as_str()));
            }
            let heard = self.hear(visit).await;
            if heard == Heard::More {
                continue;
            }
            let rest = self.ahead.split().to_vec();
            if !rest.is_empty() && re2::is_match(expect, &rest) {
                return Ok(rest);
            }
            let text = format!("no line matches {:?}; the last is {:?}", expect.as_str(), excerpt(&rest));
            match heard {
                Heard::End => {
                    visit.gauges.flag(gauges::FAILED_REGEX, true);
                    return Err(Stop::failed(ReasonCode::Body, text));
                }
                Heard::Late if self.heard > 0 => {
                    return Err(Stop::failed(ReasonCode::Body, format!("{text}, in time")));
                }
                // Nothing at all came: who watches the time says so, and in which step.
                Heard::Late => std::future::pending().await,
                Heard::Broken(stop) => return Err(stop),
                Heard::More => {}
            }
        }
    }

    /// Takes exactly these bytes, or says what came instead.
    async fn wait_for_bytes(&mut self, visit: &mut Visit, expected: &[u8]) -> Result<(), Stop> {
        while self.ahead.len() < expected.len() {
            match self.hear(visit).await {
                Heard::More => {}
                Heard::Late if self.ahead.is_empty() => std::future::pending().await,
                Heard::Broken(stop) => return Err(stop),
                Heard::Late | Heard::End => break,
            }
        }
        let found = self.ahead.split_to(expected.len().min(self.ahead.len()));
        if found == expected {
            return Ok(());
        }
        visit.gauges.flag(gauges::FAILED_BYTES, true);
        let text = format!("{:?} came instead of {:?}", excerpt(&found), excerpt(expected));
        Err(Stop::failed(ReasonCode::Body, text))
    }

    async fn hear(&mut self, visit: &mut Visit) -> Heard {
        if self.heard >= MAX_HEARD_BYTES {
            let text = format!("what is expected did not come within {MAX_HEARD_BYTES} bytes");
            return Heard::Broken(Stop::failed(ReasonCode::TooLarge, text));
        }
        if visit.run.current().is_none() {
            visit.run.enter(Phase::FirstByte);
        }
        self.ahead.reserve(4096);
        let read = async {
            match &mut self.connection {
                Connection::Plain(stream) => stream.read_buf(&mut self.ahead).await,
                Connection::Tls(stream) => stream.read_buf(&mut self.ahead).await,
            }
        };
        let read: io::Result<usize> = match tokio::time::timeout_at(visit.run.last_word(), read).await {
            Err(_elapsed) => return Heard::Late,
            Ok(read) => read,
        };
        match read {
            Ok(0) => Heard::End,
            Ok(count) => {
                self.heard += count;
                Heard::More
            }
            Err(error) => Heard::Broken(broken(&error, "before what is expected came", &self.ahead).into()),
        }
    }
}

/// What reading once came to.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    More,
    End,
    Late,
    Broken(Stop),
}
