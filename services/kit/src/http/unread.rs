//! Reads what a handler has left of a request's body, if that is short: a server that answers before it has read everything
//! must hang up, and whoever sends the next request on that connection meanwhile gets no answer (RFC 9112 section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{Version, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use tokio::sync::oneshot;

/// What is read, at most, in bytes: more costs more than another connection.
const MAX_BYTES: usize = 64 * 1024;
/// How long the rest may take; the answer waits for it.
const WITHIN: Duration = Duration::from_secs(1);

/// What a handler will have left.
pub(super) struct Unread(Option<oneshot::Receiver<Body>>);

/// Has the body of a request come back when it is dropped.
pub(super) fn watch(request: Request) -> (Request, Unread) {
    let body = request.body();
    let is_short = !body.is_end_stream() && body.size_hint().lower() <= MAX_BYTES as u64;
    // Whoever asks first whether to send a body at all is not asked for it (RFC 9110 section 10.1.1). HTTP/2 needs none of this.
    if !is_short || request.headers().contains_key(header::EXPECT) || request.version() > Version::HTTP_11 {
        return (request, Unread(None));
    }
    let (back, unread) = oneshot::channel();
    let lent = |body| Body::new(Lent { body, back: Some(back) });
    (request.map(lent), Unread(Some(unread)))
}

impl Unread {
    /// Reads the rest, if nobody does any more.
    pub(super) async fn read(self) {
        let Some(body) = self.0.and_then(|mut unread| unread.try_recv().ok()) else { return };
        let _too_long_or_broken_off = tokio::time::timeout(WITHIN, Limited::new(body, MAX_BYTES).collect()).await;
    }
}

struct Lent {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(back) = self.back.take().filter(|_| !self.body.is_end_stream()) {
            let _nobody_waits = back.send(std::mem::take(&mut self.body));
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
