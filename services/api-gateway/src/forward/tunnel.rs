//! A connection that changes its protocol (RFC 9110 section 7.8): once both sides have agreed, bytes flow both ways until
//! one of them ends, nothing flows for a while, or the gateway stops.

use std::sync::Mutex;
use std::time::Duration;

use axum::http::{HeaderMap, Method, Version, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A tunnel in which nothing flows for so long has lost one of its ends.
const IDLE: Duration = Duration::from_secs(300);
const PIECE_BYTES: usize = 16 * 1024;

/// Returns whether a request asks for a WebSocket (RFC 6455 section 4.1), the one protocol that is passed on.
pub(super) fn is_asked(method: &Method, version: Version, headers: &HeaderMap) -> bool {
    let lists = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    *method == Method::GET
        && version == Version::HTTP_11
        && lists(header::CONNECTION, "upgrade")
        && lists(header::UPGRADE, "websocket")
}

/// Passes bytes on.
pub(super) async fn flow(client: Upgraded, service: Upgraded, stop: CancellationToken) {
    let (client_in, client_out) = split(TokioIo::new(client));
    let (service_in, service_out) = split(TokioIo::new(service));
    let last = Mutex::new(Instant::now());
    let silence = async {
        loop {
            let until = *last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) + IDLE;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    };
    tokio::select! {
        () = async { tokio::join!(pump(client_in, service_out, &last), pump(service_in, client_out, &last)); } => {}
        () = silence => tracing::debug!("a tunnel fell silent"),
        () = stop.cancelled() => {}
    }
}

type Stream = TokioIo<Upgraded>;

async fn pump(mut from: ReadHalf<Stream>, mut to: WriteHalf<Stream>, last: &Mutex<Instant>) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        *last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        if to.write_all(piece.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
    }
    let _gone = to.shutdown().await;
}
