//! Incidents: which there are, all there is of one, and who takes or closes it.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::answers::{audit_row, bad, not_durable, short, unreadable};
use crate::alert::{Delivery, Event, Incident, read_rows};
use crate::export::shared::Shared;
use crate::record::{DeliveryQuery, IncidentQuery};

/// Which incidents.
#[derive(Debug, Deserialize, IntoParams)]
pub(in crate::export) struct ListQuery {
    /// Only open ones.
    #[serde(default)]
    open: bool,
    /// Only about this service.
    service: Option<String>,
    /// Only those that are listed after the incident with this id, or that opened before this time (RFC 3339): for the next
    /// page. Many open at the same moment, so the id of the last one listed loses none.
    before: Option<String>,
    /// At most so many; 1 to 1000, default 100.
    limit: Option<u32>,
}

/// `GET /api/v1/incidents`
#[utoipa::path(get, path = "/api/v1/incidents", params(ListQuery), tag = "alerts",
    responses((status = 200, description = "incidents, newest first")))]
pub(in crate::export) async fn list(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<Incident>>, ApiError> {
    if query.open {
        let mut open: Vec<Incident> = shared.alerts.desk().open().cloned().collect();
        open.retain(|incident| query.service.is_none() || incident.service == query.service);
        open.sort_by_key(|incident| std::cmp::Reverse(incident.opened));
        return Ok(Json(open));
    }
    let (before_ms, before_id) = match &query.before {
        Some(before) => place(&shared, before).await?,
        None => (None, None),
    };
    let wanted = IncidentQuery {
        service: query.service,
        before_ms,
        before_id,
        limit: query.limit.unwrap_or(100).clamp(1, 1000),
        ..IncidentQuery::default()
    };
    let bodies = shared.stores.state.store().incidents(&wanted).await.map_err(unreadable)?;
    Ok(Json(read_rows(&bodies)))
}

/// Returns the time, and the id if it is one, that a list goes on after.
async fn place(shared: &Shared, before: &str) -> Result<(Option<i64>, Option<Uuid>), ApiError> {
    if let Ok(id) = before.parse::<Uuid>() {
        let last = shared.alerts.incident(id).await.map_err(unreadable)?.ok_or_else(|| no_incident(id))?;
        return Ok((Some(last.opened.as_millisecond()), Some(id)));
    }
    let time: Timestamp =
        before.parse().map_err(|_error| bad("\"before\" is the id of an incident, or a time (RFC 3339)"))?;
    Ok((Some(time.as_millisecond()), None))
}

/// One incident, its timeline and who was told.
#[derive(Debug, Serialize)]
pub(in crate::export) struct IncidentAnswer {
    #[serde(flatten)]
    pub(in crate::export) incident: Incident,
    pub(in crate::export) events: Vec<Event>,
    pub(in crate::export) deliveries: Vec<Delivery>,
}

/// `GET /api/v1/incidents/{id}`
#[utoipa::path(get, path = "/api/v1/incidents/{id}", params(("id" = String, Path)), tag = "alerts",
    responses((status = 200, description = "the incident, its timeline and its deliveries"), (status = 404, description = "no such incident")))]
pub(in crate::export) async fn show(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<Uuid>,
) -> Result<Json<IncidentAnswer>, ApiError> {
    find(&shared, id).await?.map(Json).ok_or_else(|| no_incident(id))
}

/// Reads all there is of an incident; none if there is no such incident.
pub(in crate::export) async fn find(shared: &Shared, id: Uuid) -> Result<Option<IncidentAnswer>, ApiError> {
    let Some(incident) = shared.alerts.incident(id).await.map_err(unreadable)? else { return Ok(None) };
    let store = shared.stores.state.store();
    let events = read_rows(&store.events(id).await.map_err(unreadable)?);
    let deliveries = read_rows(&store.deliveries(&DeliveryQuery::Of(id)).await.map_err(unreadable)?);
    Ok(Some(IncidentAnswer { incident, events, deliveries }))
}

/// What a person says when she takes an incident.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(in crate::export) struct Note {
    /// For whoever looks next; may be empty.
    #[serde(default)]
    note: String,
}

/// `POST /api/v1/incidents/{id}/acknowledge`
#[utoipa::path(post, path = "/api/v1/incidents/{id}/acknowledge", params(("id" = String, Path)), tag = "alerts",
    request_body = Note,
    responses((status = 204, description = "taken, and on the disk"), (status = 404, description = "no such open incident"),
        (status = 503, description = "taken, but not written down")))]
pub(in crate::export) async fn acknowledge(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
    body: Option<Json<Note>>,
) -> Result<StatusCode, ApiError> {
    let note = short(&body.unwrap_or_default().0.note)?;
    let row = audit_row(&who, "incident.acknowledge", id, &note);
    let is_open = shared.alerts.acknowledge(id, &who.name, &note, row).await.map_err(not_durable)?;
    if is_open { Ok(StatusCode::NO_CONTENT) } else { Err(no_incident(id)) }
}

/// `POST /api/v1/incidents/{id}/close`
#[utoipa::path(post, path = "/api/v1/incidents/{id}/close", params(("id" = String, Path)), tag = "alerts",
    responses((status = 204, description = "closed; it opens anew if it still holds"), (status = 404, description = "no such open incident")))]
pub(in crate::export) async fn close(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    let row = audit_row(&who, "incident.close", id, "");
    let was_open = shared.alerts.close(id, &who.name, row).await.map_err(not_durable)?;
    if was_open { Ok(StatusCode::NO_CONTENT) } else { Err(no_incident(id)) }
}

fn no_incident(id: Uuid) -> ApiError {
    ApiError::not_found(format!("there is no open incident {id}")).code("no_incident")
}
