//! The engine: a checked configuration that runs until it is told to stop.

use std::future::Ready;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::FutureExt;
use jiff::Timestamp;
use kit::config::show_duration;
use kit::health::{Health, Need, READY_PATHS, Shown};
use kit::http::{Limits, serve, with_conventions};
use kit::metrics::{HttpMetrics, Metrics};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::channels::ChannelWorkers;
use super::discoveries::Discoveries;
use super::embedding::Embedding;
use super::pilot::Pilot;
use super::plan::{Plan, Retention};
use super::reload::{Fixed, Reloader, mark_reloaded};
use super::restore::{self, Memory};
use super::turn::{Inbox, Loop};
use super::watch_runtime::WatchRuntime;
use super::{dead_man, examining};
use crate::alert::{AlertFigures, Alerts};
use crate::config::{Config, ConfigError};
use crate::export::{
    Blackbox, ProbeMetrics, Program, Reception, Shared, Visitor, blackbox_router, read_metrics_from, router,
};
use crate::judge::{Board, Verdict};
use crate::probe::{Kinds, Vantage};
use crate::record::{FolderLock, LockError, Stores};
use crate::supervise::launcher::Launcher;
use crate::supervise::{Mode, bucket};

/// Longest time a handler may take; a waiting gate answers within 300 s.
const REQUEST_DEADLINE: Duration = Duration::from_secs(310);
/// Largest request body: nothing that is written is larger.
const BODY_LIMIT_BYTES: usize = 64 * 1024;
/// How long the start waits for earlier history: watching must not wait for a sick disk.
const HISTORY_PATIENCE: Duration = Duration::from_secs(3);
/// Finished probes that wait for the loop, at most; more wait in their own tasks.
const FINISHED_QUEUE: usize = 1024;

/// Called with what readers see and the address that is listened on.
pub type OnReady = Box<dyn FnOnce(Arc<Shared>, SocketAddr) + Send>;

/// How the engine is run.
pub struct Options {
    /// Whether workloads end with the monitor.
    pub mode: Mode,
    /// The program to hold workloads with, if this process's own is not the monitor.
    pub keeper: Option<PathBuf>,
    /// A listener to use instead of the configured address.
    pub listener: Option<TcpListener>,
    /// Is told once everything runs.
    pub ready: Option<OnReady>,
    /// Reads the configuration again.
    pub source: Arc<dyn Fn() -> Config + Send + Sync>,
    /// A turn each time somebody wants that: SIGHUP, or the file has changed.
    pub reload: mpsc::Receiver<()>,
    /// When exits are a loop, and when that is over.
    pub restarts: bucket::Policy,
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
    /// The system has no room for another thread.
    #[error("cannot start the thread that watches")]
    Thread(#[source] std::io::Error),
}

/// A checked configuration, ready to run.
pub struct Engine {
    plan: Plan,
    kinds: Kinds,
    embedding: Embedding,
}

impl Engine {
    /// Checks the configuration as a whole, before anything binds.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn new(config: &Config, kinds: Kinds) -> Result<Self, ConfigError> {
        Ok(Self { plan: Plan::of(config, &kinds)?, kinds, embedding: Embedding::new(Program::MONITOR) })
    }

