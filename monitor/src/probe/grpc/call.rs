//! One call of gRPC over HTTP/2 ("gRPC over HTTP2", the protocol's specification): a message there, one back, and a
//! status behind it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;

use crate::probe::expect::excerpt;
use crate::probe::http::{Exchange, within_body};
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::run::Run;
use crate::probe::stream::Stream;

/// Bytes that are read at most: the answer has two fields.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// The server gives up this long before the deadline, so that it can still say so.
const BEFORE_DEADLINE: Duration = Duration::from_millis(50);

/// Statuses by their numbers (`google.rpc.Code`).
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What came back.
pub(in crate::probe) struct Answer {
    http_status: u16,
    head: HeaderMap,
    trailers: HeaderMap,
    pub(in crate::probe) body: Bytes,
}

/// Calls, and reads the whole answer.
pub(in crate::probe) async fn call(
    run: &mut Run,
    stream: Stream,
    uri: Uri,
    mut headers: HeaderMap,
    message: &[u8],
) -> Result<Answer, Outcome> {
    headers.remove(ACCEPT);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    let left = run.deadline.saturating_duration_since(Instant::now()).saturating_sub(BEFORE_DEADLINE);
    for (name, value) in
        [("grpc-timeout", format!("{}m", left.as_millis().max(1))), ("traceparent", run.traceparent.clone())]
    {
        // Who has no trace sends none.
        if let Ok(value) = HeaderValue::from_str(&value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(message)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    let (response, mut exchange) = Exchange::start(run, stream, request, true).await?;
    run.seen.status = Some(response.status().as_u16());
    run.seen.protocol = Some("gRPC".to_owned());
    let (head, mut body) = response.into_parts();
    let (mut kept, mut trailers) = (BytesMut::new(), HeaderMap::new());
    while let Some(frame) = exchange.drive(run, body.frame()).await {
        let frame = frame.map_err(|error| within_body(&error, &exchange.beginning, kept.len(), None))?;
        match frame.into_data() {
            Ok(data) => kept.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
        if kept.len() > MAX_BODY_BYTES {
            return Err(Outcome::fail(
                ReasonCode::TooLarge,
                format!("the answer is larger than {MAX_BODY_BYTES} bytes"),
            ));
        }
    }
    Ok(Answer { http_status: head.status.as_u16(), head: head.headers, trailers, body: kept.freeze() })
}

impl Answer {
    /// Fails unless the call went well; `meaning` gives words for the statuses that mean something to the caller.
    pub(in crate::probe) fn check(&self, meaning: impl Fn(u16) -> Option<(ReasonCode, String)>) -> Result<(), Outcome> {
        let Some(status) = self.field("grpc-status") else { return Err(self.no_grpc()) };
        let code: u16 = match status.parse() {
            Ok(0) => return Ok(()),
            Ok(code) => code,
            Err(_) => {
                let text = format!("grpc-status {:?} is no number", excerpt(status.as_bytes()));
                return Err(Outcome::fail(ReasonCode::Protocol, text));
            }
        };
        let name = CODES.get(usize::from(code)).map_or_else(|| format!("code {code}"), |name| (*name).to_owned());
        let (reason, words) =
            meaning(code).unwrap_or_else(|| (ReasonCode::Status, format!("the call failed with {name}")));
        let said = self.field("grpc-message").map(|said| excerpt(&decoded(said))).filter(|said| !said.is_empty());
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        Err(Outcome::fail(reason, format!("{words}{said}")))
    }

    /// The status of the call, if there is one.
    pub(in crate::probe) fn code(&self) -> Option<u16> {
        self.field("grpc-status")?.parse().ok()
    }

    /// A status may come with the head, if there is no message.
    fn field(&self, name: &str) -> Option<&str> {
        self.trailers.get(name).or_else(|| self.head.get(name))?.to_str().ok()
    }

    /// What a web server or a proxy answers.
    fn no_grpc(&self) -> Outcome {
        if self.http_status != 200 {
            return Outcome::fail(
                ReasonCode::Status,
                format!("HTTP status {} without a status of gRPC", self.http_status),
            );
        }
        let kind = self.head.get(CONTENT_TYPE).map_or_else(|| "none".to_owned(), |kind| excerpt(kind.as_bytes()));
        Outcome::fail(ReasonCode::Protocol, format!("the answer has no status of gRPC; its content-type is {kind}"))
    }
}

/// Undoes the percent-encoding of `grpc-message`; what is not of it stays.
fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, more)) = rest.split_first() {
        let byte = more.get(..2).filter(|_| *first == b'%').and_then(|hex| {
            let hex = std::str::from_utf8(hex).ok().filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            u8::from_str_radix(hex, 16).ok()
        });
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { more.get(2..).unwrap_or_default() } else { more };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_decoded() {
        assert_eq!(decoded("100%25 gr%C3%BCn%"), "100% grün%".as_bytes());
        assert_eq!(decoded("%+1%zz%4"), b"%+1%zz%4");
    }
}
