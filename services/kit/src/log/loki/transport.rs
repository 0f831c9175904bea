//! One batch as one request, and what Loki's answer means ("Loki HTTP API", "Ingest logs").

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Uri};

use super::figures::Loss;
use crate::export::{Post, Reply, shown};
use crate::http::Speaks;

/// Longest time of one request, as Promtail and Alloy have it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of it was taken.
    Taken,
    /// Nobody takes anything now: worth another try, not before this long.
    Away(String, Option<Duration>),
    /// As [`Self::Away`], and it is the number of lines or bytes: of what is more than Loki's burst (`ingestion_burst_size_mb`,
    /// `per_stream_rate_limit_burst`) no try would ever be taken.
    Busy(String, Option<Duration>),
    /// Less might be taken.
    TooLarge(String),
    /// Another try cannot help.
    Refused(Loss, String),
}

/// The way to Loki.
pub(super) struct Transport(Post);

impl Transport {
    pub(super) fn new(uri: Uri, mut headers: HeaderMap) -> Self {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("monitor-logs/", env!("CARGO_PKG_VERSION"))));
        Self(Post::new(Speaks::Any, uri, headers, TIMEOUT))
    }

    pub(super) async fn send(&self, body: Bytes) -> Answer {
        match self.0.send(body).await {
            Ok(reply) => judge(&reply),
            Err(why) => Answer::Away(why, None),
        }
    }
}

/// Lines that are too old or not wanted for another reason are answered 400, and the others of their batch are taken: all of
/// them count as refused.
fn judge(reply: &Reply) -> Answer {
    let said = shown(&String::from_utf8_lossy(&reply.body));
    let why = format!("it answered {}: {said}", reply.status).trim_end_matches(": ").to_owned();
    match reply.status.as_u16() {
        200..=299 => Answer::Taken,
        401 | 403 => Answer::Refused(Loss::Unauthorized, why),
        413 => Answer::TooLarge(why),
        429 => Answer::Busy(why, reply.wait()),
        408 | 500..=599 => Answer::Away(why, reply.wait()),
        _ => Answer::Refused(Loss::Refused, why),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let check = |status, expected| {
            let (status, body) = (StatusCode::from_u16(status).unwrap(), Bytes::from_static(b"why\n"));
            let headers = [(http::header::RETRY_AFTER, HeaderValue::from_static("7"))].into_iter().collect();
            assert_eq!(judge(&Reply { status, headers, trailers: HeaderMap::new(), body }), expected);
        };
        let why = |status: &str| format!("it answered {status}: why ");
        let wait = Some(Duration::from_secs(7));
        check(204, Answer::Taken);
        check(200, Answer::Taken);
        check(429, Answer::Busy(why("429 Too Many Requests"), wait));
        check(408, Answer::Away(why("408 Request Timeout"), wait));
        check(500, Answer::Away(why("500 Internal Server Error"), wait));
        check(413, Answer::TooLarge(why("413 Payload Too Large")));
        check(400, Answer::Refused(Loss::Refused, why("400 Bad Request")));
        check(404, Answer::Refused(Loss::Refused, why("404 Not Found")));
        check(401, Answer::Refused(Loss::Unauthorized, why("401 Unauthorized")));
    }
}
