//! The health of all services in one answer: `GET /api/health` and `GET /health`, always 200.
//!
//! Services are asked at once, each within its own deadline. Callers that come while an answer is being made wait for
//! that answer, and an answer is used again for at most [`REUSE`]: however many ask, each service is asked at most once
//! a second. The timestamp is that of the asking.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::body::Bytes;
use jiff::Timestamp;
use kit::http::PROBE_HEADER;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::app::{SERVICE, VERSION};
use crate::settings::Settings;
use crate::upstream::Upstream;
use crate::ws::Hub;

/// Longest age of an answer that is given again. Short enough for a person who waits for a change, long enough for a
/// burst of scripts.
const REUSE: Duration = Duration::from_secs(1);
/// Largest health answer of a service that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// What a service may call itself while it serves. `degraded` is its own word for "with less than usual".
const SERVING: [&str; 4] = ["healthy", "ok", "ready", "degraded"];
/// The routes `/api/health` and `/health`.
pub(crate) fn routes(platform: Arc<Platform>) -> Router {
    Router::new().route("/api/health", get(answer)).route("/health", get(answer)).with_state(platform)
}

/// The services behind the gateway and what was last heard of them.
pub(crate) struct Platform {
    upstreams: Vec<Upstream>,
    timeout: Duration,
    hub: Arc<Hub>,
    /// When the last answer was made, and its JSON.
    last: Mutex<Option<(Instant, Bytes)>>,
}

async fn answer(State(platform): State<Arc<Platform>>) -> impl IntoResponse {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ([kind, no_store], platform.health().await)
}

impl Platform {
    pub(crate) fn new(settings: &Settings, hub: Arc<Hub>) -> Self {
        let (upstreams, timeout) = (settings.upstreams(), settings.health_check_timeout);
        Self { upstreams, timeout, hub, last: Mutex::default() }
    }

    /// Returns the newest answer.
    ///
    /// # Cancel safety
    /// A caller that leaves while it asks for all takes its questions with it; the next in line asks anew.
    pub(crate) async fn health(&self) -> Bytes {
        let mut last = self.last.lock().await;
        if let Some((made, body)) = last.as_ref()
            && made.elapsed() < REUSE
        {
            return body.clone();
        }
        let body = Bytes::from(self.ask_all().await.to_string());
        *last = Some((Instant::now(), body.clone()));
        body
    }

    async fn ask_all(&self) -> Value {
        let timestamp = Timestamp::now().to_string();
        let services = join_all(self.upstreams.iter().map(|upstream| ask(upstream, self.timeout))).await;
        let all_healthy = services.iter().all(|service| service.status == "healthy");
        json!({
            "status": if all_healthy { "healthy" } else { "degraded" },
            "gateway": "healthy",
            "service": SERVICE,
            "version": VERSION,
            "services": services,
            "websocket_stats": self.hub.stats(),
            "timestamp": timestamp,
        })
    }
}

/// What is known of one service, under the names that clients read.
#[derive(Serialize)]
struct ServiceHealth<'a> {
    name: &'static str,
    status: &'static str,
    url: &'a str,
    /// Milliseconds up to the end of the answer or to its failure; always there, since clients format it.
    response_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Asks one service.
async fn ask(upstream: &Upstream, timeout: Duration) -> ServiceHealth<'_> {
    let began = Instant::now();
    let result = fetch(upstream, timeout).await;
    let response_time = (began.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    let (status, error) = match result {
        Ok((status, body)) => match judge(status, &body) {
            Ok(()) => ("healthy", None),
            Err(reason) => ("unhealthy", Some(reason)),
        },
        Err(reason) => ("unreachable", Some(reason)),
    };
    ServiceHealth { name: upstream.name(), status, url: upstream.url(), response_time, error }
}

async fn fetch(upstream: &Upstream, timeout: Duration) -> Result<(StatusCode, Bytes), String> {
    let request = upstream.get("/health").map_err(|error| error.to_string())?.header(PROBE_HEADER, SERVICE);
    let request = request.body(Full::default()).map_err(|error| error.to_string())?;
    // A connection of its own each time: one from a pool would hide that the service takes no new ones.
    kit::http::get(request, timeout, MAX_ANSWER_BYTES).await
}

/// Decides whether a service that answered is healthy; a JSON answer must say so too, if it has a `status`.
fn judge(status: StatusCode, body: impl AsRef<[u8]>) -> Result<(), String> {
    if !status.is_success() {
        return Err(format!("HTTP {}", status.as_u16()));
    }
    let json: Value = serde_json::from_slice(body.as_ref()).unwrap_or_default();
    match json.get("status").and_then(Value::as_str) {
        Some(word) if !SERVING.iter().any(|known| known.eq_ignore_ascii_case(word)) => {
            let word: String = word.chars().take(40).collect();
            Err(format!("HTTP {}, but it says {word:?}", status.as_u16()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_healthy_if_its_status_and_its_words_say_so() {
        for (status, body, expected) in [
            (200, r#"{"status":"healthy"}"#, Ok(())),
            (200, r#"{"status":"OK"}"#, Ok(())),
            (200, r#"{"status":"degraded"}"#, Ok(())),
            (204, "", Ok(())),
            (200, "alive", Ok(())),
            (200, r#"{"status":1}"#, Ok(())),
            (200, r#"{"status":"unhealthy"}"#, Err("HTTP 200, but it says \"unhealthy\"")),
            (302, "", Err("HTTP 302")),
            (503, r#"{"status":"healthy"}"#, Err("HTTP 503")),
        ] {
            let result = judge(StatusCode::from_u16(status).unwrap(), body);
            assert_eq!(result, expected.map_err(str::to_owned), "{status} {body}");
        }
    }
}
