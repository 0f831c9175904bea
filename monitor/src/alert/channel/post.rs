//! Posting to an HTTP API, and what its answer means for a message. Shared by every channel that speaks HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use kit::config::Fields;
use kit::http::{Client, Path, retry_after, root_cause, traced};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::{Accepted, SendError, tls};

/// How long a name and a connection may take; the whole delivery has the outbox's deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most of an answer that is read, in bytes: enough for any API's error message.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Most of an answer that is kept, in characters.
const MAX_ANSWER_CHARS: usize = 200;
/// Longest `Retry-After` that is believed: a page must not wait a day because a proxy said so.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// How long the text of an answer may take once its status is there, which alone decides.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// What stands for a secret in an answer that repeats it.
const HIDDEN: &str = "…";

/// Parts of addresses and headers that are shorter than this, in bytes, are words and no secrets.
const MIN_SECRET_BYTES: usize = 8;

/// How one channel speaks HTTP.
#[derive(Clone)]
pub(super) struct Poster {
    tls: ClientConfig,
    secrets: Vec<SecretString>,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Poster")
    }
}

/// The connections of one delivery. They are new, so that none that died unseen is used again (an HTTP/2 connection
/// would be, try after try), and end with it, so that a dropped delivery leaves nothing open.
pub(super) struct Session<'a> {
    client: Client<Full<Bytes>>,
    secrets: &'a [SecretString],
}

/// An answer that was read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// At most [`MAX_ANSWER_BYTES`]; not yet cut for people.
    pub(super) body: String,
}

impl Poster {
    /// Reads what every channel over HTTP may say: `ca_file`.
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Self> {
        Some(Self { tls: tls::decode(fields)?, secrets: Vec::new() })
    }

    /// Makes answers that repeat `secret` (a server's 404 shows the path it was asked for) harmless to keep.
    #[must_use]
    pub(super) fn hiding(mut self, secret: &str) -> Self {
        if !secret.is_empty() {
            self.secrets.push(secret.into());
        }
        self
    }

    /// As [`Poster::hiding`] for a hook's URL: each part of its path and query that is long enough to be secret.
    #[must_use]
    pub(super) fn hiding_url(self, url: &Url) -> Self {
        let path = url.path_segments().into_iter().flatten().map(str::to_owned);
        let query = url.query_pairs().map(|(_, value)| value.into_owned());
        let long = path.chain(query).filter(|part| part.len() >= MIN_SECRET_BYTES);
        long.fold(self, |poster, part| poster.hiding(&part))
    }

    /// As [`Poster::hiding`] for headers that may carry a secret.
    #[must_use]
    pub(super) fn hiding_headers(self, headers: &[(HeaderName, HeaderValue)]) -> Self {
        let texts = headers.iter().filter_map(|(_, value)| value.to_str().ok());
        let last_words = texts.filter_map(|text| text.rsplit(' ').next()).filter(|word| word.len() >= MIN_SECRET_BYTES);
        last_words.fold(self, Self::hiding)
    }

    /// Begins a delivery.
    pub(super) fn session(&self) -> Session<'_> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        Session { client: legacy::Client::builder(TokioExecutor::new()).build(connector), secrets: &self.secrets }
    }

    /// Sends one request and judges the answer by its status alone.
    ///
    /// # Errors
    /// As [`judge`], and [`SendError::Failed`] when there is no answer.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Accepted, SendError> {
        judge(&self.session().ask(request).await?)
    }
}

