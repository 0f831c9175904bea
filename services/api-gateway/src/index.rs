//! What the gateway offers: `GET /`, and the list in every 404.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::{SERVICE, VERSION};
use crate::table::ROWS;
use crate::{chat, ws};

/// What is answered here, as `METHOD path`.
const OWN: [&str; 7] =
    ["GET /", "GET /api/health", "GET /health", "GET /livez", "GET /readyz", "GET /metrics", "GET /openapi.json"];

/// Returns every path, as `METHOD path`.
pub(crate) fn endpoints() -> Arc<[String]> {
    let own = OWN.into_iter().chain(chat::ENDPOINTS).chain(ws::ENDPOINTS).map(str::to_owned);
    own.chain(ROWS.iter().map(|row| format!("{} {}", row.method, row.path.replace("{*path}", "{path}")))).collect()
}

/// The route `/`.
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
