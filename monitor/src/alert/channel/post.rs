//! Posting to an HTTP API, and what its answer means for a message. Shared by every channel that speaks HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kit::http::{Client, client, root_cause};

use super::{Accepted, SendError};

/// How long a name and a connection may take; the whole delivery has the outbox's deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most of an answer that is read, in bytes: enough for any API's error message.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Most of an answer that is kept, in characters.
const MAX_ANSWER_CHARS: usize = 200;
/// Longest `Retry-After` that is believed: a page must not wait a day because a proxy said so.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// A client for one channel: its connections are nobody else's, so a stalled receiver holds up only itself.
#[derive(Clone)]
pub(super) struct Poster {
    client: Client<Full<Bytes>>,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Poster")
    }
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
    pub(super) fn new() -> Self {
        Self { client: client(CONNECT_TIMEOUT) }
    }

    /// Sends a request and judges the answer by its status alone.
    ///
    /// # Errors
    /// As [`judge`], and [`SendError::Failed`] when there is no answer.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Accepted, SendError> {
        judge(&self.ask(request).await?)
    }

    /// Sends a request and returns the answer, whatever its status.
    ///
    /// # Errors
    /// [`SendError::Failed`] when there is no whole answer. The text never shows the request, whose address or headers
    /// may be secret.
    pub(super) async fn ask(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, SendError> {
        let agent = http::HeaderValue::from_static(concat!("monitor/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().entry(header::USER_AGENT).or_insert(agent);
        let response = self.client.request(request).await.map_err(|error| SendError::Failed(root_cause(&error)))?;
        let (parts, body) = response.into_parts();
        // Once the status is there, an answer that breaks off changes nothing: it was accepted, or refused.
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
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
    match retry_after(&answer.headers, Timestamp::now()) {
        Some(after) => Err(SendError::Busy { after, why: line }),
        None => Err(SendError::Failed(line)),
    }
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110 section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_not_a_number) => {
            let until = rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
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
        let headers = |text: &str| [(header::RETRY_AFTER, text.parse().unwrap())].into_iter().collect::<HeaderMap>();
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let secs = |text: &str| retry_after(&headers(text), now).map(|wait| wait.as_secs());
        assert_eq!(secs("Tue, 24 Nov 2026 12:00:30 GMT"), Some(30));
        assert_eq!(secs("Tue, 24 Nov 2026 11:00:00 GMT"), Some(0));
        assert_eq!(secs("86400"), Some(900));
        assert_eq!(secs("soon"), None);
    }
}
