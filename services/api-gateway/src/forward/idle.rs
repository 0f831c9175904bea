//! A body that fails when its source falls silent, so that a stuck peer does not hold a connection for ever.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

/// Passes frames on as they come; ends with an error after `patience` without one. Only time in which the reader waits
/// counts: a slow reader is not the source's fault.
pub(crate) struct Idle {
    body: Incoming,
    patience: Duration,
    silence: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    /// Watches over `body`.
    pub(crate) fn new(body: Incoming, patience: Duration) -> Self {
        Self { body, patience, silence: None }
    }
}

impl Body for Idle {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.silence = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let silence = this.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.patience)));
        ready!(silence.as_mut().poll(cx));
        tracing::warn!(patience_ms = this.patience.as_millis(), "the answer of a service fell silent");
        Poll::Ready(Some(Err("the answer fell silent".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
