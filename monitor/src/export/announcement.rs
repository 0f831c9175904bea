//! Announcing a change to a service, so that restarts by other hands are planned and nothing is healed meanwhile.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Extension, Json, Router};
use kit::config::suggest;
use kit::http::{ApiError, Identity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alerts::answers::{audit_row, bad, not_durable, short};
use super::alerts::quiet::span;
use super::shared::Shared;
use crate::judge::Announcement;
use crate::record::StateBatch;

/// Kind of the documents that announcements are kept as, by service.
pub const ANNOUNCEMENTS: &str = "announcement";
/// How long it holds unless told otherwise: a roll-out with its start and its first minutes.
const USUAL_LENGTH: &str = "10m";
/// Longer is no roll-out; planned work of days is a maintenance window.
const MAX_HOURS: i64 = 24;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/api/v1/services/{name}/announcement", post(announce).delete(end)).with_state(shared)
}

/// What is announced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewAnnouncement {
    /// How long it holds, such as `30m`; 10 minutes without it.
    r#for: Option<String>,
    /// What is changed.
    why: String,
}

/// An announcement that holds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AnnouncementAnswer {
    /// Until when, RFC 3339.
    until: String,
}

/// `POST /api/v1/services/{name}/announcement`; a later one takes the place of an earlier one.
#[utoipa::path(post, path = "/api/v1/services/{name}/announcement", tag = "services", params(("name" = String, Path)),
    request_body = NewAnnouncement,
    responses((status = 200, description = "it holds, and is on the disk", body = AnnouncementAnswer),
        (status = 404, description = "no such service"), (status = 400, description = "what is wrong with it")))]
pub(super) async fn announce(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
    Json(new): Json<NewAnnouncement>,
) -> Result<Json<AnnouncementAnswer>, ApiError> {
    let (at, until) = span(None, None, Some(new.r#for.as_deref().unwrap_or(USUAL_LENGTH)))?;
    if until.duration_since(at).as_hours() > MAX_HOURS {
        return Err(bad(format!("it would hold for more than {MAX_HOURS} h; make a maintenance window instead")));
    }
    let announcement = Announcement { at, until, by: who.name.clone(), why: short(&new.why)? };
    keep(&shared, &who, &name, Some(announcement)).await?;
    Ok(Json(AnnouncementAnswer { until: until.to_string() }))
}

/// `DELETE /api/v1/services/{name}/announcement`
#[utoipa::path(delete, path = "/api/v1/services/{name}/announcement", tag = "services", params(("name" = String, Path)),
    responses((status = 204, description = "over"), (status = 404, description = "no such service")))]
pub(super) async fn end(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    keep(&shared, &who, &name, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn keep(shared: &Shared, who: &Identity, name: &str, announcement: Option<Announcement>) -> Result<(), ApiError> {
    // A replica changes with its service.
    let whole = shared.board().service(name).map(|service| service.whole().clone());
    let name = whole.as_deref().unwrap_or(name);
    let (action, detail) = match &announcement {
        Some(announcement) => ("change.announce", format!("until {}: {}", announcement.until, announcement.why)),
        None => ("change.end", String::new()),
    };
    let mut batch: StateBatch = audit_row(who, action, name, &detail).into();
    let document = announcement.as_ref().map(serde_json::to_string).transpose();
    let document = document.map_err(|error| ApiError::internal(&error))?;
    batch.documents.insert((ANNOUNCEMENTS, name.to_owned()), document);
    let writing = {
        let mut board = shared.board();
        if !board.announce(name, announcement) {
            let near = suggest(name, board.wholes().map(|service| &*service.spec.name));
            return Err(ApiError::not_found(format!("there is no service {name:?}{near}")).code("no_service"));
        }
        shared.stores.state.put_durably(batch)
    };
    writing.await.map_err(|error| not_durable(error.to_string()))?;
    Ok(())
}
