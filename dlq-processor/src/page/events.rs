//! Live events over SSE (WHATWG HTML, "Server-sent events"): that something changed, and not what; pages look anew then.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{once, unfold};
use futures_util::{Stream, StreamExt};
use kit::http::ApiError;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::Pages;
use super::moment::Passer;

/// Readers at once: pages that stay open. Each costs a connection (of 4096) and wakes at every change.
const MAX_READERS: usize = 256;
/// Between two signs of life.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

static PLACES: Semaphore = Semaphore::const_new(MAX_READERS);

/// Tells pages that there is something new. Cheap to clone.
#[derive(Clone)]
pub(crate) struct News {
    changes: Arc<watch::Sender<u64>>,
    ended: CancellationToken,
}

impl News {
    /// An open page does not hold up the end of the daemon, which is when `ended` is.
    pub(crate) fn new(ended: CancellationToken) -> Self {
        Self { changes: Arc::new(watch::Sender::new(0)), ended }
    }

    /// Tells them.
    pub(crate) fn tell(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

/// `GET /api/v1/events`: `hello`, and `change` again and again.
pub(super) async fn stream(
    State(Pages { news, .. }): State<Pages>,
    Passer(_moment): Passer,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let place = PLACES.try_acquire().map_err(|_none_left| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many live readers").code("too_many_readers")
    })?;
    // The place is kept until the reader leaves.
    let changes = unfold((news.changes.subscribe(), place), async |(mut changes, place)| {
        changes.changed().await.ok()?;
        Some((Ok(Event::default().event("change").data("{}")), (changes, place)))
    });
    let hello = once(async { Ok(Event::default().event("hello").data("{}")) });
    let events = hello.chain(changes).take_until(news.ended.cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}
