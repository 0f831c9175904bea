//! Silences and maintenance: what is held back, who says so and until when.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use kit::clock::{elapsed, later};
use kit::config::{parse_duration, suggest};

use super::answers::{audit_row, bad, not_durable, short};
use crate::alert::{Matcher, OnceWindow, Silence};
use crate::export::shared::Shared;

/// Longest silence or window: a year; what is to be quiet for longer is not to be watched.
const MAX_LENGTH: Duration = Duration::from_secs(366 * 86_400);
/// Matchers of one silence, at most.
const MAX_MATCHERS: usize = 32;

/// `GET /api/v1/silences`
#[utoipa::path(get, path = "/api/v1/silences", tag = "alerts", responses((status = 200, description = "silences that are not over")))]
pub(in crate::export) async fn silences(State(shared): State<Arc<Shared>>) -> Json<Vec<Silence>> {
    let now = Timestamp::now();
    Json(shared.alerts.suppression().silences.into_iter().filter(|silence| silence.until > now).collect())
}

/// A new silence.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::export) struct NewSilence {
    /// Such as `service=web`; all must fit.
    #[schema(value_type = Vec<String>)]
    matchers: Vec<String>,
    /// Its length, such as `2h`; or give `until`.
    r#for: Option<String>,
    /// Its end, RFC 3339.
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// Its begin, RFC 3339; now if it is not given.
    #[schema(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// Why.
    #[serde(default)]
    comment: String,
}

/// `POST /api/v1/silences`
#[utoipa::path(post, path = "/api/v1/silences", tag = "alerts", request_body = NewSilence,
    responses((status = 201, description = "in force, and on the disk; with its id"), (status = 400, description = "what is wrong with it")))]
pub(in crate::export) async fn silence(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Json(new): Json<NewSilence>,
) -> Result<impl IntoResponse, ApiError> {
    let (from, until) = span(new.from, new.until, new.r#for.as_deref())?;
    if new.matchers.is_empty() || new.matchers.len() > MAX_MATCHERS {
        return Err(bad(format!("a silence has 1 to {MAX_MATCHERS} matchers, such as service=web")));
    }
    let matchers: Result<Vec<Matcher>, String> = new.matchers.iter().map(|text| Matcher::parse(text)).collect();
    let silence = Silence {
        id: Uuid::now_v7(),
        matchers: matchers.map_err(bad)?,
        from,
        until,
        by: who.name.clone(),
        comment: short(&new.comment)?,
    };
    keep_silence(&shared, &who, silence.clone()).await?;
    Ok((StatusCode::CREATED, Json(silence)))
}

/// Lets a silence be in force, with a row in the audit.
pub(in crate::export) async fn keep_silence(shared: &Shared, who: &Identity, silence: Silence) -> Result<(), ApiError> {
    let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
    let detail = format!("{} until {}: {}", matchers.join(", "), silence.until, silence.comment);
    let row = audit_row(who, "silence.create", silence.id, &detail);
    shared.alerts.silence(silence, row).await.map_err(not_durable)
}

/// `DELETE /api/v1/silences/{id}`
#[utoipa::path(delete, path = "/api/v1/silences/{id}", params(("id" = String, Path)), tag = "alerts",
    responses((status = 204, description = "over"), (status = 404, description = "no such silence")))]
pub(in crate::export) async fn end_silence(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    let row = audit_row(&who, "silence.end", id, "");
    match shared.alerts.end_silence(id, row).await.map_err(not_durable)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found(format!("there is no silence {id}")).code("no_silence")),
    }
}

/// A maintenance window as it is shown.
#[derive(Debug, Serialize)]
pub(in crate::export) struct WindowAnswer {
    /// Its id, if it was made by hand and can be ended.
    id: Option<Uuid>,
    name: String,
    /// Empty means all.
    services: Vec<String>,
    by: String,
    /// Until when it is open, if it is.
    open_until: Option<Timestamp>,
    /// When it opens next.
    next: Option<Timestamp>,
}

/// `GET /api/v1/maintenance`
#[utoipa::path(get, path = "/api/v1/maintenance", tag = "alerts",
    responses((status = 200, description = "windows, open and to come")))]
pub(in crate::export) async fn maintenance(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let now = Timestamp::now();
    let windows = shared.alerts.suppression().windows.into_iter().map(|window| WindowAnswer {
        id: window.id,
        open_until: window.open_until(now),
        next: window.next(now),
        name: window.name,
        services: window.services,
        by: window.by,
    });
    Json(windows.filter(|window| window.open_until.is_some() || window.next.is_some()).collect::<Vec<_>>())
}

/// A new maintenance window.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::export) struct NewWindow {
    /// What it is called.
    name: String,
    /// The services; empty means all.
    #[serde(default)]
    services: Vec<String>,
    /// Its length, such as `2h`; or give `until`.
    r#for: Option<String>,
    /// Its end, RFC 3339.
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// Its begin, RFC 3339; now if it is not given.
    #[schema(value_type = Option<String>)]
    from: Option<Timestamp>,
}

/// `POST /api/v1/maintenance`
#[utoipa::path(post, path = "/api/v1/maintenance", tag = "alerts", request_body = NewWindow,
    responses((status = 201, description = "in force, and on the disk; with its id"), (status = 400, description = "what is wrong with it")))]
pub(in crate::export) async fn begin_maintenance(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Json(new): Json<NewWindow>,
) -> Result<impl IntoResponse, ApiError> {
    let (from, until) = span(new.from, new.until, new.r#for.as_deref())?;
    let name = short(&new.name)?;
    if name.is_empty() {
        return Err(bad("a window needs a name"));
    }
    let catalogue = shared.catalogue.load();
    let is_known = |name: &&String| catalogue.wholes().any(|card| *card.name == ***name);
    if let Some(unknown) = new.services.iter().find(|name| !is_known(name)) {
        let near = suggest(unknown, catalogue.wholes().map(|card| &*card.name));
        return Err(bad(format!("{unknown:?} is not a service{near}")));
    }
    let window = OnceWindow { id: Uuid::now_v7(), name, from, until, services: new.services, by: who.name.clone() };
    let detail = format!("{:?} for {} until {until}", window.name, window.services.join(", "));
    let row = audit_row(&who, "maintenance.create", window.id, &detail);
    shared.alerts.add_window(window.clone(), row).await.map_err(not_durable)?;
    Ok((StatusCode::CREATED, Json(window)))
}

/// `DELETE /api/v1/maintenance/{id}`
#[utoipa::path(delete, path = "/api/v1/maintenance/{id}", params(("id" = String, Path)), tag = "alerts",
    responses((status = 204, description = "over"), (status = 404, description = "no such window made by hand")))]
pub(in crate::export) async fn end_maintenance(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    let row = audit_row(&who, "maintenance.end", id, "");
    match shared.alerts.end_window(id, row).await.map_err(not_durable)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found(format!("there is no window {id} made by hand")).code("no_window")),
    }
}

pub(in crate::export) fn span(
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    length: Option<&str>,
) -> Result<(Timestamp, Timestamp), ApiError> {
    let now = Timestamp::now();
    let from = from.unwrap_or(now);
    let until = match (until, length) {
        (Some(until), None) => until,
        (None, Some(length)) => later(from, parse_duration(length).map_err(bad)?),
        _ => return Err(bad("give either \"until\" or \"for\", such as \"for\": \"2h\"")),
    };
    if until <= now || until <= from {
        return Err(bad("it would be over already"));
    }
    if elapsed(now, until) > MAX_LENGTH {
        return Err(bad("it would last for more than a year"));
    }
    Ok((from, until))
}
