//! The writing routes: pushes of watched jobs, by the job's own token or an operator's, and what only operators may do.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Extension, Router};
use jiff::Timestamp;
use kit::config::suggest;
use kit::http::{ApiError, Identity, Role, bears};
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Visitor;
use super::alerts::answers::audit_row;
use super::shared::{Ask, Shared};
use crate::probe::{CheckId, Signal};
use crate::record::StateBatch;

/// Longest message that is kept of a push, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// Returns the writing routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/heartbeat/{service}/{check}", post(push))
        .route("/api/v1/reload", post(reload))
        .with_state(shared)
}

/// How a job's run stands.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub(super) struct PushQuery {
    /// start, success (the default) or fail.
    state: Option<String>,
    /// The exit code: 0 is success, anything else fail.
    exit_code: Option<i32>,
}

/// `POST /api/v1/heartbeat/{service}/{check}`; the body's first line is kept as a message.
#[utoipa::path(post, path = "/api/v1/heartbeat/{service}/{check}", tag = "push",
    params(("service" = String, Path), ("check" = String, Path), PushQuery),
    responses((status = 204, description = "kept, also across a power cut"), (status = 404, description = "no such heartbeat"),
        (status = 503, description = "could not be written down; push again")))]
pub(super) async fn push(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    Path((service, check)): Path<(String, String)>,
    Query(query): Query<PushQuery>,
    headers: HeaderMap,
    body: String,
) -> Result<impl IntoResponse, ApiError> {
    let id = CheckId::new(&service, &check);
    // A job on another machine shows its own token; nobody else may write, nor learn what there is.
    if !has_own_token(&shared, &id, &headers) {
        visitor.require(Role::Operator)?;
    }
    let signal = signal(&query)?;
    let first_line = body.lines().next().map(str::trim).filter(|line| !line.is_empty());
    let message = first_line.map(|line| line.chars().take(MAX_MESSAGE_CHARS).collect());
    let Some(pushed) = shared.vantage.pushes.push(&id, signal, message, Timestamp::now()) else {
        return Err(unknown(&shared, &id));
    };
    shared.board().push(&id);
    shared.ask(Ask::Probe(vec![id.clone()]));
    let document = serde_json::to_string(&pushed).map_err(|error| ApiError::internal(&error))?;
    let documents = [(("push", id.to_string()), Some(document))].into();
    let batch = StateBatch { documents, ..StateBatch::default() };
    // The job may end right after: what it told us must not be lost with us.
    match shared.stores.state.put_durably(batch).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => {
            tracing::warn!(%error, check.id = %id, "a push is kept in memory only");
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not written down yet; push again").code("not_durable"))
        }
    }
}

fn has_own_token(shared: &Shared, id: &CheckId, headers: &HeaderMap) -> bool {
    let catalogue = shared.catalogue.load();
    let card = catalogue.service(&id.service).and_then(|service| service.checks.iter().find(|card| card.id == *id));
    card.and_then(|card| card.push_token.as_ref()).is_some_and(|token| bears(headers, token))
}

fn signal(query: &PushQuery) -> Result<Signal, ApiError> {
    match (query.state.as_deref(), query.exit_code) {
        (None, None | Some(0)) | (Some("success"), None | Some(0)) => Ok(Signal::Success),
        (None | Some("fail"), code) => Ok(Signal::Fail(code)),
        (Some("start"), None) => Ok(Signal::Start),
        (Some("success" | "start"), Some(code)) => {
            Err(ApiError::bad_request(format!("exit_code={code} does not fit the state")).code("bad_push"))
        }
        (Some(other), _) => {
            Err(ApiError::bad_request(format!("state is {other:?}; write start, success or fail")).code("bad_push"))
        }
    }
}

fn unknown(shared: &Shared, id: &CheckId) -> ApiError {
    let catalogue = shared.catalogue.load();
    let known: Vec<String> = catalogue
        .services
        .iter()
        .flat_map(|service| &service.checks)
        .filter(|check| check.pushed)
        .map(|check| check.id.to_string())
        .collect();
    let near = suggest(&id.to_string(), known.iter().map(String::as_str));
    ApiError::not_found(format!("there is no heartbeat {:?}{near}", id.to_string())).code("no_heartbeat")
}

/// What a reload may do.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub(super) struct ReloadQuery {
    /// Take it even if it drops many services or a broken one.
    #[serde(default)]
    force: bool,
}

/// `POST /api/v1/reload`
#[utoipa::path(post, path = "/api/v1/reload", tag = "operate", params(ReloadQuery),
    responses((status = 200, description = "taken"), (status = 409, description = "refused, with every mistake")))]
pub(super) async fn reload(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Query(query): Query<ReloadQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let result = shared.reload(query.force).await;
    // A mistake may repeat what is in the file; that it was refused is enough for the audit.
    let detail = result.as_deref().unwrap_or("refused").to_owned();
    let forced = if query.force { "by force: " } else { "" };
    let row = audit_row(&who, "config.reload", "configuration", &format!("{forced}{detail}"));
    shared.stores.state.put(row.into());
    result.map_err(|message| ApiError::new(StatusCode::CONFLICT, message).code("reload_refused"))
}
