//! Bodies whose size is counted: at once if it is known before, else when the last of it has gone, or nobody wants more.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use prometheus::Histogram;

/// Counts the bytes of a body.
pub(super) fn sized(body: Body, sizes: &Histogram) -> Body {
    match body.size_hint().exact() {
        #[expect(clippy::cast_precision_loss, reason = "no body comes near 2^53 bytes")]
        Some(bytes) => {
            sizes.observe(bytes as f64);
            body
        }
        None => Body::new(Counted { body, bytes: 0.0, sizes: sizes.clone() }),
    }
}

struct Counted {
    body: Body,
    bytes: f64,
    sizes: Histogram,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.sizes.observe(self.bytes);
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            #[expect(clippy::cast_precision_loss, reason = "no frame comes near 2^53 bytes")]
            let bytes = frame.data_ref().map_or(0.0, |data| data.len() as f64);
            self.bytes += bytes;
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