    /// Has it run as part of a program other than the monitor.
    #[must_use]
    pub fn within(self, embedding: Embedding) -> Self {
        Self { embedding, ..self }
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
        let stores = Stores::open_joining(&self.plan.data_dir, &restore::KINDS, restore::join).await?;
        // If it cannot be read now, the writer tries again before it writes anything.
        let _said_already = tokio::time::timeout(HISTORY_PATIENCE, stores.history.load()).await;
        stores.rename(&self.plan.renames()).await;
        let watching = WatchRuntime::new().map_err(StartError::Thread)?;
        let vantage = Vantage::of_system().map_err(|error| StartError::Resolver(Box::new(error)))?;
        let listener = listen(options.listener, self.plan.listen).await?;
        let address = listener.local_addr().unwrap_or(self.plan.listen);
        let beside = match &self.plan.blackbox {
            Some(blackbox) => Some(listen(None, blackbox.listen).await?),
            None => None,
        };
        let memory = Memory::read(&stores.state, options.restarts).await;
        let cursor_key = restore::cursor_key(&memory, &stores.state);
        let link_key = restore::link_key(&memory, &stores.state);
        let Embedding { program, metrics, observer } = self.embedding;
        let alerts = Alerts::new(stores.state.clone(), &link_key, AlertFigures::new(&metrics));
        let alerts = Arc::new(alerts.with_history(stores.history.clone()));
        let remembering = restore::alerts(alerts.clone()).await;
        let reception = Arc::new(Reception::new(stores.state.clone(), address));
        reception.configure(&self.plan.access, self.plan.alerts.public_url.as_deref());
        restore::sessions(&reception).await;
        // Numbers of an earlier monitor stay below ours: microseconds since the epoch outrun any count of events.
        let sequence = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        let (shared, wishes) = Shared::new(
            Board::starting_at(sequence),
            stores.clone(),
            alerts.clone(),
            Arc::new(vantage),
            ProbeMetrics::new(&metrics),
            cursor_key,
        );
        read_metrics_from(&metrics, &shared);
        mark_reloaded(&shared, true);
        shared.first_seen.store(Arc::new(memory.first_seen()));
        let (events, happened) = mpsc::channel(256);
        let (finished_sender, finished) = mpsc::channel(FINISHED_QUEUE);
        let launcher = Launcher::new(self.plan.data_dir.clone(), options.mode);
        let launcher = match options.keeper {
            Some(program) => launcher.with_program(program),
            None => launcher,
        };
        let pilot = Pilot::new(launcher, events);
        let mut discoveries = Discoveries::restored(&self.plan, &memory);
        let workers = ChannelWorkers::new(alerts);
        let pinging = tokio::spawn(dead_man::run(shared.clone()));
        let mut turning = Loop::new(shared.clone(), observer, memory, pilot, workers, finished_sender, max_running());
        let mut plan = self.plan.with_found(discoveries.found(), &self.kinds);
        discoveries.tell(&mut plan);
        turning.configure(&plan);
        discoveries.configure(&self.plan, &stores.state);
        let (doctor, wanted) = watch::channel(self.plan.doctor.clone());
        let examining = tokio::spawn(examining::run(shared.clone(), self.plan.data_dir.clone(), wanted));

        let (plans, planned) = mpsc::channel(1);
        let writers = CancellationToken::new();
        let writing = spawn_writers(&stores, self.plan.retention, &writers);
        let serving = guarded(
            "the API",
            serve(listener, routes(&shared, program, &metrics, reception.clone()), Limits::default(), stop.clone()),
        );
        let blackbox = self
            .plan
            .blackbox
            .clone()
            .map(|settings| Blackbox::new(settings, shared.clone(), reception.clone(), program.version));
        let standing_in = blackbox.clone().zip(beside).map(|(blackbox, listener)| {
            let serving = serve(listener, blackbox_router(blackbox), Limits::default(), stop.clone());
            guarded("the stand-in for blackbox_exporter", serving)
        });
        let fixed = Fixed::of(&self.plan);
        let reloader = Reloader {
            shared: shared.clone(),
            reception,
            blackbox,
            kinds: self.kinds,
            source: options.source,
            plans,
            fixed,
            file: self.plan,
            discoveries,
            doctor,
        };
        let reloading = tokio::spawn(reloader.run(options.reload, wishes.reloads));
        if let Some(ready) = options.ready {
            ready(shared.clone(), address);
        }
        let inbox = Inbox { finished, events: happened, asked: wishes.asked, plans: planned };
        watching.run(turning.run(inbox, stop.clone())).await;
        reloading.abort();
        remembering.abort();
        pinging.abort();
        examining.abort();
        kit::shutdown::within(Limits::default().grace, "the API", async {
            let _panicked = serving.await;
            if let Some(standing_in) = standing_in {
                let _panicked = standing_in.await;
            }
        })
        .await;
        writers.cancel();
        kit::shutdown::within(Duration::from_secs(30), "the last writes", async {
            for task in writing {
                let _panicked = task.await;
            }
        })
        .await;
        kit::shutdown::within(Duration::from_secs(10), "closing the databases", stores.close()).await;
        Ok(())
    }
}

