//! Prober `websocket`: the opening handshake, and a dialog message by message, all within the timeout.

use std::net::SocketAddr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use kit::config::{Cursor, Fields};
use url::Url;

use super::file::{header_lists, preference, unsupported};
use super::http::credentials;
use super::targets::Place;
use super::tls::{Secrecy, Told};
use super::visit::{Preference, Stop, Visit};
use super::{Prober, gauges, re2};
use crate::probe::address::Host;
use crate::probe::handshake::shake_hands;
use crate::probe::observation::{Phase, ReasonCode};
use crate::probe::stream::Stream;
use crate::probe::talk::Expected;
use crate::probe::tls_options::HTTP_1_1;
use crate::probe::websocket::{Messages, Opening};
use crate::probe::wire::Wire;

/// What each step is called.
const PHASES: [(Phase, &str); 4] = [
    (Phase::Dns, "resolve"),
    (Phase::Connect, "connect"),
    (Phase::FirstByte, "processing"),
    (Phase::Transfer, "transfer"),
];

/// A configured module.
#[derive(Debug)]
struct WebSocketProber {
    preference: Preference,
    headers: HeaderMap,
    secrecy: Secrecy,
    turns: Vec<(Option<Expected>, String)>,
}

pub(super) fn decode(fields: &Fields<'_>) -> Option<Box<dyn Prober>> {
    let preference = preference(fields);
    let (secrecy, authorization) = match fields.get("http_config") {
        None => (Secrecy::decode(None, &[HTTP_1_1]), Some(None)),
        Some(cursor) => decode_client(&cursor).unwrap_or_default(),
    };
    let headers = header_lists(fields, "headers");
    let items = fields.get("query_response").map(|c| c.items()).unwrap_or_default();
    let turns: Vec<Option<(Option<Expected>, String)>> = items.iter().map(decode_turn).collect();
    let mut headers = headers?;
    if let Some(authorization) = authorization? {
        headers.insert(AUTHORIZATION, authorization);
    }
    Some(Box::new(WebSocketProber {
        preference: preference?,
        headers,
        secrecy: secrecy?,
        turns: turns.into_iter().collect::<Option<_>>()?,
    }))
}

/// The outer none is a mistake in what is common to both.
fn decode_client(cursor: &Cursor<'_>) -> Option<(Option<Secrecy>, Option<Option<HeaderValue>>)> {
    let fields = cursor.fields()?;
    let is_supported = unsupported(
        &fields,
        &[
            ("oauth2", "fetch a token and write authorization: { credentials_file: … }"),
            ("proxy_url", "leave it out: WebSockets are asked directly"),
            ("proxy_from_environment", "leave it out: WebSockets are asked directly"),
            ("proxy_connect_header", "leave it out: WebSockets are asked directly"),
        ],
    );
    let (secrecy, authorization) = (Secrecy::decode(fields.get("tls_config"), &[HTTP_1_1]), credentials(&fields));
    // Means nothing here: there is one answer, and HTTP/1.1.
    let _no_meaning = (fields.get("follow_redirects"), fields.get("enable_http2"), fields.get("no_proxy"));
    fields.end();
    is_supported.then_some((secrecy, authorization))
}

fn decode_turn(cursor: &Cursor<'_>) -> Option<(Option<Expected>, String)> {
    let fields = cursor.fields()?;
    let expect = match fields.get("expect") {
        Some(cursor) => re2::decode(&cursor).map(|regex| Some(Expected::Matches(regex))),
        None => Some(None),
    };
    let send = fields.get("send").map_or(Some(String::new()), |c| c.text());
    fields.end();
    Some((expect?, send?))
}

impl Prober for WebSocketProber {
    fn ask<'a>(&'a self, visit: &'a mut Visit) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            visit.gauges.set(gauges::WS_STATUS, 0.0);
            visit.gauges.flag(gauges::WS_UPGRADED, false);
            visit.gauges.flag(gauges::WS_FAILED_REGEX, false);
            let wrong =
                |why: &str| Stop::failed(ReasonCode::Protocol, format!("the target is no WebSocket URL: {why}"));
            let url = Url::parse(&visit.wish.target).map_err(|error| wrong(&error.to_string()))?;
            let is_tls = match url.scheme() {
                "ws" => false,
                "wss" => true,
                _ => return Err(wrong("write ws:// or wss://")),
            };
            let host = url.host().map(Host::from).ok_or_else(|| wrong("it has no host"))?;
            let port = url.port_or_known_default().ok_or_else(|| wrong("it has no port"))?;
            let opening = Opening::new(&url, self.headers.clone(), &[]).map_err(|why| wrong(&why))?;
            let address = visit
                .choose_first(Place { scheme: url.scheme(), host: &host, port: Some(port) }, self.preference)
                .await?;
            let stream = visit.connect(SocketAddr::new(address, port), None).await?;
            let stream = if is_tls { self.secure(visit, stream, &host).await? } else { Stream::Plain(stream) };
            let mut wire = Wire::new(&mut visit.run, stream);
            let opened = opening.hold(&mut visit.run, &mut wire).await;
            visit.gauges.set(gauges::WS_STATUS, f64::from(visit.run.seen.status.unwrap_or(0)));
            opened?;
            visit.gauges.flag(gauges::WS_UPGRADED, true);
            self.talk(visit, Messages::new(wire)).await
        }
        .boxed()
    }

    fn conclude(&self, visit: &mut Visit) {
        visit.tell_phases(gauges::WS_DURATION, &PHASES);
    }
}

impl WebSocketProber {
    async fn secure(&self, visit: &mut Visit, stream: tokio::net::TcpStream, host: &Host) -> Result<Stream, Stop> {
        let name = self.secrecy.name(visit.wish.hostname.as_deref(), host)?;
        let secured = shake_hands(&mut visit.run, stream, &self.secrecy.tls.config, &name).await;
        self.secrecy.tell(visit, Told::Whole);
        Ok(Stream::Tls(secured?.stream))
    }

    async fn talk(&self, visit: &mut Visit, mut messages: Messages) -> Result<(), Stop> {
        for (expect, send) in &self.turns {
            let mut send = send.clone().into_bytes();
            if let Some(expect) = expect {
                let heard = messages.hear(&mut visit.run, Some(expect)).await;
                visit.gauges.flag(gauges::WS_FAILED_REGEX, heard.is_err());
                let heard = heard?;
                if let Expected::Matches(regex) = expect
                    && let Some(captures) = regex.captures(&heard)
                {
                    let mut expanded = Vec::new();
                    captures.expand(&send, &mut expanded);
                    send = expanded;
                }
            }
            if !send.is_empty() {
                messages.send(&send, true).await?;
            }
        }
        messages.close(&mut visit.run).await;
        visit.run.leave();
        Ok(())
    }
}
