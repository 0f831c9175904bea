//! Asking over HTTP: the daemon, and the process that runs BullMQ.

use std::time::Duration;

use http::request::Builder;
use http_body_util::Full;
use serde_json::Value;

/// Longest wait for an answer: ten times what the slowest takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);
/// Longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Asks, with a body if it is not null, and returns status and body of the answer; none if there is none.
pub(crate) async fn ask(request: Builder, body: &Value) -> Option<(u16, String)> {
    match body {
        Value::Null => ask_with(request, String::new()).await,
        body => ask_with(request.header("content-type", "application/json"), body.to_string()).await,
    }
}

/// Asks, with this text as a body.
pub(crate) async fn ask_with(request: Builder, body: String) -> Option<(u16, String)> {
    kit::tls::install();
    let request = request.body(Full::from(body));
    let (status, body) = kit::http::get(request.unwrap(), LIMIT, MAX_ANSWER_BYTES).await.ok()?;
    Some((status.as_u16(), String::from_utf8(body.to_vec()).unwrap()))
}
