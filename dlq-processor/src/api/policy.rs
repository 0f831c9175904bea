//! `/api/v1/policy`: what decides, checked before somebody writes it down, and taken once it is.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Api, Because, actor, conflict, problem, unavailable};
use crate::reload::{NOTED, ReloadError, Reloaded};
use crate::settings::read_policy;

/// Longest policy that is checked, in bytes.
const LONGEST: usize = 256 << 10;
/// Policies that are checked at once: patterns take time and memory.
const AT_ONCE: usize = 1;
/// When it is worth another try.
const BUSY: Duration = Duration::from_secs(1);

/// What decides now in this daemon.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    /// Whether it is the one that acts: another one that does goes on with the policy that it has.
    acts: bool,
    #[serde(flatten)]
    reloaded: Reloaded,
}

/// Room for those that are checked. Cheap to clone.
#[derive(Clone)]
pub(super) struct Checks(Arc<Semaphore>);

impl Default for Checks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Says what a policy comes to, or what is wrong with it. Changes nothing, and looks at nothing else.
pub(super) async fn validate(State(api): State<Api>, body: Bytes) -> Result<Json<Value>, ApiError> {
    if body.len() > LONGEST {
        let message = format!("a policy may have {LONGEST} bytes; check-config checks larger ones");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    let text = std::str::from_utf8(&body).ok().map(str::trim_end).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| ApiError::bad_request("send a policy as YAML, in UTF-8"))?.to_owned();
    let room = api.checks.0.clone().try_acquire_owned();
    let room = room.map_err(|_full| unavailable("another policy is being checked").retry_after(BUSY))?;
    let checking = move || {
        let _room = room;
        read_policy(&text)
            .map(|policy| json!({ "is_valid": true, "jobs": policy.jobs.len(), "rules": policy.rules.len() }))
    };
    let checked = tokio::task::spawn_blocking(checking).await.map_err(|panic| ApiError::internal(&panic))?;
    checked.map(Json).map_err(wrong)
}

/// Has the policy that the daemon's own configuration says by now decide from now on.
pub(super) async fn reload(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(Because { reason }): Json<Because>,
) -> Result<Json<Taken>, ApiError> {
    let actor = actor(&identity, &headers, &reason)?;
    let ledger = api.ledger()?;
    let noting = async {
        let noted = ledger.note(NOTED.0, NOTED.1, actor, Timestamp::now().as_millisecond()).await.map_err(problem)?;
        let is_taken = || conflict("this Idempotency-Key was used for something else".to_owned());
        noted.then_some(()).ok_or_else(is_taken)
    };
    let reloaded = api.reloader.reload(noting).await.map_err(|error| match error {
        ReloadError::Wrong(mistakes) => wrong(mistakes),
        ReloadError::NotNoted(error) => error,
    })?;
    Ok(Json(Taken { acts: !api.working.all().is_empty(), reloaded }))
}

fn wrong(mistakes: Vec<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, mistakes.join("\n")).with("mistakes", mistakes)
}
