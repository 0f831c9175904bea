//! The routes, and the OpenAPI document that describes them.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use kit::config::parse_duration;
use kit::http::ApiError;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::access::{Reception, Security, Visitor, guarded};
use super::shared::Shared;
use super::status::{ServiceStatus, Status, service_of, status_of};
use super::{alertmanager, alerts, announcement, badge, events, findings, gate, healing, page, status, write};
use crate::probe::CheckId;
use crate::record::{Mark, Transition};

/// Points or spans of one answer, at most: a browser draws no more.
const MAX_POINTS: usize = 20_000;

#[derive(OpenApi)]
#[openapi(
    info(title = "monitor", description = "What works, what does not, and why."),
    paths(
        get_status,
        get_service,
        get_history,
        get_transitions,
        gate::begin,
        gate::pass,
        write::push,
        write::reload,
        events::stream,
        findings::list,
        alertmanager::take,
        alertmanager::list,
        alerts::incidents::list,
        alerts::incidents::show,
        alerts::incidents::acknowledge,
        alerts::incidents::close,
        alerts::quiet::silences,
        alerts::quiet::silence,
        alerts::quiet::end_silence,
        alerts::quiet::maintenance,
        alerts::quiet::begin_maintenance,
        alerts::quiet::end_maintenance,
        alerts::telling::deliveries,
        alerts::telling::retry,
        alerts::telling::channels,
        alerts::telling::route_test,
        alerts::telling::drill,
        alerts::telling::last_drill,
        alerts::telling::test_channel,
        announcement::announce,
        announcement::end,
        healing::list,
        healing::pause,
        healing::resume,
        alerts::answers::audit,
        badge::state,
        badge::uptime
    ),
    components(schemas(Status, ServiceStatus)),
    modifiers(&Security)
)]
struct ApiDocument;

/// Returns every route: pages, badges, API, and those of `beside`, behind the one door that knows who may do what.
pub fn router(shared: Arc<Shared>, reception: Arc<Reception>, beside: Router) -> Router {
    let routes = Router::new()
        .route("/api/v1/status", get(get_status))
        .route("/api/v1/services/{name}", get(get_service))
        .route("/api/v1/services/{name}/history", get(get_history))
        .route("/api/v1/transitions", get(get_transitions))
        .route("/api/v1/gate", post(gate::begin))
        .route("/api/v1/gate/{cursor}", get(gate::pass))
        .route("/api/v1/events", get(events::stream))
        .route("/api/v1/openapi.json", get(openapi))
        .with_state(shared.clone())
        .merge(page::router(shared.clone(), reception.clone()))
        .merge(badge::router(shared.clone()))
        .merge(alertmanager::router(shared.clone()))
        .merge(alerts::router(shared.clone()))
        .merge(announcement::router(shared.clone()))
        .merge(healing::router(shared.clone()))
        .merge(findings::router(shared.clone()))
        .merge(write::router(shared))
        .merge(beside);
    page::with_refusals(guarded(routes, reception.clone()), reception)
}

async fn openapi() -> impl IntoResponse {
    Json(ApiDocument::openapi())
}

/// `GET /api/v1/status`
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = Status)), tag = "status")]
async fn get_status(State(shared): State<Arc<Shared>>, visitor: Visitor) -> impl IntoResponse {
    let mut status = status_of(&shared);
    if !visitor.sees_details() {
        status.keep_names();
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(status))
}

/// `GET /api/v1/services/{name}`
#[utoipa::path(get, path = "/api/v1/services/{name}", params(("name" = String, Path)), tag = "status",
    responses((status = 200, body = ServiceStatus), (status = 404, description = "no such service")))]
async fn get_service(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Json<ServiceStatus>, ApiError> {
    let mut service = service_of(&shared, &name).ok_or_else(|| no_service(&name))?;
    if !visitor.sees_details() {
        service.keep_names();
    }
    Ok(Json(service))
}

fn no_service(name: &str) -> ApiError {
    ApiError::not_found(format!("there is no service {name:?}")).code("no_service")
}

/// Which part of the past.
#[derive(Debug, Deserialize, IntoParams)]
struct HistoryQuery {
    /// How far back, such as `6h` or `30d`; default 1h.
    back: Option<String>,
    /// raw, minute or hour; by default the finest that `back` is kept for and that stays readable.
    grain: Option<String>,
}

/// The past of one service's checks.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryAnswer {
    /// raw, minute or hour.
    grain: String,
    /// Begin of the range, RFC 3339.
    from: String,
    /// End of the range, RFC 3339.
    to: String,
    /// By check. Times without an entry are no data: nobody looked.
    checks: std::collections::BTreeMap<String, Vec<HistoryEntry>>,
}

