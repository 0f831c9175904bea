//! Puts the daemon together: it listens at once, whatever is away, and gets to work as soon as its ledger is there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use jiff::Timestamp;
use kit::backoff::Backoff;
use kit::chain::Chain;
use kit::health::{Health, Need};
use kit::http::{Limits, serve, with_conventions};
use kit::metrics::{HttpMetrics, Metrics};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::alarm::{Alarm, Facts, LedgerFacts, WaitingFacts};
use crate::api::Api;
use crate::engine::{Engine, Working, carry_out_plans, let_go};
use crate::figures::Figures;
use crate::lease::Lease;
use crate::ledger::{Holder, Ledger, Numbers};
use crate::openapi::description;
use crate::page::{News, Pages};
use crate::reload::{Read, Reloader, hangups};
use crate::settings::{InForce, Settings, SourceSettings};
use crate::storm::Bucket;

/// The name in answers and metrics.
pub(crate) const SERVICE: &str = "dlq-processor";
/// The version in answers and metrics.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Its name in health.
const LEDGER: &str = "ledger";
/// As is whether it may act.
const LEASE: &str = "lease";
/// Between tries to open a ledger that is away.
const RETRY: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };
/// Between two counts of what the ledger holds.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Between two looks at how sources are.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long the ledger may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// Longest time of a handler.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// Longest body, in bytes.
const BODY_BYTES: usize = 1 << 20;

/// The daemon.
pub(crate) struct Daemon {
    settings: Arc<Settings>,
    figures: Figures,
    health: Health,
    metrics: Metrics,
    /// Once it is open.
    ledger: Arc<OnceLock<Ledger>>,
    /// Whether the ledger is as large as it may be.
    is_full: Arc<AtomicBool>,
    /// How large it is, in bytes; 0 before it was looked at.
    ledger_bytes: AtomicU64,
    /// What is at work.
    working: Working,
    /// What pages are told.
    news: News,
    /// Whom to tell of what people must know, if there is somebody.
    alarm: Option<Alarm>,
    /// What decides.
    policy: InForce,
    /// What has another policy decide.
    reloader: Arc<Reloader>,
    /// As whom this one acts, while it does.
    holder: Mutex<Option<Holder>>,
}

/// Serves on `listener` and works until `stop`; `read` reads the configuration again.
pub(crate) async fn run(listener: TcpListener, settings: Settings, read: Read, stop: CancellationToken) {
    let (daemon, hangups) = (Daemon::new(settings, read, &stop), hangups());
    let router = daemon.router();
    tracing::info!(address = %daemon.settings.listen, version = VERSION, "listening");
    let working = async {
        tokio::select! {
            () = daemon.work() => {}
            () = daemon.reloader.reload_on_hangup(hangups, &daemon.ledger) => {}
            () = stop.cancelled() => {}
        }
    };
    tokio::join!(serve(listener, router, Limits::default(), stop.clone()), working);
    if let Some(ledger) = daemon.ledger.get() {
        let holder = daemon.holder.lock().unwrap_or_else(PoisonError::into_inner).take();
        let closing = async {
            if let Some(holder) = holder {
                let _it_runs_out = ledger.give_back(&holder).await;
            }
            ledger.close().await;
        };
        let _too_late = tokio::time::timeout(CLOSE_WITHIN, closing).await;
    }
    tracing::info!("stopped");
}

impl Daemon {
    /// One that has not begun; its pages end with `stop`.
    pub(crate) fn new(settings: Settings, read: Read, stop: &CancellationToken) -> Self {
        let metrics = Metrics::new(SERVICE, VERSION);
        let health = Health::new(SERVICE, VERSION);
        health.set(LEDGER, Need::Hard, Err("not opened yet".to_owned()));
        health.report_to(&metrics);
        let figures = Figures::new(&metrics, settings.max_ledger);
        let (policy, settings) = (InForce::new(settings.policy.clone()), Arc::new(settings));
        let alarm = settings
            .monitor
            .clone()
            .map(|monitor| Alarm::new(monitor, &settings.data_dir, &metrics, figures.untold.clone()));
        let reloader = Reloader::new(read, settings.clone(), policy.clone(), figures.reloads.clone());
        Self {
            settings,
            figures,
            health,
            metrics,
            ledger: Arc::default(),
            is_full: Arc::default(),
            ledger_bytes: AtomicU64::default(),
            working: Working::default(),
            news: News::new(stop.clone()),
            alarm,
            policy,
            reloader: Arc::new(reloader),
            holder: Mutex::default(),
        }
    }

    pub(crate) fn router(&self) -> Router {
        let metrics = &self.metrics;
        let (settings, reloader) = (self.settings.clone(), self.reloader.clone());
        let api = Api::new(settings, self.ledger.clone(), self.working.clone(), reloader);
        let routes = self
            .health
            .routes()
            .merge(self.health.detailed_route())
            .merge(metrics.routes())
            .merge(description().routes())
            .merge(api.clone().routes())
            .merge(Pages::new(api, self.news.clone()).routes());
        with_conventions(routes, HttpMetrics::new(metrics, SERVICE), REQUEST_DEADLINE, BODY_BYTES)
    }

    /// Cancel safe: what was written and not done is done at the next start.
    async fn work(&self) {
        let opened = self.open().await;
        let ledger = self.ledger.get_or_init(|| opened);
        tokio::join!(self.count(ledger), self.lead_for_ever(ledger));
    }

