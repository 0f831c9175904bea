//! The daemon's own metrics. Labels come from closed sets: queues, names and rules of a configuration, never a job's id.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kit::metrics::{Metrics, Sample, family};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::ledger::Numbers;
use crate::source::Depth;

/// Seconds: from a commit to memory to one that waited for another writer.
const COMMIT_SECONDS: [f64; 8] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0, 5.0];

/// Counters of what is captured and done. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Figures {
    pub(crate) captured: IntCounterVec,
    pub(crate) missed: IntCounterVec,
    pub(crate) gaps: IntCounterVec,
    pub(crate) unwatched: IntCounterVec,
    pub(crate) decisions: IntCounterVec,
    pub(crate) redriven: IntCounterVec,
    pub(crate) outcomes: IntCounterVec,
    pub(crate) new_fingerprints: IntCounter,
    pub(crate) source_up: IntGaugeVec,
    pub(crate) armed: IntGaugeVec,
    pub(crate) breaker_open: IntGaugeVec,
    pub(crate) held: IntGaugeVec,
    pub(crate) perils: IntGaugeVec,
    pub(crate) failed_in_source: IntGaugeVec,
    pub(crate) depths: Depths,
    pub(crate) listed: IntCounterVec,
    pub(crate) list_failures: IntCounterVec,
    pub(crate) commit_seconds: Histogram,
    pub(crate) lease_held: IntGauge,
    pub(crate) reloads: Reloads,
    ledger_bytes: IntGauge,
    numbers: Arc<Mutex<(Numbers, i64)>>,
}

/// How the last reload went.
#[derive(Clone)]
pub(crate) struct Reloads {
    is_good: IntGauge,
    done_at: IntGauge,
}

/// What queues hold beside what is dead.
#[derive(Clone)]
pub(crate) struct Depths {
    waiting: IntGaugeVec,
    active: IntGaugeVec,
    completed: IntGaugeVec,
    newest_done: IntGaugeVec,
}

impl Figures {
    /// Registers the metrics of a ledger that may have so many bytes.
    pub(crate) fn new(metrics: &Metrics, most_ledger_bytes: u64) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            metrics.register(IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge =
            |name: &str, help: &str, labels: &[&str]| metrics.register(IntGaugeVec::new(Opts::new(name, help), labels));
        let commits = HistogramOpts::new("dlq_ledger_commit_seconds", "Time to take a batch of letters in.");
        let limit = metrics
            .register(IntGauge::new("dlq_ledger_limit_bytes", "Size at which the ledger takes nothing more in."));
        limit.set(i64::try_from(most_ledger_bytes).unwrap_or(i64::MAX));
        let numbers = Arc::<Mutex<(Numbers, i64)>>::default();
        let counted = numbers.clone();
        metrics.collect(move || {
            let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            families(&counted.0, counted.1)
        });
        Self {
            captured: counter("dlq_captured_total", "Dead letters taken in.", &["source", "queue"]),
            missed: counter(
                "dlq_capture_missed_total",
                "Failures that were thrown away before they were read.",
                &["source", "queue"],
            ),
            gaps: counter(
                "dlq_capture_gaps_total",
                "Times that a queue had forgotten some of what failed before it was heard: how much is not known.",
                &["source", "queue"],
            ),
            unwatched: counter(
                "dlq_source_unwatched_total",
                "Times that a pending entry was not watched, since there were too many.",
                &["source"],
            ),
            decisions: counter(
                "dlq_decisions_total",
                "Letters by the rule that knew them and what is done.",
                &["rule", "action"],
            ),
            redriven: counter("dlq_redrive_total", "Redrives by what came of them at once.", &["queue", "result"]),
            outcomes: counter(
                "dlq_redrive_outcome_total",
                "Redriven letters by how they ended.",
                &["queue", "outcome"],
            ),
            listed: counter(
                "dlq_listed_total",
                "Entries that were written into lists of a source.",
                &["source", "list"],
            ),
            list_failures: counter(
                "dlq_list_failures_total",
                "Times that lists of a source could not be written; what was missing is written later.",
                &["source"],
            ),
            new_fingerprints: metrics
                .register(IntCounter::new("dlq_fingerprints_new_total", "Failures like which there had been none.")),
            source_up: gauge("dlq_source_up", "1 while a source answers.", &["source"]),
            armed: gauge("dlq_source_armed", "0 while nothing is redriven, since it could be lost.", &["source"]),
            breaker_open: gauge(
                "dlq_breaker_open",
                "1 while redrives of a kind are held back, since they fail.",
                &["queue", "name"],
            ),
            held: gauge(
                "dlq_queue_held",
                "1 while nothing is redriven into a queue: it is paused, nobody works, too much waits, or memory is short.",
                &["queue", "reason"],
            ),
            perils: gauge(
                "dlq_queue_peril",
                "1 while a queue is unsafe for its dead letters: retention, workers or version.",
                &["source", "queue", "kind"],
            ),
            failed_in_source: gauge("dlq_source_failed", "Failed jobs that a queue holds.", &["source", "queue"]),
            depths: Depths::new(metrics),
            ledger_bytes: metrics.register(IntGauge::new("dlq_ledger_bytes", "Size of the ledger.")),
            lease_held: metrics.register(IntGauge::new(
                "dlq_lease_held",
                "1 while this one acts; of all that share a ledger one does.",
            )),
            reloads: Reloads::new(metrics),
            commit_seconds: metrics.register(Histogram::with_opts(commits.buckets(COMMIT_SECONDS.to_vec()))),
            numbers,
        }
    }

