//! What the gateway offers: `GET /`, and the list in every 404.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::{SERVICE, VERSION};

/// The paths in a 404, as `METHOD path`.
pub(crate) const ENDPOINTS: [&str; 7] = [
    "GET /",
    "GET /api/health",
    "GET /health",
    "GET /livez",
    "GET /readyz",
    "GET /metrics",
    "ANY /api/airtable/{path}",
];

/// The route `/`.
pub(crate) fn routes() -> Router {
    Router::new().route("/", get(async || Json(about())))
}

fn about() -> Value {
    let endpoints = json!({
        "health": "/api/health",
        "liveness": "/livez",
        "readiness": "/readyz",
        "metrics": "/metrics",
        "airtable": "/api/airtable/*",
    });
    json!({ "service": SERVICE, "version": VERSION, "endpoints": endpoints })
}
