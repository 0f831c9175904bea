//! The gate for pipelines: open only on passes that began after its cursor, never on stale or lucky data.
//!
//! A cursor is our own sequence number, so no clock but ours counts.

mod question;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::http::ApiError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use self::question::Question;
use super::shared::{Ask, Shared};

/// Longest time one request waits; longer waits are made of several requests.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// A waiting gate has its services probed this often (DESIGN section 9).
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// Gates that wait at once, at most: each has its services probed every 2 s.
static WAITING: Semaphore = Semaphore::const_new(64);

/// A new cursor.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Cursor {
    /// Opaque; give it back in `GET /api/v1/gate/{cursor}`.
    pub cursor: String,
}

/// What the gate is asked.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct GateQuery {
    /// Names, with commas between.
    services: Option<String>,
    /// Every critical service instead of names.
    #[serde(default)]
    all: bool,
    /// Passes in a row that every critical check must show; 1 to 32, default 3.
    stable: Option<usize>,
    /// How long to wait, such as `60s`; default not at all.
    wait: Option<String>,
    /// What each service must be beside working: `new-incarnation` (its workload was started after the cursor),
    /// `digest:HEX` (SHA-256 of its program begins so), or `version:TEXT` (its JSON answer names this version).
    expect: Option<String>,
}

/// What the gate saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateAnswer {
    /// Whether everything is as it must be.
    pub open: bool,
    /// Whether waiting longer could still open it.
    pub decided: bool,
    /// By service.
    pub services: BTreeMap<String, GateService>,
}

/// What the gate saw of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateService {
    /// Whether it holds for this service.
    pub open: bool,
    /// Its verdict.
    pub verdict: String,
    /// What is missing; empty when open.
    pub reasons: Vec<String>,
    /// Passes that count, by critical check.
    pub passes: BTreeMap<String, usize>,
    /// Age of the newest observation of each critical check, in seconds.
    pub ages_secs: BTreeMap<String, f64>,
}

/// `POST /api/v1/gate`
#[utoipa::path(post, path = "/api/v1/gate", responses((status = 200, body = Cursor)), tag = "gate")]
pub(super) async fn begin(State(shared): State<Arc<Shared>>) -> Json<Cursor> {
    let sequence = shared.board().next_sequence();
    Json(Cursor { cursor: encode(sequence, &shared.cursor_key) })
}

/// `GET /api/v1/gate/{cursor}`
#[utoipa::path(get, path = "/api/v1/gate/{cursor}", params(("cursor" = String, Path), GateQuery), tag = "gate", responses(
    (status = 200, body = GateAnswer, description = "open"),
    (status = 400, description = "no service named, or an unknown one"),
    (status = 503, body = GateAnswer, description = "shut"),
    (status = 504, body = GateAnswer, description = "not decided within the wait"),
))]
pub(super) async fn pass(
    State(shared): State<Arc<Shared>>,
    Path(cursor): Path<String>,
    Query(query): Query<GateQuery>,
) -> Result<Response, ApiError> {
    let question = Question::of(&shared, &cursor, &query)?;
    let _place = if question.wait.is_zero() { None } else { Some(WAITING.try_acquire().map_err(|_full| too_many())?) };
    let deadline = Instant::now() + question.wait;
    let mut progress = shared.progress.subscribe();
    let mut next_probe = Instant::now();
    loop {
        progress.borrow_and_update();
        let answer = question.ask(&shared.board());
        let now = Instant::now();
        if answer.open || answer.decided || now >= deadline {
            return Ok(answer_with(answer, question.wait));
        }
        if now >= next_probe {
            shared.ask(Ask::Probe(question.checks(&shared.board())));
            next_probe = now + PROBE_EVERY;
        }
        let until = deadline.min(next_probe);
        tokio::select! {
            () = shared.ended() => return Ok(answer_with(answer, Duration::ZERO)),
            _either = tokio::time::timeout_at(until, progress.changed()) => {}
        }
    }
}

fn too_many() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many gates are waiting; ask again soon").code("busy")
}

fn answer_with(answer: GateAnswer, waited: Duration) -> Response {
    let status = match (answer.open, answer.decided || waited.is_zero()) {
        (true, _) => StatusCode::OK,
        (false, true) => StatusCode::SERVICE_UNAVAILABLE,
        (false, false) => StatusCode::GATEWAY_TIMEOUT,
    };
    (status, Json(answer)).into_response()
}

/// A number that anybody could make up would open the gate on old passes: a cursor carries our seal.
fn encode(sequence: u64, key: &[u8; 32]) -> String {
    let mut bytes = sequence.to_be_bytes().to_vec();
    bytes.extend(seal(sequence, key));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(cursor: &str, key: &[u8; 32]) -> Option<u64> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (number, given) = bytes.split_first_chunk::<8>()?;
    let sequence = u64::from_be_bytes(*number);
    (given == seal(sequence, key)).then_some(sequence)
}

/// Half of an SHA-256 over key and number; both have fixed lengths, so no longer message has the same digest.
fn seal(sequence: u64, key: &[u8; 32]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(key).chain_update(sequence.to_be_bytes()).finalize();
    let mut seal = [0; 16];
    seal.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    seal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_anything_else_is_not_one() {
        let key = [7; 32];
        assert_eq!(decode(&encode(1_234_567, &key), &key), Some(1_234_567));
        assert_eq!(decode(&encode(1_234_567, &[8; 32]), &key), None, "of another monitor");
        for text in ["", "x", "AAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(decode(text, &key), None, "{text}");
        }
    }
}
