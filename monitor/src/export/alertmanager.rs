//! The part of Alertmanager's API v2 that its clients use, so that Prometheus, auth-monitor and dlq-processor hand their
//! alerts to us (prometheus/alertmanager, api/v2/openapi.yaml).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::shared::{Ask, Shared};
use crate::alert::{External, Posted};

/// Largest post, in bytes: Prometheus sends 256 alerts at once (`maxBatchSize`, notifier/manager.go), each with a few KiB.
const MAX_POST_BYTES: usize = 4 * 1024 * 1024;
/// Alerts of one post, at most.
const MAX_POSTED: usize = 4096;
/// How long a post waits for the disk. What is not on it by then is in force all the same, and the source tries again.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// Returns the routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let alerts = get(list).merge(post(take).layer(DefaultBodyLimit::max(MAX_POST_BYTES)));
    Router::new().route("/api/v2/alerts", alerts).with_state(shared)
}

/// `POST /api/v2/alerts`
#[utoipa::path(post, path = "/api/v2/alerts", tag = "alerts",
    responses((status = 200, description = "all taken"), (status = 400, description = "what is wrong with some; the others are taken")))]
pub(super) async fn take(State(shared): State<Arc<Shared>>, Json(posted): Json<Vec<Value>>) -> Response {
    if posted.len() > MAX_POSTED {
        let message = format!("{} alerts in one post, more than {MAX_POSTED}", posted.len());
        return (StatusCode::PAYLOAD_TOO_LARGE, Json(message)).into_response();
    }
    let (mut alerts, mut wrong) = (Vec::new(), Vec::new());
    for alert in posted {
        match serde_json::from_value::<Posted>(alert) {
            Ok(alert) => alerts.push(alert),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    let taken = shared.alerts.take(alerts).await;
    // Whether we see it too, and whether what the service needs is the cause, is asked at once.
    let checks: Vec<_> = taken.services.iter().flat_map(|service| shared.board().checks_behind(service)).collect();
    if !checks.is_empty() {
        shared.ask(Ask::Probe(checks));
    }
    wrong.extend(taken.wrong);
    let written = shared.stores.state.durable(taken.ticket);
    let is_written = tokio::time::timeout(DISK_PATIENCE, written).await.is_ok();
    // A source that hears 200 forgets what it told: that must be on the disk.
    if taken.is_full || taken.is_early || !is_written {
        let message = match (is_written, taken.is_full) {
            (false, _) => "not written down yet; post them again",
            (true, true) => "no room for more alerts; post them again",
            (true, false) => "what was posted before is not read yet; post them again",
        };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(message)).into_response();
    }
    // Alertmanager answers with a bare JSON string.
    if wrong.is_empty() {
        StatusCode::OK.into_response()
    } else {
        (StatusCode::BAD_REQUEST, Json(wrong.join("; "))).into_response()
    }
}

/// `GET /api/v2/alerts`
#[utoipa::path(get, path = "/api/v2/alerts", tag = "alerts",
    responses((status = 200, description = "alerts from elsewhere that are not over, as Alertmanager lists them")))]
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<Vec<Value>> {
    let (now, suppression) = (Timestamp::now(), shared.alerts.suppression());
    let shown = |alert: &External| {
        let state = if suppression.of(&alert.labels, now).is_some() { "suppressed" } else { "active" };
        json!({
            "fingerprint": alert.fingerprint,
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": alert.starts_at,
            "endsAt": alert.believed_until,
            "updatedAt": now,
            "generatorURL": alert.generator_url.clone().unwrap_or_default(),
            "receivers": [],
            "status": { "state": state, "silencedBy": [], "inhibitedBy": [] },
        })
    };
    let externals = shared.alerts.externals();
    Json(externals.all().map(shown).collect())
}
