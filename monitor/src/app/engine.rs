//! The engine: a checked configuration that runs until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use kit::health::{Health, Need};
use kit::http::{Limits, serve, with_conventions};
use kit::metrics::{HttpMetrics, Metrics};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::pilot::Pilot;
use super::plan::{Plan, Retention};
use super::restore::Memory;
use super::turn::{Inbox, Loop};
use crate::config::{Config, ConfigError};
use crate::export::{ProbeMetrics, Shared, router};
use crate::judge::Board;
use crate::probe::{Kinds, Vantage};
use crate::record::{FolderLock, LockError, Stores};
use crate::supervise::Mode;
use crate::supervise::launcher::Launcher;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Longest time a handler may take; a waiting gate answers within 300 s.
const REQUEST_DEADLINE: Duration = Duration::from_secs(310);
/// Largest request body: nothing that is written is larger.
const BODY_LIMIT_BYTES: usize = 64 * 1024;
/// Finished probes that wait for the loop, at most; more wait in their own tasks.
const FINISHED_QUEUE: usize = 1024;

/// How the engine is run.
pub struct Options {
    /// Whether workloads end with the monitor.
    pub mode: Mode,
    /// A listener to use instead of the configured address.
    pub listener: Option<TcpListener>,
    /// Is told once everything runs.
    pub ready: Option<Box<dyn FnOnce(Arc<Shared>, SocketAddr) + Send>>,
    /// New configurations, read again by whoever watches the file.
    pub reloads: mpsc::Receiver<Config>,
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder is not ours or cannot be used.
    #[error(transparent)]
    Folder(#[from] LockError),
    /// A later program wrote the data.
    #[error(transparent)]
    Data(#[from] kit::db::OpenError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The system's resolver configuration cannot be read.
    #[error("cannot read the resolver configuration")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A checked configuration, ready to run.
pub struct Engine {
    plan: Plan,
    kinds: Kinds,
}

impl Engine {
    /// Checks the configuration as a whole, before anything binds.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn new(config: &Config, kinds: Kinds) -> Result<Self, ConfigError> {
        Ok(Self { plan: Plan::of(config, &kinds)?, kinds })
    }

    /// Returns what is planned.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs until `stop`, then drains.
    ///
    /// # Errors
    /// Only before anything was started.
    pub async fn run(self, options: Options, stop: CancellationToken) -> Result<(), StartError> {
        let _lock = FolderLock::take(&self.plan.data_dir)?;
        let stores = Stores::open(&self.plan.data_dir).await?;
        let vantage = Vantage::of_system().map_err(|error| StartError::Resolver(Box::new(error)))?;
        let listener = listen(options.listener, self.plan.listen).await?;
        let address = listener.local_addr().unwrap_or(self.plan.listen);
        let metrics = Metrics::new("monitor", VERSION);
        // Numbers of an earlier monitor stay below ours: microseconds since the epoch outrun any count of events.
        let sequence = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        let (shared, asked) =
            Shared::new(Board::starting_at(sequence), stores.clone(), Arc::new(vantage), ProbeMetrics::new(&metrics));
        shared.metrics.read_from(&shared);
        mark_reloaded(&shared, true);
        let memory = Memory::read(stores.state.store()).await;
        let (events, happened) = mpsc::channel(256);
        let (finished_sender, finished) = mpsc::channel(FINISHED_QUEUE);
        let pilot = Pilot::new(Launcher::new(self.plan.data_dir.clone(), options.mode), events);
        let mut turning = Loop::new(shared.clone(), memory, pilot, finished_sender, max_running());
        turning.configure(&self.plan).await;

        let (plans, planned) = mpsc::channel(1);
        let writers = CancellationToken::new();
        let writing = spawn_writers(&stores, self.plan.retention, &writers);
        let serving = tokio::spawn(serve(listener, routes(&shared, &metrics), Limits::default(), stop.clone()));
        let reloading = tokio::spawn(reload(shared.clone(), self.kinds, options.reloads, plans));
        if let Some(ready) = options.ready {
            ready(shared.clone(), address);
        }
        turning.run(Inbox { finished, events: happened, asked, plans: planned }, stop.clone()).await;
        reloading.abort();
        kit::shutdown::within(Limits::default().grace, "the API", async {
            let _panicked = serving.await;
        })
        .await;
        writers.cancel();
        kit::shutdown::within(Duration::from_secs(30), "the last writes", async {
            for task in writing {
                let _panicked = task.await;
            }
        })
        .await;
        Ok(())
    }
}

async fn listen(given: Option<TcpListener>, address: SocketAddr) -> Result<TcpListener, StartError> {
    match given {
        Some(listener) => Ok(listener),
        None => TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source }),
    }
}

