//! Turns axum's own refusals of a request (its query, path or body) from plain text into our error body.
//!
//! Answers that a handler made, or that a service behind a proxy gave, are not touched: a refusal is known by its words
//! and by having no header but those of its text and of compression.

use std::future::ready;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::once;
use futures_util::{FutureExt, StreamExt};
use http_body_util::BodyExt;

use super::error::ApiError;

/// How the refusals of axum's extractors begin (axum 0.8, `extract::rejection`; `tests/it/rejections.rs` asks for each).
const BEGINNINGS: [&str; 11] = [
    "Failed to deserialize query string",
    "Failed to deserialize form",
    "Form requests must have `Content-Type: application/x-www-form-urlencoded`",
    "Failed to parse the request body as JSON",
    "Failed to deserialize the JSON body",
    "Expected request with `Content-Type: application/json`",
    "Failed to buffer the request body",
    "Request body didn't contain valid UTF-8",
    "Invalid URL",
    "Invalid UTF-8 in",
    "Wrong number of path arguments",
];
/// Longest text of a refusal, in bytes: it may repeat what the client sent, whose URL hyper bounds by 64 KiB.
const MAX_TEXT_BYTES: u64 = 256 * 1024;
/// Longest text that is handed on, in characters.
const MAX_SHOWN_CHARS: usize = 500;

/// Returns `response`, or the same refusal as [`ApiError`]. Never waits: the text of a refusal is there at once.
pub(super) fn in_json(response: Response, path: &str) -> Response {
    let Some(size) = size_of_refusal(&response) else { return response };
    let (head, mut body) = response.into_parts();
    let bytes = match body.frame().now_or_never() {
        Some(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        Some(Some(Err(error))) => {
            return Response::from_parts(head, Body::from_stream(once(ready(Err::<Bytes, _>(error)))));
        }
        Some(None) | None => return Response::from_parts(head, body),
    };
    let text = String::from_utf8_lossy(&bytes);
    let is_refusal = bytes.len() as u64 == size && BEGINNINGS.iter().any(|beginning| text.starts_with(beginning));
    if !is_refusal {
        let whole = once(ready(Ok(bytes))).chain(body.into_data_stream());
        return Response::from_parts(head, Body::from_stream(whole));
    }
    let shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    ApiError::new(head.status, shown).code(code(head.status)).path(path).into_response()
}

fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        _ => "bad_request",
    }
}

/// Returns the size of the text, in bytes, if the head is that of a refusal. A server's own answer has a `Date` too
/// (RFC 9110 section 6.6.1), which ours get later.
fn size_of_refusal(response: &Response) -> Option<u64> {
    let headers = response.headers();
    // Whatever compresses adds `Vary`, also to what it leaves as it is.
    let of_text = |name: &HeaderName| [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::VARY].contains(name);
    let is_one = (response.status().is_client_error() || response.status().is_server_error())
        && headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "text/plain; charset=utf-8")
        && headers.keys().all(of_text);
    response.body().size_hint().exact().filter(|bytes| is_one && *bytes <= MAX_TEXT_BYTES)
}
