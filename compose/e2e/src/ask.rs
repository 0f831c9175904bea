//! Asking over HTTP.

use http::Request;
use http::request::Builder;
use http_body_util::Full;
use serde_json::Value;

use crate::LIMIT;

/// Longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Asks, with a body if it is not null, and returns status and body of the answer; none if there is none.
///
/// # Panics
/// If there cannot be such a request.
pub async fn ask(request: Builder, body: &Value) -> Option<(u16, String)> {
    let request = match body {
        Value::Null => request.body(Full::default()),
        body => request.header("content-type", "application/json").body(Full::from(body.to_string())),
    };
    let (status, body) = kit::http::get(request.expect("a request"), LIMIT, MAX_ANSWER_BYTES).await.ok()?;
    Some((status.as_u16(), String::from_utf8(body.to_vec()).ok()?))
}

/// Returns the body of whatever is answered at a URL; none if there is no answer.
pub async fn get(url: &str) -> Option<String> {
    ask(Request::get(url), &Value::Null).await.map(|(_, body)| body)
}