    /// Has metrics show how large the ledger is.
    pub(crate) fn note_bytes(&self, bytes: u64) {
        self.ledger_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Says nothing more of how sources and queues are: whoever acts now knows.
    pub(crate) fn forget_sources(&self) {
        self.depths.reset();
        let of_sources =
            [&self.source_up, &self.armed, &self.breaker_open, &self.held, &self.perils, &self.failed_in_source];
        of_sources.into_iter().for_each(IntGaugeVec::reset);
    }

    /// Has metrics show what the ledger held at a time.
    pub(crate) fn count(&self, numbers: Numbers, now_ms: i64) {
        *self.numbers.lock().unwrap_or_else(PoisonError::into_inner) = (numbers, now_ms);
    }
}

impl Reloads {
    /// What is read at the start is taken.
    fn new(metrics: &Metrics) -> Self {
        let gauge = |name: &str, help: &str| metrics.register(IntGauge::new(name, help));
        let reloads = Self {
            is_good: gauge(
                "dlq_config_last_reload_successful",
                "0 if the configuration was wrong when it was last read again: the policy of before decides.",
            ),
            done_at: gauge(
                "dlq_config_last_reload_success_timestamp_seconds",
                "When a policy was last taken, in seconds since the epoch.",
            ),
        };
        reloads.done(Timestamp::now());
        reloads
    }

    /// Has metrics show that a policy was taken.
    pub(crate) fn done(&self, now: Timestamp) {
        self.is_good.set(1);
        self.done_at.set(now.as_second());
    }

    /// Has metrics show that a configuration was wrong.
    pub(crate) fn failed(&self) {
        self.is_good.set(0);
    }
}

impl Depths {
    fn new(metrics: &Metrics) -> Self {
        let gauge =
            |name: &str, help: &str| metrics.register(IntGaugeVec::new(Opts::new(name, help), &["source", "queue"]));
        Self {
            waiting: gauge(
                "bullmq_queue_waiting",
                "Jobs of a BullMQ queue that wait for a worker; 0 while it is paused.",
            ),
            active: gauge("bullmq_queue_active", "Jobs of a BullMQ queue that workers hold, of the hundred newest."),
            completed: gauge("bullmq_queue_completed", "Jobs of a BullMQ queue that were done and are still kept."),
            newest_done: gauge(
                "bullmq_queue_newest_done_timestamp_seconds",
                "When the newest job that a BullMQ queue keeps was done or failed; 0 if it keeps none.",
            ),
        }
    }

    fn gauges(&self) -> [&IntGaugeVec; 4] {
        [&self.waiting, &self.active, &self.completed, &self.newest_done]
    }

    /// Has metrics show what a queue holds.
    pub(crate) fn note(&self, source: &str, depth: &Depth) {
        let jobs = [depth.waiting, depth.active, depth.completed].map(|jobs| i64::try_from(jobs).unwrap_or(i64::MAX));
        for (gauge, value) in self.gauges().into_iter().zip(jobs.into_iter().chain([depth.newest_done_ms / 1000])) {
            gauge.with_label_values(&[source, &depth.queue]).set(value);
        }
    }

    /// Says nothing more of a queue.
    pub(crate) fn forget(&self, source: &str, queue: &str) {
        for gauge in self.gauges() {
            let _was_counted = gauge.remove_label_values(&[source, queue]);
        }
    }

    fn reset(&self) {
        self.gauges().into_iter().for_each(IntGaugeVec::reset);
    }
}

fn families(numbers: &Numbers, now_ms: i64) -> Vec<prometheus::proto::MetricFamily> {
    #[expect(clippy::cast_precision_loss, reason = "counts and ages stay far below 2^53")]
    let counts = numbers
        .0
        .iter()
        .map(|count| Sample::of([("class", &*count.class), ("state", &*count.state)], count.letters as f64));
    #[expect(clippy::cast_precision_loss, reason = "counts and ages stay far below 2^53")]
    let ages = numbers.0.iter().map(|count| {
        let age_secs = (now_ms - count.oldest_ms).max(0) as f64 / 1000.0;
        Sample::of([("class", &*count.class), ("state", &*count.state)], age_secs)
    });
    vec![
        family("dlq_entries", "Letters in the ledger.", counts),
        family("dlq_oldest_entry_age_seconds", "How long ago the oldest letter was taken in.", ages),
    ]
}

#[cfg(test)]
mod tests {
    use kit::metrics::Format;

    use super::*;

    #[test]
    fn who_does_not_act_says_nothing_of_sources_and_queues() {
        let metrics = Metrics::new("dlq-processor", "0");
        let figures = Figures::new(&metrics, 1);
        let said = || {
            let text = metrics.encode(Format::Text);
            let names =
                text.lines().filter(|line| line.contains("=\"jobs\"")).filter_map(|line| line.split('{').next());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let depth = Depth { queue: "jobs".to_owned(), waiting: 5, active: 0, completed: 0, newest_done_ms: 0 };
        figures.depths.note("jobs", &depth);
        figures.captured.with_label_values(&["jobs", "jobs"]).inc();
        figures.source_up.with_label_values(&["jobs"]).set(1);
        figures.armed.with_label_values(&["jobs"]).set(0);
        figures.breaker_open.with_label_values(&["jobs", "job"]).set(1);
        figures.held.with_label_values(&["jobs", "paused"]).set(1);
        figures.perils.with_label_values(&["jobs", "jobs", "workers"]).set(1);
        figures.failed_in_source.with_label_values(&["jobs", "jobs"]).set(1);
        assert_eq!(said().len(), 11);
        figures.forget_sources();
        assert_eq!(said(), ["dlq_captured_total"], "what was counted stays");
    }
}
