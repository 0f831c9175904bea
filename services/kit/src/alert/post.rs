//! One POST of JSON, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::settings::Endpoint;
use crate::config::show_duration;
use crate::http::{Client, Path, retry_after, root_cause, traced};

/// How much of an answer is read, in bytes: enough for the sentence that says what is wrong.
const ANSWER_BYTES: usize = 16 * 1024;
/// How much of it goes into a reason, in characters.
const SHOWN_CHARS: usize = 300;
/// Longest wait that is taken from an answer: after that the other side may have forgotten it, too.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// 2xx: taken.
    Accepted,
    /// 4xx but 408 and 429: another try cannot help.
    Refused(String),
    /// Not there, or too busy for anything: for all requests alike, and not before this long.
    Away(String, Option<Duration>),
    /// It had trouble with this one.
    Failed(String),
}

/// Posts to one endpoint.
pub(super) struct Post {
    pub(super) client: Client<Full<Bytes>>,
    pub(super) endpoint: Endpoint,
    pub(super) timeout: Duration,
    pub(super) user_agent: String,
    /// What an answer might repeat and no reason may show.
    pub(super) secrets: Vec<SecretString>,
}

impl Post {
    /// Posts `body`; never takes longer than the timeout.
    pub(super) async fn json(&self, body: String, idempotency_key: Option<&str>, now: Timestamp) -> Answer {
        let mut request = Request::post(self.endpoint.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, &self.user_agent);
        if let Some(authorization) = &self.endpoint.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let Ok(request) = request.body(Full::from(body)) else {
            return Answer::Refused("the request cannot be written".to_owned());
        };
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(Ok((status, headers, body))) => self.judge(status, &headers, &body, now),
            Ok(Err(cause)) => Answer::Away(cause, None),
            Err(_elapsed) => Answer::Away(format!("no answer within {}", show_duration(self.timeout)), None),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let answered = traced(request, Path::Secret, |request| self.client.request(request)).await;
        let response = answered.map_err(|error| root_cause(&error))?;
        let (head, body) = response.into_parts();
        // What was taken was taken, whatever comes after the status.
        if head.status.is_success() {
            return Ok((head.status, head.headers, Bytes::new()));
        }
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map(http_body_util::Collected::to_bytes);
        Ok((head.status, head.headers, body.unwrap_or_default()))
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Answer {
        if status.is_success() {
            return Answer::Accepted;
        }
        let reason = format!("it answered {status}: {}", self.shown(body));
        let reason = reason.trim_end_matches(": ").to_owned();
        match status.as_u16() {
            // RFC 6585 section 4, RFC 9110 sections 15.6.3 to 15.6.5: too many requests, or nobody behind a proxy.
            429 | 502 | 503 | 504 => Answer::Away(reason, retry_after(headers, now, LONGEST_WAIT)),
            // A rotated token, a route that is missing during a deploy, another server in between: nothing of this speaks
            // of the alert, so it waits as if nobody were there, and the fallback hears of it.
            401 | 403 | 404 | 405 | 421 => Answer::Away(reason, None),
            408 => Answer::Failed(reason),
            400..=499 => Answer::Refused(reason),
            _ => Answer::Failed(reason),
        }
    }

    fn shown(&self, body: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(body).into_owned();
        for secret in self.secrets.iter().map(SecretString::expose_secret).filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "[secret]");
        }
        text.chars().take(SHOWN_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect()
    }
}
