//! An HTTP server with limits on headers, connections and time, that drains when it is told to stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::tls::ServerTls;

/// Bounds of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest wait for a request's headers (slow-loris clients), also between requests of one connection.
    pub header_timeout: Duration,
    /// Open connections; more wait in the kernel's queue.
    pub connections: usize,
    /// Longest drain after the stop signal.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_timeout: Duration::from_secs(30), connections: 4096, grace: Duration::from_secs(10) }
    }
}

/// Takes the port at `address`.
///
/// # Errors
/// One sentence that names the address and the cause; the exit code for it is [`crate::exit::SYSTEM`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Serves until `stop`, then lets running requests finish for at most `limits.grace`. Requests carry the client's
/// address as `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    serve_over(listener, None, router, limits, stop).await;
}

/// As [`serve`], over TLS. The certificate is read again while it is served.
pub async fn serve_tls(
    listener: TcpListener,
    tls: &ServerTls,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    tokio::select! {
        () = serve_over(listener, Some(tls.acceptor()), router, limits, stop) => {}
        () = tls.renew_for_ever() => {}
    }
}

async fn serve_over(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let drain = GracefulShutdown::new();
    let builder = Arc::new(builder(limits));
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => place,
        };
        let (stream, client) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors and the like: the condition needs time, not a busy loop.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let _best_effort = stream.set_nodelay(true);
        let (router, watcher) = (router.clone(), drain.watcher());
        let (builder, tls) = (builder.clone(), tls.clone());
        tokio::spawn(async move {
            let patience = limits.header_timeout;
            match tls {
                None => Connection { stream, client, router, watcher }.run(&builder, patience).await,
                Some(tls) => match tokio::time::timeout(patience, tls.accept(stream)).await {
                    Ok(Ok(stream)) => Connection { stream, client, router, watcher }.run(&builder, patience).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS with a client"),
                    Err(_elapsed) => tracing::debug!("no TLS with a client in time"),
                },
            }
            drop(place);
        });
    }
    drop(listener);
    crate::shutdown::within(limits.grace, "open connections", drain.shutdown()).await;
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(64 * 1024);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(limits.header_timeout).max_concurrent_streams(256);
    builder
}

/// One accepted connection.
struct Connection<S> {
    stream: S,
    client: SocketAddr,
    router: Router,
    watcher: Watcher,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<S> {
    /// Serves until either side ends it; cut off if the first request has not begun within `patience`.
    async fn run(self, builder: &auto::Builder<TokioExecutor>, patience: Duration) {
        let Self { stream, client, router, watcher } = self;
        let begun = Arc::new(Notify::new());
        let service = {
            let begun = begun.clone();
            hyper::service::service_fn(move |request| {
                begun.notify_one();
                answer(router.clone(), client, request)
            })
        };
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        // hyper-util's detection of the version has no timeout of its own: a client that sends nothing, or half an
        // HTTP/2 preface, would hold its place for ever.
        let silence = async {
            if tokio::time::timeout(patience, begun.notified()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = watcher.watch(connection) => if let Err(error) = ended {
                tracing::debug!(error, "connection ended");
            },
            () = silence => tracing::debug!("connection cut off: no request in time"),
        }
    }
}

async fn answer(
    router: Router,
    client: SocketAddr,
    mut request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(client));
    router.oneshot(request.map(Body::new)).await
}
