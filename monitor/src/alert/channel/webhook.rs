//! `webhook`: posts JSON to a URL, signed if there is a secret. The body is our own, Alertmanager's version 4, a template,
//! or a preset's.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use jiff::Timestamp;
use kit::config::Cursor;
use kit::hmac::SigningKey;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::post::{Poster, keyed};
use super::settings::{self, Header};
use super::template::{Parameters, Template};
use super::webhook_settings as decode;
use super::{Accepted, Channel, ChannelKind, EvidenceLevel, SendError, alertmanager_v4};
use crate::alert::message::Message;

/// Longest body that is sent, in bytes: what most receivers still take.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The kind.
pub(super) struct Webhook;

impl ChannelKind for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        Some(Arc::new(decode::webhook(cursor)?))
    }

    fn evidence(&self) -> EvidenceLevel {
        EvidenceLevel::Full
    }
}

/// What the body is.
pub(super) enum Body {
    /// [`Message`] as it stands.
    Own,
    /// Alertmanager's webhook payload, version 4.
    AlertmanagerV4,
    /// A person's template, or a preset's.
    Template(Box<Template>),
}

/// A configured webhook. Its URL and headers may be secret.
pub(super) struct WebhookChannel {
    pub(super) url: Url,
    /// What a preset appends to the URL.
    pub(super) path: Option<Template>,
    pub(super) method: Method,
    pub(super) headers: Vec<Header>,
    /// Headers that a preset makes of the parameters.
    pub(super) templated: Vec<(HeaderName, Template)>,
    pub(super) content_type: HeaderValue,
    pub(super) body: Body,
    pub(super) parameters: Parameters,
    pub(super) key: Option<SigningKey>,
    pub(super) poster: Poster,
}

impl fmt::Debug for WebhookChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "webhook to {}", self.target())
    }
}

impl Channel for WebhookChannel {
    fn target(&self) -> String {
        settings::shown(&self.url)
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move { self.poster.send(self.request(message, Timestamp::now())?).await })
    }
}

impl WebhookChannel {
    fn request(&self, message: &Message, now: Timestamp) -> Result<Request<Full<Bytes>>, SendError> {
        let render = |template: &Template| template.render(message, &self.parameters).map_err(|error| refused(&error));
        let body = self.body(message)?;
        let url = match &self.path {
            Some(path) => settings::join(&self.url, &render(path)?),
            None => self.url.clone(),
        };
        let mut request = Request::builder().method(self.method.clone()).uri(url.as_str());
        request = request.header(header::CONTENT_TYPE, &self.content_type);
        if let Some(key) = &self.key {
            for (name, value) in signature(key, &message.key, now, &body) {
                request = request.header(name, value);
            }
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, template) in &self.templated {
            request = request.header(name, render(template)?);
        }
        let request = request.body(Full::from(body)).map_err(|error| refused(&error))?;
        Ok(keyed(request, &message.key))
    }

    /// Returns the body. Where a message is larger than its receiver can be expected to take, the evidence goes first, then
    /// the descriptions, then the alerts that are last.
    ///
    /// # Errors
    /// [`SendError::Refused`] when it cannot be written, or one alert alone is too large.
    fn body(&self, message: &Message) -> Result<String, SendError> {
        let mut shed = std::borrow::Cow::Borrowed(message);
        loop {
            let body = self.write(&shed)?;
            if body.len() <= MAX_BODY_BYTES {
                return Ok(body);
            }
            if !shed.to_mut().shed() {
                let (bytes, most) = (body.len(), MAX_BODY_BYTES);
                return Err(SendError::Refused(format!("the body has {bytes} bytes, more than {most}")));
            }
        }
    }

    fn write(&self, message: &Message) -> Result<String, SendError> {
        match &self.body {
            Body::Own => serde_json::to_string(message).map_err(|error| refused(&error)),
            Body::AlertmanagerV4 => Ok(alertmanager_v4::payload(message).to_string()),
            Body::Template(template) => template.render(message, &self.parameters).map_err(|error| refused(&error)),
        }
    }
}

fn refused(error: &dyn fmt::Display) -> SendError {
    SendError::Refused(format!("cannot build the request: {error}"))
}

/// Signs `id.timestamp.body` as Standard Webhooks 1.0.0 says ("Signature scheme"), so that its libraries verify it.
fn signature(key: &SigningKey, id: &str, now: Timestamp, body: &str) -> [(&'static str, String); 3] {
    let timestamp = now.as_second().to_string();
    let parts = [id, ".", &timestamp, ".", body].map(str::as_bytes);
    let signature = STANDARD.encode(key.sign(&parts));
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.clone()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
}

/// A secret that begins with `whsec_` is base64 behind that (Standard Webhooks 1.0.0), any other is taken as it stands.
pub(super) fn signing_secret(secret: &SecretString) -> Vec<u8> {
    let text = secret.expose_secret();
    let decoded = text.strip_prefix("whsec_").map(|rest| STANDARD.decode(rest));
    decoded.and_then(Result::ok).unwrap_or_else(|| text.as_bytes().to_vec())
}
