//! What the routes share: the settings of now, a place for each probe that runs, results, and counters.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use kit::metrics::{Metrics, Sample, family};

use super::history::History;
use super::settings::BlackboxSettings;
use crate::export::access::Reception;
use crate::export::shared::Shared;

/// Counters.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Modules that were asked for and do not exist.
    pub(super) unknown_modules: AtomicU64,
    /// Probes that run now.
    pub(super) running: AtomicU64,
    pub(super) succeeded: AtomicU64,
    pub(super) failed: AtomicU64,
    /// Targets that may not be asked.
    pub(super) refused: AtomicU64,
    /// Probes for which there was no place.
    pub(super) crowded_out: AtomicU64,
    /// Probes that nobody waited for any more.
    pub(super) abandoned: AtomicU64,
    /// When the modules were last taken, in milliseconds since the epoch.
    taken_ms: AtomicI64,
}

/// The stand-in for blackbox_exporter.
pub struct Blackbox {
    settings: ArcSwap<BlackboxSettings>,
    pub(super) shared: Arc<Shared>,
    pub(super) reception: Arc<Reception>,
    pub(super) metrics: Metrics,
    pub(super) figures: Figures,
    history: Mutex<History>,
}

impl Blackbox {
    /// Begins with these settings.
    pub fn new(
        settings: BlackboxSettings,
        shared: Arc<Shared>,
        reception: Arc<Reception>,
        version: &'static str,
    ) -> Arc<Self> {
        warn_if_open(&settings);
        let metrics = Metrics::new("blackbox_exporter", version);
        let blackbox = Arc::new(Self {
            settings: ArcSwap::from_pointee(settings),
            shared,
            reception,
            metrics,
            figures: Figures::default(),
            history: Mutex::default(),
        });
        blackbox.figures.taken_ms.store(Timestamp::now().as_millisecond(), Relaxed);
        let weak = Arc::downgrade(&blackbox);
        blackbox.metrics.collect(move || weak.upgrade().map(|blackbox| blackbox.families()).unwrap_or_default());
        blackbox
    }

    /// Takes new settings; what runs ends with the old ones. Where it listens is not taken anew.
    pub fn configure(&self, settings: &BlackboxSettings) {
        warn_if_open(settings);
        self.settings.store(Arc::new(settings.clone()));
        self.figures.taken_ms.store(Timestamp::now().as_millisecond(), Relaxed);
    }

    /// Returns the settings of now.
    pub(super) fn settings(&self) -> Arc<BlackboxSettings> {
        self.settings.load_full()
    }

    /// Takes what is kept for a moment. Never held across an await.
    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a probe; none if there is none.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Running> {
        let most = u64::try_from(self.settings().at_once).unwrap_or(u64::MAX);
        let taken =
            self.figures.running.fetch_update(Relaxed, Relaxed, |running| (running < most).then_some(running + 1));
        if taken.is_err() {
            self.figures.crowded_out.fetch_add(1, Relaxed);
            return None;
        }
        Some(Running { blackbox: self.clone(), is_over: false })
    }

    fn families(&self) -> Vec<prometheus::proto::MetricFamily> {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let bare = |counter: &AtomicU64| Sample::bare(counter.load(Relaxed) as f64);
        let figures = &self.figures;
        let is_taken = self.shared.figures.reload_ok.load(Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^53")]
        let taken_secs = figures.taken_ms.load(Relaxed) as f64 / 1000.0;
        let results =
            [("success", &figures.succeeded), ("failure", &figures.failed), ("abandoned", &figures.abandoned)];
        let results =
            results.map(|(word, counter)| Sample { labels: vec![("result", word.to_owned())], ..bare(counter) });
        vec![
            family(
                "blackbox_exporter_config_last_reload_successful",
                "Blackbox exporter config loaded successfully.",
                [Sample::bare(f64::from(u8::from(is_taken)))],
            ),
            family(
                "blackbox_exporter_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
                [Sample::bare(taken_secs)],
            ),
            family(
                "blackbox_module_unknown_total",
                "Count of unknown modules requested by probes",
                [bare(&figures.unknown_modules)],
            ),
            family("blackbox_exporter_probes_total", "Probes that ended, by result.", results),
            family("blackbox_exporter_probes_running", "Probes that run now.", [bare(&figures.running)]),
            family(
                "blackbox_exporter_targets_refused_total",
                "Probes of targets that may not be asked.",
                [bare(&figures.refused)],
            ),
            family(
                "blackbox_exporter_probes_crowded_out_total",
                "Probes that were refused because too many ran.",
                [bare(&figures.crowded_out)],
            ),
        ]
    }
}

fn warn_if_open(settings: &BlackboxSettings) {
    if settings.targets.is_open() {
        tracing::warn!(
            listen = %settings.listen,
            "blackbox.targets lets everybody who reaches this address ask anything that this machine reaches"
        );
    }
}

/// A place that is given back, also when nobody waits for the result any more.
pub(super) struct Running {
    blackbox: Arc<Blackbox>,
    pub(super) is_over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.blackbox.figures.running.fetch_sub(1, Relaxed);
        if !self.is_over {
            self.blackbox.figures.abandoned.fetch_add(1, Relaxed);
        }
    }
}
