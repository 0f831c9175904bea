//! An HTTP server with limits on headers, connections and time, that drains when it is told to stop.

use std::convert::Infallible;
use std::io;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::span::OverTls;
use super::tls::ServerTls;
use crate::metrics::Metrics;

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
    let lane = Lane::new(router, None, limits, stop.clone());
    serve_here(lane, Door::new(listener, limits, stop), std::future::ready(())).await;
}

async fn serve_here(lane: Lane, door: Door, outliving: impl Future<Output = ()>) {
    while let Some(accepted) = door.next().await {
        lane.spawn(accepted);
    }
    drop(door);
    lane.drain(outliving).await;
}

/// Makes the routes of one core.
pub type MakeRouter = Arc<dyn Fn() -> Router + Send + Sync>;

/// What is served on each core.
pub struct EachCore<'a> {
    /// Makes its routes.
    pub make: MakeRouter,
    /// Over TLS, if there is a certificate, which is read again while it is served.
    pub tls: Option<&'a ServerTls>,
    /// Has the figures of the cores' runtimes.
    pub metrics: &'a Metrics,
    /// What outlives its request, such as a WebSocket: it is waited for as requests are.
    pub tasks: TaskTracker,
}

/// As [`serve`], on a thread for each processor, with routes of its own: whatever a request waits for is woken where it is
/// served, and no other processor hears of it.
pub async fn serve_each_core(listener: TcpListener, what: EachCore<'_>, limits: Limits, stop: CancellationToken) {
    let EachCore { make, tls, metrics, tasks } = what;
    // Made here: what is wrong with routes ends the program, and not one of its threads.
    let lane = || {
        let (router, tls, stop) = (make(), tls.map(ServerTls::acceptor), stop.clone());
        move || Lane::new(router, tls, limits, stop)
    };
    let start = |core| match start_core(core, lane(), metrics, tasks.clone()) {
        Ok(started) => Some(started),
        Err(error) => {
            tracing::warn!(%error, core, "no thread for a processor");
            None
        }
    };
    let cores: Vec<Core> = (0..std::thread::available_parallelism().map_or(1, usize::from)).filter_map(start).collect();
    let door = Door::new(listener, limits, stop.clone());
    // So that it is over, for who waits, when it is empty.
    tasks.close();
    let serving = async {
        // Without a single thread it is served where this runs.
        if cores.is_empty() { serve_here(lane()(), door, tasks.wait()).await } else { hand_on(door, cores).await }
    };
    let renewing = async {
        match tls {
            Some(tls) => tls.renew_for_ever().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = serving => {}
        () = renewing => {}
    }
}

/// Hands connections to the cores by turns, and waits until all have drained.
async fn hand_on(door: Door, cores: Vec<Core>) {
    for (sender, _) in cores.iter().cycle() {
        let Some(accepted) = door.next().await else { break };
        let _thread_is_gone = sender.send(accepted).await;
    }
    drop(door);
    // All at once: each has the whole grace, and together they have no more.
    let (senders, ends): (Vec<_>, Vec<_>) = cores.into_iter().unzip();
    drop(senders);
    for ended in ends {
        let _thread_is_gone = ended.await;
    }
}

/// What waits for one core to take it, at most.
const UNTAKEN: usize = 64;

type Core = (mpsc::Sender<Accepted>, oneshot::Receiver<()>);

fn start_core(
    number: usize,
    lane: impl FnOnce() -> Lane + Send + 'static,
    metrics: &Metrics,
    tasks: TaskTracker,
) -> io::Result<Core> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    metrics.watch_runtime(runtime.handle());
    let (sender, mut accepted) = mpsc::channel::<Accepted>(UNTAKEN);
    let (ends, ended) = oneshot::channel();
    let serving = async move {
        let lane = lane();
        while let Some(accepted) = accepted.recv().await {
            lane.spawn(accepted);
        }
        lane.drain(tasks.wait()).await;
    };
    let thread = std::thread::Builder::new().name(format!("core-{number}"));
    thread.spawn(move || {
        runtime.block_on(serving);
        let _nobody_waits = ends.send(());
    })?;
    Ok((sender, ended))
}

/// An accepted connection, and its place among those that are open.
struct Accepted {
    stream: std::net::TcpStream,
    client: SocketAddr,
    place: OwnedSemaphorePermit,
}

/// Accepts connections until it is told to stop, as many at once as there are places.
struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Door {
    fn new(listener: TcpListener, limits: Limits, stop: CancellationToken) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(limits.connections)), stop }
    }

    /// Waits for a connection; none when it is time to stop.
    async fn next(&self) -> Option<Accepted> {
        let place = tokio::select! {
            () = self.stop.cancelled() => return None,
            place = self.places.clone().acquire_owned() => place.ok()?,
        };
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted.and_then(|(stream, client)| Ok((stream.into_std()?, client))) {
                Ok((stream, client)) => return Some(Accepted { stream, client, place }),
                Err(error) => {
                    // Out of file descriptors and the like: the condition needs time, not a busy loop.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Where connections are served: in the runtime that it was made in.
struct Lane {
    router: Router,
    tls: Option<TlsAcceptor>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    drain: GracefulShutdown,
    limits: Limits,
    stop: CancellationToken,
}

impl Lane {
    fn new(router: Router, tls: Option<TlsAcceptor>, limits: Limits, stop: CancellationToken) -> Self {
        Self { router, tls, builder: Arc::new(builder(limits)), drain: GracefulShutdown::new(), limits, stop }
    }

    fn spawn(&self, Accepted { stream, client, place }: Accepted) {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "a connection cannot be served"),
        };
        let _best_effort = stream.set_nodelay(true);
        let (router, watcher, patience) = (self.router.clone(), self.drain.watcher(), self.limits.header_timeout);
        let (builder, tls, stop) = (self.builder.clone(), self.tls.clone(), self.stop.clone());
        tokio::spawn(async move {
            let Some(tls) = tls else {
                Connection { stream, client, router, watcher, is_tls: false }.run(&builder, patience).await;
                return drop(place);
            };
            // At a stop nobody waits for who has not asked for anything yet.
            let shaken = stop.run_until_cancelled(tokio::time::timeout(patience, tls.accept(stream)));
            match shaken.await {
                Some(Ok(Ok(stream))) => {
                    Connection { stream, client, router, watcher, is_tls: true }.run(&builder, patience).await;
                }
                Some(Ok(Err(error))) => tracing::debug!(%error, "no TLS with a client"),
                Some(Err(_elapsed)) => tracing::debug!("no TLS with a client in time"),
                None => {}
            }
            drop(place);
        });
    }

    /// Lets running requests finish, and what outlives them; the grace is for both together.
    async fn drain(self, outliving: impl Future<Output = ()>) {
        let ended = async {
            self.drain.shutdown().await;
            outliving.await;
        };
        crate::shutdown::within(self.limits.grace, "open connections", ended).await;
    }
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
    is_tls: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<S> {
    /// Serves until either side ends it; cut off if the first request has not begun within `patience`.
    async fn run(self, builder: &auto::Builder<TokioExecutor>, patience: Duration) {
        let Self { stream, client, router, watcher, is_tls } = self;
        let begun = Arc::new(Notify::new());
        let service = {
            let begun = begun.clone();
            hyper::service::service_fn(move |request| {
                begun.notify_one();
                answer(router.clone(), client, is_tls, request)
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
    is_tls: bool,
    mut request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(client));
    if is_tls {
        request.extensions_mut().insert(OverTls);
    }
    router.oneshot(request.map(Body::new)).await
}
