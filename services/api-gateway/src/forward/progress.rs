//! Whose turn it is while a client's body flows to a service: a client that sends nothing more is not the service's fault,
//! and a service that takes nothing is not the client's.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

/// Who is waited for. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Mutex<Turn>>);

/// Whose turn it is: the client's only once the service has asked for more than there is.
#[derive(Debug, Clone, Copy)]
struct Turn {
    since: Instant,
    of_client: bool,
}

/// What came of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The service has neither taken more nor answered for so long.
    Unanswered,
    /// The client has sent nothing for so long, and more was to come.
    Unsent,
}

impl Progress {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Turn { since: Instant::now(), of_client: false })))
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, of_client: bool) {
        let mut turn = self.turn();
        // Whoever looks again at a client that is silent gives it no more time.
        if !(turn.of_client && of_client) {
            *turn = Turn { since: Instant::now(), of_client };
        }
    }

    /// Waits until nothing has happened for so long.
    pub(super) async fn stands_for(&self, patience: Duration) -> Over {
        loop {
            let Turn { since, of_client } = *self.turn();
            if since + patience <= Instant::now() {
                return if of_client { Over::Unsent } else { Over::Unanswered };
            }
            tokio::time::sleep_until(since + patience).await;
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
        let progress = Progress::new();
        (Self { body, progress: progress.clone() }, progress)
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        this.progress.note(polled.is_pending());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, StreamExt};
    use http_body_util::BodyExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    /// A client that sends a piece after each of these pauses, in milliseconds, and then nothing more.
    fn client(pauses_ms: &'static [u64]) -> Body {
        let pieces = stream::iter(pauses_ms).then(async |pause_ms| {
            tokio::time::sleep(Duration::from_millis(*pause_ms)).await;
            Ok::<_, std::io::Error>("piece")
        });
        Body::from_stream(pieces.chain(stream::pending()))
    }

    /// Says what comes of waiting, and after how many milliseconds, if the service takes the first `taken` pieces and looks
    /// for another one every 300 ms from then on, or never.
    async fn waited(body: Body, taken: usize, looks_on: bool) -> (Over, u128) {
        let (mut body, progress) = Watched::new(body);
        let began = Instant::now();
        let service = async {
            for _piece in 0..taken {
                body.frame().await.unwrap().unwrap();
            }
            if !looks_on {
                return std::future::pending().await;
            }
            loop {
                let _nothing_yet = tokio::time::timeout(Duration::from_millis(300), body.frame()).await;
            }
        };
        tokio::select! {
            over = progress.stands_for(PATIENCE) => (over, began.elapsed().as_millis()),
            never = service => never,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_takes_nothing_is_to_blame_and_a_client_that_sends_nothing_is() {
        for (pauses_ms, taken, looks_on, expected) in [
            (&[][..], 0, false, (Over::Unanswered, 1000)),
            (&[0, 0], 1, false, (Over::Unanswered, 1000)),
            (&[], 0, true, (Over::Unsent, 1000)),
            (&[600, 600, 600, 600], 4, true, (Over::Unsent, 3400)),
            (&[600, 600, 600, 600], 3, false, (Over::Unanswered, 2800)),
        ] {
            assert_eq!(waited(client(pauses_ms), taken, looks_on).await, expected, "{pauses_ms:?} {taken} {looks_on}");
        }
        let (over, _) = waited(Body::from("whole"), 1, false).await;
        assert_eq!(over, Over::Unanswered, "all was sent");
    }
}
