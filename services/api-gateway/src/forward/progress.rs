//! How far a client's body has come: the service can answer once it has all of it, and a client that sends nothing more is
//! not the service's fault.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

/// When something came last, and whether more is to come. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Mutex<(Instant, bool)>>);

/// What came of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// All was sent so long ago.
    Unanswered,
    /// Nothing was sent for so long, and more was to come.
    Unsent,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, (Instant, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, has_ended: bool) {
        *self.lock() = (Instant::now(), has_ended);
    }

    /// Waits until nothing has happened for so long.
    pub(super) async fn stands_for(&self, patience: Duration) -> Over {
        loop {
            let (last, has_ended) = *self.lock();
            if last + patience <= Instant::now() {
                return if has_ended { Over::Unanswered } else { Over::Unsent };
            }
            tokio::time::sleep_until(last + patience).await;
        }
    }
}

/// A body whose progress is noted.
pub(crate) struct Watched {
    body: Body,
    progress: Progress,
}

impl Watched {
    pub(super) fn new(body: Body) -> (Self, Progress) {
        let progress = Progress(Arc::new(Mutex::new((Instant::now(), body.is_end_stream()))));
        (Self { body, progress: progress.clone() }, progress)
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(frame) = &polled {
            this.progress.note(frame.is_none() || this.body.is_end_stream());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
