//! One batch as one request, over HTTP or gRPC, and what the answer means (OTLP 1.9, "OTLP/gRPC" and "OTLP/HTTP").

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Collected, Full, Limited};
use jiff::Timestamp;

use super::otlp::rejected;
use super::settings::{Protocol, TraceSettings};
use crate::config::show_duration;
use crate::http::{Client, Speaks, client_that, retry_after, root_cause};

/// How much of an answer is read, in bytes.
const ANSWER_BYTES: usize = 16 * 1024;
/// How much of its words is shown, in characters.
const SHOWN_CHARS: usize = 200;
/// Longest wait that is taken from an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken, but for so many spans, and why these were not.
    Taken(u64, String),
    /// Another try cannot help.
    Refused(String),
    /// Worth another try, not before this long.
    Away(String, Option<Duration>),
}

/// The way to the collector.
pub(super) struct Transport {
    client: Client<Full<Bytes>>,
    settings: TraceSettings,
}

impl Transport {
    pub(super) fn new(settings: TraceSettings) -> Self {
        let speaks = match settings.protocol {
            Protocol::Http => Speaks::Any,
            Protocol::Grpc => Speaks::Http2,
        };
        Self { client: client_that(speaks, settings.timeout), settings }
    }

    /// Sends `message`; never takes longer than the timeout.
    pub(super) async fn send(&self, message: &[u8]) -> Answer {
        let timeout = self.settings.timeout;
        let Ok(request) = self.request(message) else { return Answer::Refused("it cannot be asked".to_owned()) };
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(cause)) => Answer::Away(cause, None),
            Err(_elapsed) => Answer::Away(format!("no answer within {}", show_duration(timeout)), None),
        }
    }

    fn request(&self, message: &[u8]) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(self.settings.uri.clone());
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.settings.headers.clone());
        }
        let request = request.header(USER_AGENT, concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION")));
        match self.settings.protocol {
            Protocol::Http => {
                request.header(CONTENT_TYPE, "application/x-protobuf").body(Full::new(Bytes::copy_from_slice(message)))
            }
            Protocol::Grpc => {
                request.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers").body(Full::new(framed(message)))
            }
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let response = self.client.request(request).await.map_err(|error| root_cause(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let body = Collected::to_bytes(body);
        Ok(match self.settings.protocol {
            Protocol::Http => judge_http(head.status, &head.headers, &body),
            // An answer without a message has its status in its head.
            Protocol::Grpc if head.headers.contains_key(GRPC_STATUS) => judge_grpc(head.status, &head.headers, &body),
            Protocol::Grpc => judge_grpc(head.status, &trailers, &body),
        })
    }
}

/// As gRPC frames a message that is not compressed ("gRPC over HTTP2", "Length-Prefixed-Message").
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    // No batch is that large.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

fn judge_http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    if status.is_success() {
        let (spans, why) = rejected(body);
        return Answer::Taken(spans, shown(&why));
    }
    let reason = format!("it answered {status}");
    match status.as_u16() {
        429 | 502 | 503 | 504 => Answer::Away(reason, retry_after(headers, Timestamp::now(), LONGEST_WAIT)),
        _ => Answer::Refused(reason),
    }
}

fn judge_grpc(status: StatusCode, trailers: &HeaderMap, body: &[u8]) -> Answer {
    let text = |name| trailers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(code) = text(GRPC_STATUS).and_then(|text| text.parse::<u8>().ok()) else {
        return Answer::Away(format!("it does not speak gRPC (status {status})"), None);
    };
    let reason = format!("it answered with gRPC status {code}: {}", shown(text(GRPC_MESSAGE).unwrap_or_default()));
    let reason = reason.trim_end_matches(": ").to_owned();
    match code {
        0 => {
            let (spans, why) = rejected(body.get(5..).unwrap_or_default());
            Answer::Taken(spans, shown(&why))
        }
        // Cancelled, late, aborted, out of range, unavailable, data loss; or exhausted, if it says for how long.
        1 | 4 | 10 | 11 | 14 | 15 => Answer::Away(reason, None),
        8 if trailers.contains_key(GRPC_DETAILS) => Answer::Away(reason, None),
        _ => Answer::Refused(reason),
    }
}

fn shown(words: &str) -> String {
    let words = crate::secrets::redact(words);
    words.chars().take(SHOWN_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let http = |status, pairs: &[_]| judge_http(StatusCode::from_u16(status).unwrap(), &headers(pairs), b"");
        assert_eq!(http(200, &[]), Answer::Taken(0, String::new()));
        assert!(matches!(http(400, &[]), Answer::Refused(_)) && matches!(http(500, &[]), Answer::Refused(_)));
        let wait = Some(Duration::from_secs(7));
        assert!(matches!(http(429, &[("retry-after", "7")]), Answer::Away(_, found) if found == wait));
        let grpc = |code| judge_grpc(StatusCode::OK, &headers(&[("grpc-status", code), ("grpc-message", "why")]), b"");
        assert_eq!(grpc("0"), Answer::Taken(0, String::new()));
        assert_eq!(grpc("14"), Answer::Away("it answered with gRPC status 14: why".to_owned(), None));
        assert!(matches!(grpc("8"), Answer::Refused(_)) && matches!(grpc("16"), Answer::Refused(_)));
        assert!(matches!(judge_grpc(StatusCode::NOT_FOUND, &headers(&[]), b""), Answer::Away(_, None)));
    }

    #[test]
    fn what_a_collector_did_not_take_of_a_batch_is_read() {
        let partial = b"\x0a\x08\x08\x03\x12\x04full";
        assert_eq!(judge_http(StatusCode::OK, &headers(&[]), partial), Answer::Taken(3, "full".to_owned()));
        let framed = framed(partial);
        assert_eq!(
            judge_grpc(StatusCode::OK, &headers(&[("grpc-status", "0")]), &framed),
            Answer::Taken(3, "full".to_owned())
        );
    }
}
