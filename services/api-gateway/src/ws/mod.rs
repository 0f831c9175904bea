//! `/ws`: what goes on in a session, told as it happens.

mod backlog;
mod connection;
mod counts;
mod frame;
mod hub;
mod news;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use kit::http::{ApiError, not_found};
use kit::trace;
use serde::Deserialize;

use crate::gate::Origin;
use crate::routes::Ways;
use crate::table::{CHAT, Guard};
use crate::tunnels::Tunnels;
use connection::{Endpoint, Guest, serve};
pub(crate) use frame::Topic;
pub(crate) use hub::Hub;
pub(crate) use news::News;

/// Largest frame of a client, in bytes.
const MAX_FRAME_BYTES: usize = 64 * 1024;

#[derive(Debug, Default, Deserialize)]
struct Asked {
    session_id: Option<String>,
}

/// Returns the routes.
pub(crate) fn routes(ways: &Arc<Ways>, tunnels: &Tunnels) -> Router {
    let hub = ways.hub.clone();
    let endpoint = Endpoint { hub: ways.hub.clone(), house: ways.house.clone(), tunnels: tunnels.clone() };
    let stats = get(async move || Json(hub.stats()));
    Router::new()
        .route("/ws", ways.guarded(Guard::Open, get(open).with_state(Arc::new(endpoint))))
        .route("/api/websocket/stats", ways.guarded(Guard::Key(CHAT), stats).fallback(not_found))
}

async fn open(
    State(endpoint): State<Arc<Endpoint>>,
    Extension(origin): Extension<Origin>,
    asked: Result<Query<Asked>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Ok(upgrade) = upgrade else {
        let text = "this is a WebSocket: ask with Upgrade: websocket";
        let mut response = ApiError::new(StatusCode::UPGRADE_REQUIRED, text).code("upgrade_required").into_response();
        // RFC 9110 section 15.5.22.
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Ok(response);
    };
    let (place, entering) = (endpoint.tunnels.place()?, endpoint.tunnels.entrance()?);
    let session = asked.ok().and_then(|Query(asked)| asked.session_id);
    let (guest, tracker) = (
        Guest { session, address: origin.address, opened_by: trace::current(), entering, _place: place },
        endpoint.tunnels.tracker.clone(),
    );
    let upgrade = upgrade.max_message_size(MAX_FRAME_BYTES).max_frame_size(MAX_FRAME_BYTES);
    Ok(upgrade.on_upgrade(move |socket| tracker.track_future(serve(endpoint, socket, guest))))
}
