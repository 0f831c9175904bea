//! `/ws`: what goes on in a session, told as it happens.

mod backlog;
mod connection;
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
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::forward::Tunnels;
use crate::gate::Origin;
use crate::routes::Ways;
use crate::table::{CHAT, Guard};
use connection::{Endpoint, Guest, serve};
pub(crate) use frame::Topic;
pub(crate) use hub::Hub;
pub(crate) use news::News;

/// Largest frame of a client, in bytes.
const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Connections that have not said yet who they are, at most.
const ENTERING: usize = 256;
/// The paths, as `METHOD path`.
pub(crate) const ENDPOINTS: [&str; 2] = ["GET /ws", "GET /api/websocket/stats"];

#[derive(Debug, Default, Deserialize)]
struct Asked {
    session_id: Option<String>,
}

/// Returns the routes.
pub(crate) fn routes(ways: &Arc<Ways>, Tunnels { tracker, stop }: &Tunnels) -> Router {
    let (hub, tracker) = (ways.hub.clone(), tracker.clone());
    let endpoint = Arc::new(Endpoint { hub: ways.hub.clone(), house: ways.house.clone(), stop: stop.clone() });
    let entering = Arc::new(Semaphore::new(ENTERING));
    let stats = get(async move || Json(hub.stats()));
    Router::new()
        .route("/ws", ways.guarded(Guard::Open, get(open).with_state((endpoint, tracker, entering))))
        .route("/api/websocket/stats", ways.guarded(Guard::Key(CHAT), stats).fallback(not_found))
}

async fn open(
    State((endpoint, tracker, entering)): State<(Arc<Endpoint>, TaskTracker, Arc<Semaphore>)>,
    Extension(origin): Extension<Origin>,
    asked: Result<Query<Asked>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let text = "this is a WebSocket: ask with Upgrade: websocket";
        let mut response = ApiError::new(StatusCode::UPGRADE_REQUIRED, text).code("upgrade_required").into_response();
        // RFC 9110 section 15.5.22.
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    let Ok(entering) = entering.try_acquire_owned() else {
        let text = "too many are coming in; try again soon";
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).code("busy").into_response();
    };
    let session = asked.ok().and_then(|Query(asked)| asked.session_id);
    let guest = Guest { session, address: origin.address, entering };
    upgrade
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .on_upgrade(move |socket| tracker.track_future(serve(endpoint, socket, guest)))
}
