//! Kind `nats`: INFO, TLS where it is written, CONNECT, and a PING that comes back
//! (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).
//!
//! The JSON that `json` and `expr` see is what the server says in INFO: `version`, `server_name`, `jetstream`,
//! `max_payload`, `cluster` …

use std::sync::Arc;

use kit::config::Cursor;
use serde_json::{Value as Json, json};

use super::endpoint::{Dialog, Endpoint};
use super::expect::excerpt;
use super::kinds::{Expectation, Kind, Probe};
use super::login::Login;
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::wire::{Parsed, Wire, foreign, line};

/// Longest line, in bytes: INFO names every server of a cluster.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// A server of NATS.
pub(crate) struct Nats;

impl Kind for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("nats", Takes::Address(Some(4222)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        Expectation::OF_SERVERS
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let endpoint = Endpoint::decode(&fields);
        // A password without a name is a token.
        let login = Login::decode_pair(&fields);
        fields.end();
        Some(Arc::new(NatsProbe { endpoint: endpoint?, login: login? }))
    }
}

#[derive(Debug)]
struct NatsProbe {
    endpoint: Endpoint,
    login: Login,
}

impl Dialog for NatsProbe {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut wire = self.endpoint.connect_bare(run).await?;
        let info = wire.receive(run, "INFO", parse_info).await?;
        let version = info.get("version").and_then(Json::as_str);
        run.seen.protocol = version.map(|version| format!("NATS {}", excerpt(version.as_bytes())));
        wire = self.secure(run, wire, &info).await?;
        wire.send(&self.hello(wire.is_tls()), "who we are").await?;
        loop {
            let line = wire.receive(run, "PONG", |bytes| line(bytes, MAX_LINE_BYTES, "NATS")).await?;
            match line.split(' ').next().unwrap_or_default() {
                "PONG" => break,
                "-ERR" => return Err(self.refusal(&line)),
                // It tells what has changed, thanks us, and wants to know whether we are there.
                "INFO" | "+OK" | "PING" => {}
                _ => return Err(foreign("NATS", line.as_bytes())),
            }
        }
        Ok(Facts { body: Some(info.to_string().into()), ..Facts::default() })
    }
}

impl NatsProbe {
    /// TLS begins after INFO, if both sides want it.
    async fn secure(&self, run: &mut Run, wire: Wire, info: &Json) -> Result<Wire, Outcome> {
        let says = |key| info.get(key).and_then(Json::as_bool).unwrap_or(false);
        let Some(secrecy) = &self.endpoint.tls else {
            if says("tls_required") {
                return Err(Outcome::fail(ReasonCode::Tls, "it speaks with nobody without TLS; write tls: {}"));
            }
            return Ok(wire);
        };
        if !says("tls_required") && !says("tls_available") {
            return Err(Outcome::fail(ReasonCode::Tls, "the server does not offer TLS"));
        }
        secrecy.upgrade(run, wire).await
    }

    /// CONNECT and PING: what follows is PONG, or why not.
    fn hello(&self, is_tls: bool) -> Vec<u8> {
        let mut hello = json!({
            "verbose": false, "pedantic": false, "name": "monitor", "lang": "rust", "version": env!("CARGO_PKG_VERSION"),
            "protocol": 1, "tls_required": is_tls,
        });
        let key = if self.login.username.is_some() { "pass" } else { "auth_token" };
        for (key, value) in [("user", self.login.username.as_deref()), (key, self.login.password())] {
            if let (Some(value), Json::Object(fields)) = (value, &mut hello) {
                fields.insert(key.to_owned(), value.into());
            }
        }
        format!("CONNECT {hello}\r\nPING\r\n").into_bytes()
    }

    fn refusal(&self, line: &str) -> Outcome {
        let said = line.trim_start_matches("-ERR").trim().trim_matches('\'');
        let lower = said.to_lowercase();
        let (code, meaning) = if lower.contains("authorization") || lower.contains("authentication") {
            let wanted = "it lets nobody in without a name; write username and password_file";
            let refused = "it refuses name or password";
            (ReasonCode::Auth, if self.login.password().is_some() { refused } else { wanted })
        } else if lower.contains("maximum connections") {
            (ReasonCode::Rejected, "it takes no more clients")
        } else if lower.contains("tls required") {
            (ReasonCode::Tls, "it speaks with nobody without TLS; write tls: {}")
        } else {
            (ReasonCode::Rejected, "it answers with an error")
        };
        Outcome::fail(code, format!("{meaning}: {}", excerpt(said.as_bytes())))
    }
}

/// Takes the line that a server begins with.
fn parse_info(bytes: &[u8]) -> Parsed<Json> {
    let start = bytes.get(..bytes.len().min(5)).unwrap_or_default();
    if !b"INFO ".starts_with(start) {
        return Err(foreign("NATS", bytes));
    }
    let Some((line, length)) = line(bytes, MAX_LINE_BYTES, "NATS")? else { return Ok(None) };
    let info = line.get(5..).and_then(|text| serde_json::from_str::<Json>(text).ok());
    match info.filter(Json::is_object) {
        Some(info) => Ok(Some((info, length))),
        None => Err(foreign("NATS", bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_begins_with_what_it_is() {
        let text = b"INFO {\"version\":\"2.9\"} \r\nPING\r\n";
        assert_eq!(parse_info(text), Ok(Some((json!({ "version": "2.9" }), 25))));
        for end in 0..24 {
            assert_eq!(parse_info(&text[..end]), Ok(None), "{end}");
        }
        for text in ["\u{1}\u{2}x", "HTTP/1.1", "INFO x\r\n", "INFO [1]\r\n", "-ERR 'x'\r\n"] {
            assert!(parse_info(text.as_bytes()).is_err(), "{text}");
        }
    }
}
