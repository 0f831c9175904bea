//! What is counted as probes end: results, reasons, durations, and how late rounds began.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::metrics::{Buckets, Exemplar, Labels, Metrics, Sample, family, histograms};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts};

use crate::probe::{CheckId, Observation, Outcome, ReasonCode};

/// Seconds. From loopback to the default timeout; 0.2 is the founding document's objective.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0];
const DURATION: &str = "monitor_probe_duration_seconds";
/// Values of the label `outcome`.
const OUTCOMES: [&str; 4] = ["pass", "degraded", "fail", "unknown"];

/// Counters and histograms of probes.
#[derive(Clone)]
pub struct ProbeMetrics {
    metrics: Metrics,
    checks: Arc<Mutex<BTreeMap<CheckId, Counts>>>,
    reasons: IntCounterVec,
    lag: Histogram,
}

/// What is counted of one check.
#[derive(Debug, Clone, Default)]
struct Counts {
    /// In the order of [`OUTCOMES`].
    results: [u64; OUTCOMES.len()],
    durations: Buckets<{ BUCKETS.len() }>,
}

impl ProbeMetrics {
    /// Registers them.
    ///
    /// # Panics
    /// When called twice for one registry: a fault of the program.
    pub fn new(metrics: &Metrics) -> Self {
        let reasons = Opts::new("monitor_probe_reasons_total", "Observations that were no clean pass, by reason code.");
        let reasons = metrics.register(IntCounterVec::new(reasons, &["reason", "service"]));
        let lag = HistogramOpts::new("monitor_scheduler_lag_seconds", "How late rounds of probes began.")
            .buckets(BUCKETS.to_vec());
        let lag = metrics.register(Histogram::with_opts(lag));
        let checks = Arc::<Mutex<BTreeMap<CheckId, Counts>>>::default();
        let counted = checks.clone();
        metrics.collect(move || {
            // Whoever counts a probe waits for the copy alone, not for the families.
            let counted = counted.lock().unwrap_or_else(PoisonError::into_inner).clone();
            families(&counted)
        });
        Self { metrics: metrics.clone(), checks, reasons, lag }
    }

    fn checks(&self) -> MutexGuard<'_, BTreeMap<CheckId, Counts>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts how late a round of probes began.
    pub fn late(&self, lag: Duration) {
        self.lag.observe(lag.as_secs_f64());
    }

    /// Starts a check's series at zero, so that rates see its first event.
    pub fn know(&self, check: &CheckId) {
        self.checks().entry(check.clone()).or_default();
    }

    /// Removes a check's series.
    pub fn forget(&self, check: &CheckId) {
        self.checks().remove(check);
        self.metrics.exemplars().remove(DURATION, &[&check.check, &check.service]);
    }

    /// Removes what is counted by service alone.
    pub fn forget_service(&self, service: &str) {
        for reason in ReasonCode::ALL {
            let _may_not_exist = self.reasons.remove_label_values(&[reason.as_str(), service]);
        }
    }

    /// Counts an observation.
    pub fn observe(&self, observation: &Observation) {
        let check = &observation.check;
        let (place, reason) = match &observation.outcome {
            Outcome::Pass if observation.soft.is_empty() => (0, None),
            Outcome::Pass => (1, observation.soft.first()),
            Outcome::Fail(reason) => (2, Some(reason)),
            Outcome::Unknown(reason) => (3, Some(reason)),
        };
        if let Some(reason) = reason {
            self.reasons.with_label_values(&[reason.code.as_str(), &*check.service]).inc();
        }
        let value = observation.took.as_secs_f64();
        let has_passed = observation.outcome == Outcome::Pass;
        {
            let mut checks = self.checks();
            let counts = checks.entry(check.clone()).or_default();
            if let Some(count) = counts.results.get_mut(place) {
                *count += 1;
            }
            if has_passed {
                counts.durations.observe(&BUCKETS, value);
            }
        }
        // An example that nobody recorded leads nowhere: the last that was stays.
        if has_passed && observation.is_recorded {
            let timestamp_secs = observation.started.wall.as_duration().as_secs_f64();
            let exemplar = Exemplar { trace_id: observation.trace_id.clone(), value, timestamp_secs };
            self.metrics.exemplars().put(DURATION, &[&check.check, &check.service], exemplar);
        }
    }
}

fn families(checks: &BTreeMap<CheckId, Counts>) -> Vec<MetricFamily> {
    #[expect(clippy::cast_precision_loss, reason = "the text format is floating point; counts stay far below 2^53")]
    let results = checks.iter().flat_map(|(check, counts)| {
        OUTCOMES.into_iter().zip(counts.results).map(|(outcome, count)| {
            Sample::of([("check", &*check.check), ("outcome", outcome), ("service", &*check.service)], count as f64)
        })
    });
    let labels = |check: &CheckId| -> Labels {
        vec![("check", check.check.to_string()), ("service", check.service.to_string())]
    };
    let durations = checks.iter().map(|(check, counts)| (labels(check), counts.durations.clone()));
    vec![
        family("monitor_probe_results_total", "Observations by outcome: pass, degraded, fail, unknown.", results),
        histograms(DURATION, "Time of whole probes that passed.", &BUCKETS, durations),
    ]
}