fn spawn_writers(stores: &Stores, keep: Retention, stop: &CancellationToken) -> [tokio::task::JoinHandle<()>; 2] {
    let (history, state) = (stores.history.clone(), stores.state.clone());
    let (until, until_too) = (stop.clone(), stop.clone());
    let keep = (keep.raw, keep.minutes, keep.hours);
    [
        tokio::spawn(async move { history.run(keep, until).await }),
        tokio::spawn(async move { state.run(until_too).await }),
    ]
}

fn routes(shared: &Arc<Shared>, metrics: &Metrics) -> Router {
    let health = health(shared);
    let router = router(shared.clone()).merge(health.routes()).merge(health.detailed_route()).merge(metrics.routes());
    with_conventions(router, HttpMetrics::new(metrics, "monitor"), REQUEST_DEADLINE, BODY_LIMIT_BYTES)
}

/// The monitor's own health: its loop turns and its stores are written. What it watches is details, not health.
fn health(shared: &Arc<Shared>) -> Health {
    let health = Health::new("monitor", VERSION);
    let (own, shared) = (health.clone(), shared.clone());
    health.with_details(move || {
        let figures = [("history", &shared.stores.history.figures), ("state", &shared.stores.state.figures)];
        for (store, figures) in figures {
            own.set(store, Need::Soft, figures.error().map_or(Ok(()), Err));
        }
        let services = shared.board();
        let works = |verdict| {
            matches!(
                verdict,
                crate::judge::Verdict::Up | crate::judge::Verdict::Degraded | crate::judge::Verdict::Completed
            )
        };
        let services: serde_json::Map<String, serde_json::Value> = services
            .services()
            .iter()
            .map(|service| (service.spec.name.to_string(), u8::from(works(service.verdict)).into()))
            .collect();
        [("services".to_owned(), services.into())].into_iter().collect()
    })
}

/// Checks every configuration that is read again; a bad one changes nothing and is visible.
async fn reload(shared: Arc<Shared>, kinds: Kinds, mut configs: mpsc::Receiver<Config>, plans: mpsc::Sender<Plan>) {
    while let Some(config) = configs.recv().await {
        match Plan::of(&config, &kinds).map_err(|error| error.to_string()).and_then(|plan| is_safe(&shared, plan)) {
            Ok(plan) => {
                mark_reloaded(&shared, true);
                tracing::info!(services = plan.services.len(), "configuration reloaded");
                if plans.send(plan).await.is_err() {
                    return;
                }
            }
            Err(message) => {
                mark_reloaded(&shared, false);
                tracing::error!(mistakes = message, "the configuration on disk is not taken; the old one goes on");
            }
        }
    }
}

/// Refuses a reload that would silently stop watching: an empty folder is more likely an accident than a wish.
fn is_safe(shared: &Shared, plan: Plan) -> Result<Plan, String> {
    let board = shared.board();
    let before = board.services();
    let dropped: Vec<&str> =
        before.iter().map(|service| &*service.spec.name).filter(|name| plan.service(name).is_none()).collect();
    // DESIGN section 10: over 30 % of the services, or one that is broken now.
    let broken = before.iter().find(|service| service.verdict.is_bad() && dropped.contains(&&*service.spec.name));
    if let Some(broken) = broken {
        return Err(format!(
            "it would drop {:?}, which is {} now; restart the monitor to drop it",
            broken.spec.name,
            broken.verdict.as_str()
        ));
    }
    if dropped.len() * 10 > before.len() * 3 {
        let list = dropped.join(", ");
        return Err(format!(
            "it would drop {} of {} services ({list}); restart the monitor to drop them",
            dropped.len(),
            before.len()
        ));
    }
    Ok(plan)
}

fn mark_reloaded(shared: &Shared, ok: bool) {
    use std::sync::atomic::Ordering::Relaxed;
    shared.figures.reload_ok.store(ok, Relaxed);
    if ok {
        shared.figures.reloaded_secs.store(Timestamp::now().as_second(), Relaxed);
    }
}

/// Raises the limit of open files to what the system allows, and returns how many probes may run at once: each may hold
/// two sockets, and the rest of the daemon needs some.
fn max_running() -> usize {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 256 };
    let _keep_what_we_have = setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 20), hard);
    let now = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(now.saturating_sub(256) / 2).unwrap_or(256).clamp(64, 20_000)
}
