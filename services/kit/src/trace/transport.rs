//! One batch as one request, over HTTP or gRPC, and what the answer means (OTLP 1.9, "OTLP/gRPC" and "OTLP/HTTP").

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use data_encoding::BASE64_NOPAD;
use http::header::{CONTENT_TYPE, HeaderName, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::otlp::{rejected, retry_delay};
use super::settings::{Protocol, TraceSettings};
use crate::export::{LONGEST_WAIT, Post, Reply, shown};
use crate::http::Speaks;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION")));

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
    post: Post,
    protocol: Protocol,
}

impl Transport {
    pub(super) fn new(settings: TraceSettings) -> Self {
        let TraceSettings { uri, protocol, mut headers, timeout, .. } = settings;
        headers.insert(USER_AGENT, AGENT);
        let (speaks, kind) = match protocol {
            Protocol::Http => (Speaks::Any, "application/x-protobuf"),
            Protocol::Grpc => (Speaks::Http2, "application/grpc"),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if protocol == Protocol::Grpc {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        Self { post: Post::new(speaks, uri, headers, timeout), protocol }
    }

    /// Sends `message`; never takes longer than the timeout.
    pub(super) async fn send(&self, message: &[u8]) -> Answer {
        let body = match self.protocol {
            Protocol::Http => Bytes::copy_from_slice(message),
            Protocol::Grpc => framed(message),
        };
        match (self.post.send(body).await, self.protocol) {
            (Err(why), _) => Answer::Away(why, None),
            (Ok(reply), Protocol::Http) => judge_http(&reply),
            // An answer without a message has its status in its head.
            (Ok(reply), Protocol::Grpc) if reply.headers.contains_key(GRPC_STATUS) => {
                judge_grpc(reply.status, &reply.headers, &reply.body)
            }
            (Ok(reply), Protocol::Grpc) => judge_grpc(reply.status, &reply.trailers, &reply.body),
        }
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

fn judge_http(reply: &Reply) -> Answer {
    if reply.status.is_success() {
        let (spans, why) = rejected(&reply.body);
        return Answer::Taken(spans, shown(&why));
    }
    let reason = format!("it answered {}", reply.status);
    match reply.status.as_u16() {
        429 | 502 | 503 | 504 => Answer::Away(reason, reply.wait()),
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
        1 | 4 | 10 | 11 | 14 | 15 => Answer::Away(reason, wait(trailers)),
        8 => match wait(trailers) {
            Some(wait) => Answer::Away(reason, Some(wait)),
            None => Answer::Refused(reason),
        },
        _ => Answer::Refused(reason),
    }
}

/// Reads how long a collector asks to be left alone. Its details may be padded ("gRPC over HTTP2", "Binary-Header").
fn wait(trailers: &HeaderMap) -> Option<Duration> {
    let details = trailers.get(GRPC_DETAILS)?.to_str().ok()?.trim_end_matches('=');
    retry_delay(&BASE64_NOPAD.decode(details.as_bytes()).ok()?).map(|wait| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quota that was used up, and 1.5 s to wait. Like those below made by Python's googleapis-common-protos.
    const QUOTA_AND_DELAY: &str = "CAgSCXNsb3cgZG93bho4Cit0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUXVvdGFGYWlsdXJlEgk\
        KBwoFc3BhbnMaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuAQ==";
    /// An hour to wait.
    const HOUR: &str = "CAgSCXNsb3cgZG93bhoxCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUmV0cnlJbmZvEgUKAwiQHA==";
    /// A quota that was used up.
    const QUOTA: &str =
        "CAgSCXNsb3cgZG93bho4Cit0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUXVvdGFGYWlsdXJlEgkKBwoFc3BhbnM=";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn reply(status: u16, pairs: &[(&'static str, &'static str)], body: &'static [u8]) -> Reply {
        let (status, body) = (StatusCode::from_u16(status).unwrap(), Bytes::from_static(body));
        Reply { status, headers: headers(pairs), trailers: HeaderMap::new(), body }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let http = |status, pairs: &[_]| judge_http(&reply(status, pairs, b""));
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
    fn a_collector_says_by_grpc_how_long_it_wants_to_be_left_alone() {
        let check = |code, details, expected| {
            let trailers = headers(&[("grpc-status", code), ("grpc-status-details-bin", details)]);
            let found = match judge_grpc(StatusCode::OK, &trailers, b"") {
                Answer::Away(_, wait) => Some(wait),
                _ => None,
            };
            assert_eq!(found, expected, "{code} {details}");
        };
        let told = Some(Some(Duration::from_millis(1500)));
        check("8", QUOTA_AND_DELAY, told);
        check("14", QUOTA_AND_DELAY.trim_end_matches('='), told);
        check("8", HOUR, Some(Some(LONGEST_WAIT)));
        check("8", QUOTA, None);
        check("14", QUOTA, Some(None));
        check("8", "?", None);
    }

    #[test]
    fn what_a_collector_did_not_take_of_a_batch_is_read() {
        let partial = b"\x0a\x08\x08\x03\x12\x04full";
        assert_eq!(judge_http(&reply(200, &[], partial)), Answer::Taken(3, "full".to_owned()));
        let framed = framed(partial);
        assert_eq!(
            judge_grpc(StatusCode::OK, &headers(&[("grpc-status", "0")]), &framed),
            Answer::Taken(3, "full".to_owned())
        );
    }
}
