//! What the gateway offers: `GET /`, and the list in every 404.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::{SERVICE, VERSION};

/// The route `/`; `endpoints` are all, as `METHOD path`.
pub(crate) fn routes(endpoints: &Arc<[String]>) -> Router {
    let about = about(endpoints);
    Router::new().route("/", get(async || Json(about)))
}

fn about(endpoints: &[String]) -> Value {
    let named = json!({
        "health": "/api/health",
        "liveness": "/livez",
        "readiness": "/readyz",
        "metrics": "/metrics",
        "description": "/openapi.json",
        "airtable": "/api/airtable/*",
        "profile": "/api/v1/users/profile",
    });
    json!({ "service": SERVICE, "version": VERSION, "endpoints": named, "paths": endpoints })
}