/// One point, or one span.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryEntry {
    /// Its time (a span's begin), milliseconds since the epoch.
    at_ms: i64,
    /// Passes within every limit.
    pass: u64,
    /// Passes that broke a soft limit.
    slow: u64,
    /// Fails.
    fail: u64,
    /// Could not ask.
    unknown: u64,
    /// Median latency of the passes, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    /// 95 % of the passes took at most this, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_ms: Option<f64>,
}

/// `GET /api/v1/services/{name}/history`
#[utoipa::path(get, path = "/api/v1/services/{name}/history", params(("name" = String, Path), HistoryQuery), tag = "status",
    responses((status = 200, body = HistoryAnswer), (status = 404, description = "no such service")))]
async fn get_history(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<HistoryAnswer>, ApiError> {
    let checks: Vec<CheckId> = {
        let catalogue = shared.catalogue.load();
        let card = catalogue.service(&name).ok_or_else(|| no_service(&name))?;
        card.checks.iter().map(|check| check.id.clone()).collect()
    };
    let back = query.back.as_deref().map_or(Ok(std::time::Duration::from_secs(3600)), parse_duration);
    let back_ms = i64::try_from(back.map_err(ApiError::bad_request)?.as_millis()).unwrap_or(i64::MAX / 4);
    let to_ms = Timestamp::now().as_millisecond() + 1;
    let from_ms = (to_ms - back_ms).max(0);
    let grain = match query.grain.as_deref() {
        Some(word @ ("raw" | "minute" | "hour")) => word,
        Some(other) => return Err(ApiError::bad_request(format!("grain is {other:?}; write raw, minute or hour"))),
        None if back_ms <= 2 * 3_600_000 => "raw",
        None if back_ms <= 48 * 3_600_000 => "minute",
        None => "hour",
    };
    let mut answer = std::collections::BTreeMap::new();
    for check in checks {
        let entries = entries(&shared, &check, grain, from_ms, to_ms).await;
        let mut entries = entries.map_err(|error| ApiError::internal(&error))?;
        let excess = entries.len().saturating_sub(MAX_POINTS);
        entries.drain(..excess);
        answer.insert(check.check.to_string(), entries);
    }
    let show = |ms| Timestamp::from_millisecond(ms).map(status::to_the_second).unwrap_or_default();
    Ok(Json(HistoryAnswer { grain: grain.to_owned(), from: show(from_ms), to: show(to_ms), checks: answer }))
}

async fn entries(
    shared: &Shared,
    check: &CheckId,
    grain: &str,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<HistoryEntry>, crate::record::StoreError> {
    let history = &shared.stores.history;
    if grain == "raw" {
        let points = history.points(check, from_ms, to_ms).await?;
        return Ok(points.iter().map(entry_of_point).collect());
    }
    let span_ms = if grain == "minute" { 60_000 } else { 3_600_000 };
    let spans = history.rollups(check, span_ms, from_ms, to_ms).await?;
    let ms = |rollup: &crate::record::Rollup, q| rollup.quantile_us(q).map(|us: f64| (us / 10.0).round() / 100.0);
    let entries = spans.into_iter().map(|(at_ms, rollup)| HistoryEntry {
        at_ms,
        pass: rollup.pass,
        slow: rollup.slow,
        fail: rollup.fail,
        unknown: rollup.unknown,
        p50_ms: ms(&rollup, 0.5),
        p95_ms: ms(&rollup, 0.95),
    });
    Ok(entries.collect())
}

fn entry_of_point(point: &crate::record::Point) -> HistoryEntry {
    let is = |mark| u64::from(point.mark == mark);
    let took = Some(f64::from(point.took_us) / 1000.0).filter(|_| matches!(point.mark, Mark::Pass | Mark::Slow));
    HistoryEntry {
        at_ms: point.at_ms,
        pass: is(Mark::Pass),
        slow: is(Mark::Slow),
        fail: is(Mark::Fail),
        unknown: is(Mark::Unknown),
        p50_ms: took,
        p95_ms: took,
    }
}

/// Which verdict changes.
#[derive(Debug, Deserialize, IntoParams)]
struct TransitionsQuery {
    /// Only of this service.
    service: Option<String>,
    /// At most so many; 1 to 1000, default 100.
    limit: Option<u32>,
}

/// `GET /api/v1/transitions`
#[utoipa::path(get, path = "/api/v1/transitions", params(TransitionsQuery), tag = "status",
    responses((status = 200, description = "verdict changes, newest first")))]
async fn get_transitions(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<TransitionsQuery>,
) -> Result<(StatusCode, Json<Vec<Transition>>), ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let store = shared.stores.state.store();
    let transitions =
        store.transitions(query.service.as_deref(), limit).await.map_err(|error| ApiError::internal(&error))?;
    Ok((StatusCode::OK, Json(transitions)))
}
