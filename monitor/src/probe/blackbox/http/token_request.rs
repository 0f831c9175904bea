//! Asks a token endpoint (RFC 6749 section 4.4.2), as golang.org/x/oauth2 does.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::proxies::Proxies;
use super::proxy::Proxy;
use super::token_answer::{Answer, Granted};
use super::way::secure;
use crate::probe::blackbox::AGENT;
use crate::probe::blackbox::tls::Secrecy;
use crate::probe::dial::{IpVersion, dial};
use crate::probe::http::{Exchange, Hop, show, within_body};
use crate::probe::observation::{Outcome, Reason, ReasonCode};
use crate::probe::run::Run;
use crate::probe::stream::Stream;

/// Largest answer, in bytes: as much as golang.org/x/oauth2 reads (`doTokenRoundTrip`).
const MAX_ANSWER_BYTES: usize = 1 << 20;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// A token endpoint and who asks it.
pub(super) struct Endpoint {
    /// Without redirects: what is asked here is written in the configuration, and nowhere else.
    by_header: Hop,
    by_body: Hop,
    secrecy: Secrecy,
    proxies: Proxies,
}

/// How an endpoint is told who asks (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Header,
    Body,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.to_string()).finish()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(&self.by_header.url))
    }
}

impl Endpoint {
    /// Prepares both ways to ask; none if one cannot be sent.
    pub(super) fn new(
        url: Url,
        id: &str,
        secret: &SecretString,
        parameters: &BTreeMap<String, String>,
        secrecy: Secrecy,
        proxies: Proxies,
    ) -> Option<Self> {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let form = |parameters: &BTreeMap<String, String>| {
            Bytes::from(Serializer::new(String::new()).extend_pairs(parameters).finish())
        };
        let secret = secret.expose_secret();
        let basic = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
        kit::secrets::know([&*encoded(secret), &*basic]);
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, FORM), (USER_AGENT, HeaderValue::from_static(AGENT))]);
        let hop = |headers: &HeaderMap, body| Hop::new(url.clone(), Method::POST, headers.clone(), body).ok();
        let mut in_body = parameters.clone();
        in_body.insert("client_id".to_owned(), id.to_owned());
        if !secret.is_empty() {
            in_body.insert("client_secret".to_owned(), secret.to_owned());
        }
        let by_body = hop(&headers, form(&in_body))?;
        let mut authorization = HeaderValue::from_str(&format!("Basic {basic}")).ok()?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        let by_header = hop(&headers, form(parameters))?;
        Some(Self { by_header, by_body, secrecy, proxies })
    }

    /// Asks for a token: in the way that is known to work, or first by header, then, if that is refused, by body.
    pub(super) async fn ask(&self, run: &mut Run, known: Option<Style>) -> Result<(Granted, Style), Outcome> {
        let first = known.unwrap_or(Style::Header);
        let answered = self.ask_by(run, first).await?;
        match (answered.read(), known) {
            (Ok(granted), _) => Ok((granted, first)),
            (Err(outcome), Some(_)) => Err(outcome),
            (Err(_), None) => Ok((self.ask_by(run, Style::Body).await?.read()?, Style::Body)),
        }
    }

    async fn connect(&self, run: &mut Run, hop: &Hop, proxy: Option<&Proxy>) -> Result<Stream, Outcome> {
        let stream = match proxy {
            None => Stream::Plain(dial(run, &hop.address, IpVersion::Any).await?),
            Some(proxy) => {
                let stream = dial(run, &proxy.address, IpVersion::Any).await;
                let stream = stream.map_err(|outcome| proxy.say_whose(outcome))?;
                proxy.lead(run, stream, &hop.address, hop.tls.is_some()).await?
            }
        };
        let Some(own) = &hop.tls else { return Ok(stream) };
        let name = self.secrecy.tls.server_name.as_ref().unwrap_or(own);
        secure(run, stream, &self.secrecy.tls.config, name).await
    }

    async fn ask_by(&self, run: &mut Run, style: Style) -> Result<Answer, Outcome> {
        let hop = match style {
            Style::Header => &self.by_header,
            Style::Body => &self.by_body,
        };
        let proxy = self.proxies.of(hop.tls.is_some(), &hop.address, None);
        let stream = self.connect(run, hop, proxy).await?;
        let reader = proxy.filter(|proxy| hop.tls.is_none() && proxy.reads_requests());
        let mut request = hop.request(false, reader.is_some());
        if let Some(proxy) = reader {
            proxy.add_credentials(request.headers_mut());
        }
        let (response, mut exchange) = Exchange::start(run, stream, request, false).await.map_err(unquoted)?;
        let (head, mut body) = response.into_parts();
        let mut read = Vec::new();
        while let Some(frame) = exchange.drive(run, body.frame()).await {
            let frame = frame.map_err(|error| within_body(&error, &exchange.beginning, read.len(), None))?;
            read.extend(frame.into_data().unwrap_or_default());
            if read.len() > MAX_ANSWER_BYTES {
                let text = format!("the answer is larger than {MAX_ANSWER_BYTES} bytes");
                return Err(Outcome::fail(ReasonCode::TooLarge, text));
            }
        }
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        Ok(Answer { status: head.status, kind: kind.to_owned(), body: read })
    }
}

/// Says what broke without the beginning of the answer: a token may stand in it.
fn unquoted(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Fail(Reason { code: code @ ReasonCode::Protocol, .. }) => {
            Outcome::fail(code, "the answer is not HTTP, or its head is too large")
        }
        Outcome::Fail(Reason { code: code @ ReasonCode::Reset, .. }) => {
            Outcome::fail(code, "connection closed before the answer was complete")
        }
        other => other,
    }
}