    /// Acts whenever it may: of all daemons that share a ledger one does, and the others wait to take over.
    async fn lead_for_ever(&self, ledger: &Ledger) {
        let mut lease = Lease::new(ledger.clone(), &self.settings.ledger);
        self.figures.lease_held.set(0);
        loop {
            let waits = |why: String| {
                self.working.wait(why.clone());
                self.health.set(LEASE, Need::Soft, Err(why));
            };
            let holder = lease.take(waits).await;
            self.health.set(LEASE, Need::Soft, Ok(()));
            self.figures.lease_held.set(1);
            tracing::info!(epoch = holder.epoch, "acting");
            self.note_holder(Some(holder.clone()));
            let held = ledger.held_by(holder.clone());
            tokio::select! {
                () = self.lead(&held, holder.epoch) => {}
                why = lease.keep(&holder) => {
                    tracing::warn!("{why}; waiting for the lease");
                    self.health.set(LEASE, Need::Soft, Err(why.to_owned()));
                }
            }
            // Whoever acts now knows how they are.
            for SourceSettings { name, .. } in &self.settings.sources {
                self.health.forget(&of_source(name));
                self.health.forget(&of_redriving(name));
            }
            self.figures.forget_sources();
            self.working.set(Vec::new());
            self.note_holder(None);
            self.figures.lease_held.set(0);
        }
    }

    fn note_holder(&self, holder: Option<Holder>) {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = holder;
    }

    async fn lead(&self, ledger: &Ledger, epoch: i64) {
        let now_ms = Timestamp::now().as_millisecond();
        let rate = Arc::new(Mutex::new(Bucket::new(self.settings.rate, self.settings.rate, now_ms)));
        let engine = |settings: &SourceSettings| {
            settings.source.lead(epoch);
            Engine::new(
                settings,
                self.settings.clone(),
                self.policy.clone(),
                ledger.clone(),
                self.figures.clone(),
                rate.clone(),
                self.is_full.clone(),
            )
        };
        let engines: Vec<Arc<Engine>> = self.settings.sources.iter().map(engine).map(Arc::new).collect();
        self.working.set(engines.clone());
        self.news.tell();
        tokio::join!(
            join_all(engines.iter().cloned().map(Engine::run)),
            self.report(&engines),
            self.tell(ledger, &engines),
            carry_out_plans(ledger),
            let_go(ledger, &self.settings.retention, &engines)
        );
    }

    /// Tells the monitor, if there is one.
    async fn tell(&self, ledger: &Ledger, engines: &[Arc<Engine>]) {
        if let Some(alarm) = &self.alarm {
            alarm.tell_for_ever(ledger, || self.facts(engines)).await;
        }
    }

    fn facts(&self, engines: &[Arc<Engine>]) -> Facts {
        let bytes = self.ledger_bytes.load(Ordering::Relaxed);
        let ledger = (bytes > 0).then_some(LedgerFacts { bytes, most_bytes: self.settings.max_ledger });
        let waiting = self.figures.counted().map(|(numbers, at_ms)| WaitingFacts::of(&numbers, at_ms));
        Facts { sources: engines.iter().map(|engine| engine.facts()).collect(), ledger, waiting }
    }

    async fn open(&self) -> Ledger {
        let mut failures = 0;
        loop {
            match Ledger::open(&self.settings.ledger).await {
                Ok(ledger) => return ledger,
                Err(error) => {
                    let why = Chain(&error).to_string();
                    if failures == 0 {
                        tracing::warn!(error = why, "the ledger cannot be opened yet");
                    }
                    failures += 1;
                    self.health.set(LEDGER, Need::Hard, Err(why));
                    tokio::time::sleep(RETRY.delay(failures, rand::random())).await;
                }
            }
        }
    }

    /// Says what the ledger holds, again and again.
    async fn count(&self, ledger: &Ledger) {
        let mut known = Numbers::default();
        loop {
            let counted = ledger.numbers().await;
            let size = ledger.bytes().await;
            let state = counted.as_ref().map(|_| ()).and(size.as_ref().map(|_| ()));
            let state = state.map_err(|error| Chain(error).to_string());
            if let Ok(bytes) = size {
                self.figures.note_bytes(bytes);
                self.ledger_bytes.store(bytes, Ordering::Relaxed);
                self.is_full.store(bytes >= self.settings.max_ledger, Ordering::Relaxed);
            }
            self.health.set(LEDGER, Need::Hard, state);
            if let Ok(numbers) = counted {
                if numbers != known {
                    known = numbers.clone();
                    self.news.tell();
                }
                self.figures.count(numbers, Timestamp::now().as_millisecond());
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
    }

    /// Says how sources are, again and again. One that is away leaves the others their work.
    async fn report(&self, engines: &[Arc<Engine>]) {
        loop {
            let states: Vec<_> = engines.iter().map(|engine| (engine.name(), engine.state())).collect();
            // Without any source there is no work to be done.
            let need = if states.iter().all(|(_, state)| state.is_err()) { Need::Hard } else { Need::Soft };
            for engine in engines {
                let armed = engine.hazard().map_or(Ok(()), Err);
                self.health.set(&of_redriving(engine.name()), Need::Soft, armed);
            }
            for (name, state) in states {
                self.health.set(&of_source(name), need, state);
            }
            tokio::time::sleep(REPORT_EVERY).await;
        }
    }
}

/// The name of a source in health.
fn of_source(name: &str) -> String {
    format!("source {name}")
}

/// The name in health of whether anything is redriven there.
fn of_redriving(name: &str) -> String {
    format!("redriving {name}")
}