impl Session<'_> {
    /// Sends a request and returns the answer, whatever its status.
    ///
    /// # Errors
    /// [`SendError::Failed`] when there is no whole answer. The text never shows the request, whose address or headers
    /// may be secret.
    pub(super) async fn ask(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, SendError> {
        let agent = HeaderValue::from_static(concat!("monitor/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().entry(header::USER_AGENT).or_insert(agent);
        let answered = traced(request, Path::Secret, |request| self.client.request(request)).await;
        let response = answered.map_err(|error| SendError::Failed(root_cause(&error)))?;
        let (parts, body) = response.into_parts();
        // An answer that breaks off or never ends changes nothing any more: it was accepted, or refused.
        let body = tokio::time::timeout(ANSWER_WAIT, Limited::new(body, MAX_ANSWER_BYTES).collect()).await;
        let mut body = match body {
            Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            Ok(Err(_)) | Err(_) => String::new(),
        };
        for secret in self.secrets {
            body = body.replace(secret.expose_secret(), HIDDEN);
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// Builds a POST of JSON.
///
/// # Errors
/// [`SendError::Refused`] when a header's value cannot be sent, which is never shown.
pub(super) fn json(
    url: &Url,
    body: &Value,
    headers: &[(HeaderName, HeaderValue)],
) -> Result<Request<Full<Bytes>>, SendError> {
    let mut request = Request::post(url.as_str()).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::from(body.to_string()));
    request.map_err(|error| SendError::Refused(format!("cannot build the request: {error}")))
}

/// Marks a request with its idempotency key (draft-ietf-httpapi-idempotency-key-header-07, section 2). Keys are made of what
/// a header may hold.
pub(super) fn keyed(mut request: Request<Full<Bytes>>, key: &str) -> Request<Full<Bytes>> {
    if let Ok(key) = HeaderValue::from_str(key) {
        request.headers_mut().insert(HeaderName::from_static("idempotency-key"), key);
    }
    request
}

/// Sets a field of an object.
pub(super) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
}

/// Decides what an answer means: 2xx is accepted; 408, 425, 429 and 5xx are worth another try (RFC 9110 section 15,
/// RFC 6585 section 4, RFC 8470 section 5.2); anything else is refused.
///
/// # Errors
/// All but 2xx.
pub(super) fn judge(answer: &Answer) -> Result<Accepted, SendError> {
    let status = answer.status;
    let said = shorten(&answer.body);
    let line = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    if status.is_success() {
        return Ok(Accepted { answer: line, partly: None });
    }
    if !(status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)) {
        return Err(SendError::Refused(line));
    }
    match retry_after(&answer.headers, Timestamp::now(), MAX_RETRY_AFTER) {
        Some(after) => Err(SendError::Busy { after, why: line }),
        None => Err(SendError::Failed(line)),
    }
}

/// One short line of an answer, without line breaks or control characters.
pub(super) fn shorten(text: &str) -> String {
    let mut line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ANSWER_CHARS).collect();
    if text.trim().chars().count() > MAX_ANSWER_CHARS {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &str)], body: &str) -> Result<Accepted, SendError> {
        let status = StatusCode::from_u16(status).unwrap();
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        judge(&Answer { status, headers, body: body.to_owned() })
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert_eq!(judged(202, &[], " ok\n").unwrap().answer, "202 Accepted: ok");
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(judged(status, &[], ""), Err(SendError::Failed(_))), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 410, 413, 422] {
            assert!(matches!(judged(status, &[], ""), Err(SendError::Refused(_))), "{status}");
        }
        let said = judged(400, &[], "bad\nrequest").unwrap_err().to_string();
        assert_eq!(said, "400 Bad Request: bad request");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_more_than_a_quarter_of_an_hour() {
        let busy = judged(429, &[("retry-after", "7")], "slow down").unwrap_err();
        assert_eq!(
            busy,
            SendError::Busy { after: Duration::from_secs(7), why: "429 Too Many Requests: slow down".to_owned() }
        );
        let after = |text: &str| match judged(503, &[("retry-after", text)], "").unwrap_err() {
            SendError::Busy { after, .. } => Some(after.as_secs()),
            _ => None,
        };
        assert_eq!(after("Tue, 24 Nov 2020 11:00:00 GMT"), Some(0));
        assert_eq!(after("Tue, 24 Nov 2093 12:00:30 GMT"), Some(900));
        assert_eq!(after("86400"), Some(900));
        assert_eq!(after("soon"), None);
    }
}
