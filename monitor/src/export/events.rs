//! Live events over SSE (WHATWG HTML, "Server-sent events"): what changed, in one line of JSON.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::select;
use futures_util::{Stream, StreamExt};
use kit::http::ApiError;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, WatchStream};
use uuid::Uuid;

use super::access::Visitor;
use super::shared::Shared;
use crate::alert::Became;

/// Readers at once: pages that stay open. Each costs a connection (of 4096) and wakes at every change.
const MAX_READERS: usize = 256;

static PLACES: Semaphore = Semaphore::const_new(MAX_READERS);

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
    /// An incident opened, changed or ended.
    Incident {
        /// Its id.
        id: Uuid,
        /// The service, if it is about one.
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// `opened`, `changed` or `resolved`.
        state: &'static str,
    },
    /// A person or a channel changed something: an acknowledgement, a silence, what became of a message.
    Alerts,
    /// The doctor found something else than before.
    Findings,
    /// The configuration was reloaded.
    Reloaded,
}

impl Change {
    /// Keeps names and states.
    fn in_names(self) -> Self {
        match self {
            Self::Verdict { service, verdict, .. } => Self::Verdict { service, verdict, why: String::new() },
            change @ (Self::Health { .. } | Self::Incident { .. } | Self::Alerts | Self::Findings | Self::Reloaded) => {
                change
            }
        }
    }
}

impl From<Became> for Change {
    fn from(became: Became) -> Self {
        Self::Incident { id: became.id, service: became.service, state: became.state }
    }
}

/// `GET /api/v1/events`
#[utoipa::path(get, path = "/api/v1/events", tag = "status",
    responses((status = 200, description = "events `hello`, `change` (JSON) and `lagged`", content_type = "text/event-stream"),
        (status = 503, description = "too many live readers")))]
pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let place = take_place(&PLACES)?;
    let sees_details = visitor.sees_details();
    let of_alerts = WatchStream::from_changes(shared.alerts.shown()).map(|_count| Ok(Change::Alerts));
    let changes = select(BroadcastStream::new(shared.changes.subscribe()), of_alerts).map(move |change| {
        // Kept until the reader leaves.
        let _place = &place;
        // A reader that fell behind is told to look at everything anew.
        let event = match change.map(|change| if sees_details { change } else { change.in_names() }) {
            Ok(change) => Event::default().event("change").json_data(&change),
            Err(BroadcastStreamRecvError::Lagged(_)) => Ok(Event::default().event("lagged").data("look anew")),
        };
        Ok(event.unwrap_or_else(|_| Event::default().event("lagged").data("look anew")))
    });
    let hello = futures_util::stream::once(async { Ok(Event::default().event("hello").data("{}")) });
    // An open page must not hold up the end of the monitor, nor see on what it may not see any more.
    let ended = async move {
        tokio::select! {
            () = shared.ended() => {}
            () = visitor.revoked() => {}
        }
    };
    let events = hello.chain(changes).take_until(ended);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn take_place(places: &Semaphore) -> Result<SemaphorePermit<'_>, ApiError> {
    places.try_acquire().map_err(|_none_left| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many live readers").code("too_many_readers")
    })
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn a_reader_too_many_is_refused_until_another_leaves() {
        let places = Semaphore::const_new(2);
        let (first, _second) = (take_place(&places).unwrap(), take_place(&places).unwrap());
        let refused = take_place(&places).unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        assert!(take_place(&places).is_ok());
    }
}
