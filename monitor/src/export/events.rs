//! Live events over SSE (WHATWG HTML, "Server-sent events"): what changed, in one line of JSON.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio_stream::wrappers::BroadcastStream;

use super::shared::Shared;

/// Something readers may want to redraw.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Change {
    /// A service's verdict changed.
    Verdict {
        /// The service.
        service: String,
        /// The new verdict's word.
        verdict: &'static str,
        /// Why.
        why: String,
    },
    /// A check's health changed.
    Health {
        /// The service.
        service: String,
        /// The check.
        check: String,
        /// The new health's word.
        health: &'static str,
    },
    /// The configuration was reloaded.
    Reloaded,
}

/// `GET /api/v1/events`
#[utoipa::path(get, path = "/api/v1/events", tag = "status",
    responses((status = 200, description = "events `hello`, `change` (JSON) and `lagged`", content_type = "text/event-stream")))]
pub(super) async fn stream(State(shared): State<Arc<Shared>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = BroadcastStream::new(shared.changes.subscribe()).map(|change| {
        // A reader that fell behind is told to look at everything anew.
        let event = match change {
            Ok(change) => Event::default().event("change").json_data(&change),
            Err(_lagged) => Ok(Event::default().event("lagged").data("look anew")),
        };
        Ok(event.unwrap_or_else(|_| Event::default().event("lagged").data("look anew")))
    });
    let hello = futures_util::stream::once(async { Ok(Event::default().event("hello").data("{}")) });
    // An open page must not hold up the end of the monitor.
    let ended = async move { shared.ended().await };
    Sse::new(hello.chain(changes).take_until(ended)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}
