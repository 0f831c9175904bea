//! What the daemon's loop and its readers share.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::StatusCode;
use kit::clock::Moment;
use kit::http::ApiError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::catalogue::Catalogue;
use super::events::Change;
use super::probe_metrics::ProbeMetrics;
use crate::alert::Alerts;
use crate::doctor::{DoctorSettings, Examined, FirstSeen};
use crate::heal::Ward;
use crate::judge::Board;
use crate::probe::{CheckId, Vantage};
use crate::record::Stores;
use crate::supervise::Command;

/// Live events a slow reader may fall behind before it is told to look anew.
const CHANGES_KEPT: usize = 256;
/// The loop takes wishes every turn; a turn that takes longer is in trouble of its own.
const ASK_PATIENCE: Duration = Duration::from_secs(2);

/// What readers may ask of the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Ask these checks now.
    Probe(Vec<CheckId>),
    /// Have whoever runs a service do this.
    Order(Arc<str>, Command),
}

/// Figures of the loop itself.
#[derive(Debug, Default)]
pub struct LoopFigures {
    /// Turns that were missed because a probe took longer than its interval.
    pub overruns: AtomicU64,
    /// Probes that run now.
    pub running: AtomicU64,
    /// Times in which nobody looked.
    pub gaps: AtomicU64,
    /// The loop's last turn, in milliseconds on the boot clock.
    pub last_turn_ms: AtomicI64,
    /// Whether the configuration on disk says things that only a restart takes.
    pub restart_needed: AtomicBool,
    /// Whether the last reload was taken.
    pub reload_ok: AtomicBool,
    /// When the last reload was taken, in seconds since the epoch.
    pub reloaded_secs: AtomicI64,
    /// When a dead man's ping was last accepted, in seconds since the epoch; 0 if never.
    pub dead_man_secs: AtomicI64,
}

/// A turn takes milliseconds, and one comes each second: a loop that has not turned for so long hangs.
const LOOP_STANDS_AFTER: Duration = Duration::from_secs(10);

impl LoopFigures {
    /// Returns since when the loop has not turned, if it hangs.
    pub fn stands_since(&self) -> Option<Duration> {
        let idle = Moment::now().since(Moment::from_ms(self.last_turn_ms.load(Relaxed)));
        (idle > LOOP_STANDS_AFTER).then_some(idle)
    }
}

/// A wish to read the configuration again, by force or not, and who waits for the outcome.
pub type ReloadWish = (bool, oneshot::Sender<Result<String, String>>);

/// The loop's and the reloader's ends of what readers ask.
pub struct Wishes {
    /// For the loop.
    pub asked: mpsc::Receiver<Ask>,
    /// For the reloader.
    pub reloads: mpsc::Receiver<ReloadWish>,
}

/// The shared whole.
pub struct Shared {
    board: Mutex<Board>,
    ward: Mutex<Ward>,
    /// What is configured.
    pub catalogue: ArcSwap<Catalogue>,
    /// What the doctor is to examine.
    pub doctor: ArcSwap<DoctorSettings>,
    /// What it found.
    pub examined: ArcSwap<Examined>,
    /// Since when each finding is known.
    pub first_seen: ArcSwap<FirstSeen>,
    /// What is remembered.
    pub stores: Stores,
    /// Incidents, and who is told of them.
    pub alerts: Arc<Alerts>,
    /// Where we ask from, and what was pushed.
    pub vantage: Arc<Vantage>,
    /// Counters and histograms of probes.
    pub metrics: ProbeMetrics,
    /// The loop's own figures.
    pub figures: LoopFigures,
    /// Live events.
    pub changes: broadcast::Sender<Change>,
    /// Rises with every observation and event: what waits for progress waits here.
    pub progress: watch::Sender<u64>,
    /// Seals the gate's cursors; kept, so that they outlive a restart.
    pub cursor_key: [u8; 32],
    ask: mpsc::Sender<Ask>,
    reload: mpsc::Sender<ReloadWish>,
}

impl Shared {
    /// Joins the parts; the wishes are the loop's and the reloader's.
    pub fn new(
        board: Board,
        stores: Stores,
        alerts: Arc<Alerts>,
        vantage: Arc<Vantage>,
        metrics: ProbeMetrics,
        cursor_key: [u8; 32],
    ) -> (Arc<Self>, Wishes) {
        let (ask, asked) = mpsc::channel(64);
        let (reload, reloads) = mpsc::channel(4);
        let shared = Self {
            board: Mutex::new(board),
            ward: Mutex::default(),
            catalogue: ArcSwap::default(),
            doctor: ArcSwap::default(),
            examined: ArcSwap::default(),
            first_seen: ArcSwap::default(),
            stores,
            alerts,
            vantage,
            metrics,
            figures: LoopFigures::default(),
            changes: broadcast::channel(CHANGES_KEPT).0,
            progress: watch::channel(0).0,
            cursor_key,
            ask,
            reload,
        };
        (Arc::new(shared), Wishes { asked, reloads })
    }

    /// Takes the board for a moment. Never held across an await.
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is known of healing for a moment. Who needs the board too takes that first.
    pub fn ward(&self) -> MutexGuard<'_, Ward> {
        self.ward.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the configuration read again, and waits for what comes of it.
    ///
    /// # Errors
    /// Every mistake, or why the new configuration is not taken.
    pub async fn reload(&self, force: bool) -> Result<String, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the monitor is stopping".to_owned();
        self.reload.send((force, answer)).await.map_err(|_stopping| gone())?;
        answered.await.unwrap_or_else(|_stopping| Err(gone()))
    }

    /// Waits until the loop has ended, after which there will be no news.
    pub(super) async fn ended(&self) {
        self.ask.closed().await;
    }

    /// Asks the loop for something; when it is busy the wish is dropped, since the next turn is near anyway.
    pub fn ask(&self, ask: Ask) {
        let _busy = self.ask.try_send(ask);
    }

    /// Asks the loop for something that nobody asks for again, and waits for room a moment.
    ///
    /// # Errors
    /// 503 when there was none.
    pub(super) async fn ask_surely(&self, ask: Ask) -> Result<(), ApiError> {
        let busy = || ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the monitor is busy; ask again");
        self.ask.send_timeout(ask, ASK_PATIENCE).await.map_err(|_busy| busy())
    }
}
