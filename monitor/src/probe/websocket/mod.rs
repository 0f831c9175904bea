//! Kind `websocket`: the opening handshake, a dialog message by message, and the closing one (RFC 6455).
//!
//! Its few frames are spoken here: so every way to break is told as the other kinds tell it, and no crate is needed.

mod frame;
mod messages;
mod opening;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields};
use url::Url;

pub(super) use self::messages::Messages;
pub(super) use self::opening::Opening;

use super::address::{Address, Host};
use super::dial::IpVersion;
use super::endpoint::Endpoint;
use super::http::decode_headers;
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::talk::Step;
use super::tls::name_for;
use super::tls_options::{HTTP_1_1, Tls};

/// Talks over WebSocket.
pub(crate) struct WebSocket;

impl Kind for WebSocket {
    fn name(&self) -> &'static str {
        "websocket"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("ws", Takes::Whole), Scheme::plain("wss", Takes::Whole)] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Body, Expectation::Json, Expectation::Certificate]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let probe = decode(&fields);
        fields.end();
        Some(Arc::new(probe?))
    }
}

struct WebSocketProbe {
    target: Target,
    endpoint: Endpoint,
    opening: Opening,
    steps: Vec<Step>,
}

impl fmt::Debug for WebSocketProbe {
    /// Without the URL and the headers: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketProbe")
            .field("target", &self.target)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

fn decode(fields: &Fields<'_>) -> Option<WebSocketProbe> {
    let url = fields.require("url").and_then(|c| decode_url(&c));
    let headers = decode_headers(fields);
    let protocols = fields.get("subprotocol").map(|c| c.texts()).unwrap_or_default();
    let steps = fields.get("talk").map(|c| c.items()).unwrap_or_default();
    let steps: Vec<Option<Step>> = steps.iter().map(Step::decode).collect();
    let ip = fields.get("ip").map_or(Some(IpVersion::Any), |c| IpVersion::decode(&c));
    let written = fields.get("tls");
    let (url, shown) = url?;
    let host = Host::from(url.host()?);
    let tls = if url.scheme() == "wss" {
        let tls = Tls::decode(written.as_ref(), &[HTTP_1_1])?;
        let name = name_for(fields, &host, &tls)?;
        Some((tls, name))
    } else {
        if let Some(written) = written {
            written.mistake("\"tls\" is of no use for ws://; write wss://, or leave it out");
        }
        None
    };
    let address = Address { host, port: url.port_or_known_default()? };
    let opening = Opening::new(&url, headers?, &protocols).map_err(|why| fields.cursor().mistake(why)).ok()?;
    let target = Target { shown, scope: Scope::of_host(&address.host.to_string()) };
    let steps: Option<Vec<Step>> = steps.into_iter().collect();
    Some(WebSocketProbe { target, endpoint: Endpoint::new(address, ip?, tls), opening, steps: steps? })
}

/// Returns the URL, and what may be shown of it: keys and tokens hide in queries, variables anywhere behind the host.
fn decode_url(cursor: &Cursor<'_>) -> Option<(Url, String)> {
    let parsed = cursor.text().and_then(|text| Url::parse(&text).ok());
    let url = parsed.filter(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host());
    let Some(url) = url else {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not a WebSocket URL; write it like wss://example.com/socket"));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        cursor.mistake("credentials do not belong in a URL; write basic: { username: …, password_file: … }");
        return None;
    }
    let mut bare = url.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    let is_secret = cursor.node().substituted.is_some();
    if is_secret {
        bare.set_path("/");
    }
    let more = match (is_secret, url.query()) {
        (true, _) => "…",
        (false, Some(_)) => "?…",
        (false, None) => "",
    };
    Some((url, format!("{bare}{more}")))
}

impl Probe for WebSocketProbe {
    fn target(&self) -> Target {
        self.target.clone()
    }

    fn connects_to(&self) -> Option<&Address> {
        Some(&self.endpoint.address)
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let mut wire = self.endpoint.connect(run).await?;
            self.opening.hold(run, &mut wire).await?;
            let mut messages = Messages::new(wire);
            let mut last = Bytes::new();
            for step in &self.steps {
                if let Some(sent) = step.sent() {
                    messages.send(sent, step.is_text()).await?;
                }
                if let Some(expected) = step.expected() {
                    last = messages.hear(run, Some(expected)).await?;
                }
            }
            if run.needs_body && self.steps.iter().all(|step| step.expected().is_none()) {
                last = messages.hear(run, None).await?;
            }
            messages.close(run).await;
            run.leave();
            Ok(Facts { body: Some(last), ..Facts::default() })
        }
        .boxed()
    }
}
