//! Incidents, silences, maintenance and deliveries over HTTP: what is wrong, who was told, and what people do about it.

pub(super) mod answers;
pub(super) mod incidents;
pub(super) mod quiet;
pub(super) mod telling;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};

use super::shared::Shared;
use answers::audit;
use incidents::{acknowledge, close, list, show};
use quiet::{begin_maintenance, end_maintenance, end_silence, maintenance, silence, silences};
use telling::{channels, deliveries, drill, last_drill, retry, route_test, test_channel};

/// Returns the routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/incidents", get(list))
        .route("/api/v1/incidents/{id}", get(show))
        .route("/api/v1/silences", get(silences))
        .route("/api/v1/maintenance", get(maintenance))
        .route("/api/v1/deliveries", get(deliveries))
        .route("/api/v1/channels", get(channels))
        .route("/api/v1/drill", get(last_drill))
        .route("/api/v1/route-test", get(route_test))
        .route("/api/v1/incidents/{id}/acknowledge", post(acknowledge))
        .route("/api/v1/incidents/{id}/close", post(close))
        .route("/api/v1/silences", post(silence))
        .route("/api/v1/silences/{id}", delete(end_silence))
        .route("/api/v1/maintenance", post(begin_maintenance))
        .route("/api/v1/maintenance/{id}", delete(end_maintenance))
        .route("/api/v1/deliveries/{incident}/{event}/{channel}/retry", post(retry))
        .route("/api/v1/channels/{name}/test", post(test_channel))
        .route("/api/v1/drill", post(drill))
        .route("/api/v1/audit", get(audit))
        .with_state(shared)
}
