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
    /// Some lines are wrong, and all others were taken; of one stream it may say how many.
    Partial(Option<Ignored>, String),
    /// Another try cannot help.
    Refused(Loss, String),
}

/// Lines that Loki left out, of those of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ignored {
    pub(super) lines: u64,
    pub(super) of: u64,
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

/// Lines that are too old or not wanted for another reason are answered 400, and the others of their batch are taken.
fn judge(reply: &Reply) -> Answer {
    let said = shown(&String::from_utf8_lossy(&reply.body));
    let why = format!("it answered {}: {said}", reply.status).trim_end_matches(": ").to_owned();
    match reply.status.as_u16() {
        200..=299 => Answer::Taken,
        400 => Answer::Partial(ignored(&reply.body), why),
        401 | 403 => Answer::Refused(Loss::Unauthorized, why),
        413 => Answer::TooLarge(why),
        429 => Answer::Busy(why, reply.wait()),
        408 | 500..=599 => Answer::Away(why, reply.wait()),
        _ => Answer::Refused(Loss::Refused, why),
    }
}

/// Reads the end of what Loki says of lines too far behind (grafana/loki, `pkg/ingester/stream.go`, `errorForFailedEntries`).
/// Of several streams it tells of one alone.
fn ignored(body: &[u8]) -> Option<Ignored> {
    let said = String::from_utf8_lossy(body);
    let (_, counts) = said.rsplit_once("total ignored: ")?;
    let (lines, rest) = counts.split_once(" out of ")?;
    let (of, _) = rest.split_once(" for stream")?;
    Some(Ignored { lines: lines.parse().ok()?, of: of.parse().ok()? }).filter(|told| told.lines <= told.of)
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
        check(400, Answer::Partial(None, why("400 Bad Request")));
        check(404, Answer::Refused(Loss::Refused, why("404 Not Found")));
        check(401, Answer::Refused(Loss::Unauthorized, why("401 Unauthorized")));
    }

    #[test]
    fn how_many_lines_of_a_stream_were_left_out_is_read() {
        let said = |counts: &str| {
            format!(
                "entry with timestamp 2026-01-01 10:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp \
                 is: 2026-01-01T10:00:00Z, oldest acceptable timestamp is: 2026-01-01T11:00:00Z',\nuser 'fake', total \
                 ignored: {counts} for stream: {{level=\"info\"}}"
            )
        };
        for (counts, expected) in
            [("1 out of 3", Some(Ignored { lines: 1, of: 3 })), ("4 out of 3", None), ("all out of 3", None)]
        {
            assert_eq!(ignored(said(counts).as_bytes()), expected);
        }
    }
}
