//! `webhook`: posts JSON to a URL, signed if there is a secret. The body is our own, Alertmanager's version 4, or a template.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use jiff::Timestamp;
use kit::config::{Cursor, Fields};
use kit::hmac::SigningKey;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::post::Poster;
use super::template::Template;
use super::{Accepted, Channel, ChannelKind, EvidenceLevel, SendError, alertmanager_v4, settings};
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
        let fields = cursor.fields()?;
        let url = settings::url(&fields, "url", "url_file");
        let secret = fields.secret("secret", "secret_file");
        let headers = headers(&fields);
        let is_put = fields.get("method").and_then(|c| c.one_of(&[("POST", false), ("PUT", true)]));
        let body = body(&fields);
        let content_type = fields.get("content_type").and_then(|c| header_value(&c));
        fields.end();
        Some(Arc::new(WebhookChannel {
            url: url?,
            method: if is_put == Some(true) { Method::PUT } else { Method::POST },
            headers: headers?,
            content_type: content_type.unwrap_or(HeaderValue::from_static("application/json")),
            body: body?,
            key: secret.map(|secret| SigningKey::new(&signing_secret(&secret))),
            poster: Poster::new(),
        }))
    }

    fn evidence(&self) -> EvidenceLevel {
        EvidenceLevel::Full
    }
}

/// What the body is.
enum Body {
    /// [`Message`] as it stands.
    Own,
    /// Alertmanager's webhook payload, version 4.
    AlertmanagerV4,
    /// A person's template.
    Template(Template),
}

/// A configured webhook. Its URL and headers may be secret.
struct WebhookChannel {
    url: Url,
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
    content_type: HeaderValue,
    body: Body,
    key: Option<SigningKey>,
    poster: Poster,
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
        let refused = |error: &dyn fmt::Display| SendError::Refused(format!("cannot build the request: {error}"));
        let body = match &self.body {
            Body::Own => serde_json::to_string(message).map_err(|error| refused(&error))?,
            Body::AlertmanagerV4 => alertmanager_v4::payload(message).to_string(),
            Body::Template(template) => template.render(message).map_err(|error| refused(&error))?,
        };
        if body.len() > MAX_BODY_BYTES {
            return Err(SendError::Refused(format!("the body has {} bytes, more than {MAX_BODY_BYTES}", body.len())));
        }
        let mut request = Request::builder().method(self.method.clone()).uri(self.url.as_str());
        request = request.header(header::CONTENT_TYPE, &self.content_type).header(IDEMPOTENCY_KEY, &message.key);
        if let Some(key) = &self.key {
            for (name, value) in signature(key, &message.key, now, &body) {
                request = request.header(name, value);
            }
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::from(body)).map_err(|error| refused(&error))
    }
}

/// Idempotency key of a request (draft-ietf-httpapi-idempotency-key-header-07, section 2).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Signs `id.timestamp.body` as Standard Webhooks 1.0.0 says ("Signature scheme"), so that its libraries verify it.
fn signature(key: &SigningKey, id: &str, now: Timestamp, body: &str) -> [(&'static str, String); 3] {
    let timestamp = now.as_second().to_string();
    let parts = [id, ".", &timestamp, ".", body].map(str::as_bytes);
    let signature = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, key.sign(&parts));
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.clone()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
}

/// A secret that begins with `whsec_` is base64 behind that (Standard Webhooks 1.0.0), any other is taken as it stands.
fn signing_secret(secret: &SecretString) -> Vec<u8> {
    let text = secret.expose_secret();
    let decoded =
        text.strip_prefix("whsec_").map(|rest| base64::Engine::decode(&base64::prelude::BASE64_STANDARD, rest));
    decoded.and_then(Result::ok).unwrap_or_else(|| text.as_bytes().to_vec())
}

fn headers(fields: &Fields<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut headers = Vec::new();
    let mut all_well = true;
    for (name, cursor) in fields.get("headers").and_then(|c| c.entries()).unwrap_or_default() {
        match (name.parse::<HeaderName>(), header_value(&cursor)) {
            (Ok(name), Some(value)) => headers.push((name, value)),
            (Ok(_), None) => all_well = false,
            (Err(_), _) => {
                all_well = false;
                cursor.mistake(format!("{name:?} is not a header name"));
            }
        }
    }
    if let Some(token) = fields.secret("bearer_token", "bearer_token_file") {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok();
        match &mut value {
            Some(value) => value.set_sensitive(true),
            None => fields.cursor().mistake("the bearer token has characters that a header cannot carry"),
        }
        headers.push((header::AUTHORIZATION, value?));
    }
    all_well.then_some(headers)
}

fn header_value(cursor: &Cursor<'_>) -> Option<HeaderValue> {
    let text = cursor.text()?;
    let value = HeaderValue::from_str(&text).ok();
    if value.is_none() {
        cursor.mistake(format!("{} cannot stand in a header", cursor.node().shown()));
    }
    value
}

fn body(fields: &Fields<'_>) -> Option<Body> {
    let template = fields.get("template");
    let format = fields.get("format");
    if let (Some(_), Some(format)) = (&template, &format) {
        format.mistake("both \"format\" and \"template\" are set; keep one");
    }
    match (template, format) {
        (Some(template), _) => Template::decode(&template).map(Body::Template),
        (None, Some(format)) => {
            let is_own = format.one_of(&[("monitor", true), ("alertmanager_v4", false)])?;
            Some(if is_own { Body::Own } else { Body::AlertmanagerV4 })
        }
        (None, None) => Some(Body::Own),
    }
}
