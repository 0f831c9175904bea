//! `/api/v1/policy`: what decides, checked before somebody writes it down, and taken once it is.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Api, Because, SOON, actor, conflict, problem, unavailable};
use crate::policy::Policy;
use crate::reload::{NOTED, ReloadError, Reloaded};
use crate::settings::read_policy;

/// Longest policy that is checked, in bytes.
const LONGEST: usize = 256 << 10;

/// What decides now in this daemon.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    /// Whether it is the one that acts: another one that does goes on with the policy that it has.
    acts: bool,
    #[serde(flatten)]
    reloaded: Reloaded,
}

/// Room for so many at once. Cheap to clone.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn of_one() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Takes it, or says what it is taken by.
    pub(super) fn take(&self, by: &str) -> Result<OwnedSemaphorePermit, ApiError> {
        let is_taken = |_full| unavailable(&format!("another policy is being {by}")).retry_after(SOON);
        self.0.clone().try_acquire_owned().map_err(is_taken)
    }
}

/// Says what a policy comes to, or what is wrong with it. Changes nothing, and looks at nothing else.
pub(super) async fn validate(State(api): State<Api>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let text = text_of(&body)?.ok_or_else(no_policy)?;
    let policy = checked(&api, text).await?;
    Ok(Json(json!({ "is_valid": true, "jobs": policy.jobs.len(), "rules": policy.rules.len() })))
}

/// Returns the text of a body; none if that is empty.
pub(super) fn text_of(body: &[u8]) -> Result<Option<&str>, ApiError> {
    if body.len() > LONGEST {
        let message = format!("a policy may have {LONGEST} bytes; check-config checks larger ones");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    let text = std::str::from_utf8(body).map_err(|_error| no_policy())?.trim_end();
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Returns the policy that a text comes to.
pub(super) async fn checked(api: &Api, text: &str) -> Result<Policy, ApiError> {
    let (room, text) = (api.checks.take("checked")?, text.to_owned());
    let checking = move || {
        let _room = room;
        read_policy(&text)
    };
    tokio::task::spawn_blocking(checking).await.map_err(|panic| ApiError::internal(&panic))?.map_err(wrong)
}

fn no_policy() -> ApiError {
    ApiError::bad_request("send a policy as YAML, in UTF-8")
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
    let noting = ledger.note(NOTED.0, NOTED.1, actor, Timestamp::now().as_millisecond());
    let reloaded = api.reloader.reload(noting).await.map_err(|error| match error {
        ReloadError::Wrong(mistakes) => wrong(mistakes),
        ReloadError::NotNoted(error) => problem(error),
        ReloadError::KeyTaken => conflict("this Idempotency-Key was used for something else".to_owned()),
    })?;
    Ok(Json(Taken { acts: !api.working.all().is_empty(), reloaded }))
}

fn wrong(mistakes: Vec<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, mistakes.join("\n")).with("mistakes", mistakes)
}