async fn listen(given: Option<TcpListener>, address: SocketAddr) -> Result<TcpListener, StartError> {
    match given {
        Some(listener) => Ok(listener),
        None => TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source }),
    }
}

/// A daemon whose API or writer has broken must not look as if it worked: it ends, and whoever runs it starts it again.
fn guarded(what: &'static str, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            tracing::error!("{what} broke; ending, so that it is started again");
            std::process::exit(i32::from(kit::exit::SOFTWARE));
        }
    })
}

fn spawn_writers(stores: &Stores, keep: Retention, stop: &CancellationToken) -> [tokio::task::JoinHandle<()>; 3] {
    let (history, state) = (stores.history.clone(), stores.state.clone());
    let tended = state.clone();
    let [until, until_too, until_as_well] = std::array::from_fn(|_| stop.clone());
    let keep = (keep.raw, keep.minutes, keep.hours);
    [
        guarded("the history writer", async move { history.run(keep, until).await }),
        guarded("the state writer", async move { state.run(until_too).await }),
        guarded("the upkeep", async move { tended.tend(until_as_well).await }),
    ]
}

fn routes(shared: &Arc<Shared>, program: Program, metrics: &Metrics, reception: Arc<Reception>) -> Router {
    let health = health(shared, program);
    health.report_to(metrics);
    let mut beside = health.live_routes().merge(metrics.routes());
    for path in READY_PATHS {
        beside = beside.route(path, get(answer_health(&health, false)));
    }
    beside = beside.route("/health", get(answer_health(&health, true)));
    let router = router(shared.clone(), reception, beside);
    with_conventions(router, HttpMetrics::new(metrics, program.name), REQUEST_DEADLINE, BODY_LIMIT_BYTES)
        .layer(Extension(program))
}

/// What fails is everybody's to know; why, only for whoever sees addresses and paths elsewhere too.
fn answer_health(health: &Health, has_details: bool) -> impl Fn(Visitor) -> Ready<Response> + Clone + use<> {
    let health = health.clone();
    move |visitor: Visitor| {
        let shown = Shown { reasons: visitor.sees_details(), details: has_details && visitor.sees_names() };
        std::future::ready(health.answer(shown))
    }
}

/// The monitor's own health: its loop turns and its stores are written. What it watches is details, not health.
fn health(shared: &Arc<Shared>, program: Program) -> Health {
    // Metrics hold it, and what is shared holds metrics.
    let [state, details] = std::array::from_fn(|_| Arc::downgrade(shared));
    let refresh = move |health: &Health| {
        let Some(state) = state.upgrade() else { return };
        let stands = state.figures.stands_since();
        let turns = stands.map_or(Ok(()), |idle| Err(format!("its loop stands since {}", show_duration(idle))));
        health.set("loop", Need::Hard, turns);
        let figures = [("history", &state.stores.history.figures), ("state", &state.stores.state.figures)];
        for (store, figures) in figures {
            health.set(store, Need::Soft, figures.error().map_or(Ok(()), Err));
        }
    };
    Health::new(program.name, program.version).with_refresh(refresh).with_details(move || {
        let Some(details) = details.upgrade() else { return serde_json::Map::new() };
        let board = details.board();
        let works = |verdict| matches!(verdict, Verdict::Up | Verdict::Degraded | Verdict::Completed);
        let services = board.wholes();
        let services: serde_json::Map<String, serde_json::Value> =
            services.map(|service| (service.spec.name.to_string(), u8::from(works(service.verdict)).into())).collect();
        [("services".to_owned(), services.into())].into_iter().collect()
    })
}

/// Raises the limit of open files to what the system allows, and returns how many probes may run at once: each may hold
/// two sockets, and the rest of the daemon needs some.
fn max_running() -> usize {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 256 };
    let _keep_what_we_have = setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 20), hard);
    let now = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(now.saturating_sub(256) / 2).unwrap_or(256).clamp(64, 20_000)
}
