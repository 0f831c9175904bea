//! The daemon's own metrics. Labels come from closed sets: queues, names and rules of a configuration, never a job's id.

mod depths;
mod reloads;
mod room;

use std::sync::{Arc, Mutex, PoisonError};

use kit::metrics::{Metrics, Sample, family};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use self::depths::Depths;
pub(crate) use self::reloads::Reloads;
use self::room::RoomGauges;
use crate::ledger::Numbers;

/// Seconds: from a commit to memory to one that waited for another writer.
const COMMIT_SECONDS: [f64; 8] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0, 5.0];
/// Seconds: from a failure that is read as soon as it is told, over a daemon that was away, to what is no longer redriven unasked.
const LAG_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0];
/// Seconds: from an answer of a server nearby to an order that was written before a start and carried out after it.
const REDRIVE_SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0, 60.0];
/// Seconds: from a first try at once, over the waits of a policy, to what waited for a person for days.
const RESOLUTION_SECONDS: [f64; 9] = [1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 28_800.0, 86_400.0, 604_800.0];

/// Counters of what is captured and done. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Figures {
    pub(crate) captured: IntCounterVec,
    pub(crate) lag_seconds: HistogramVec,
    pub(crate) missed: IntCounterVec,
    pub(crate) overdue: IntGaugeVec,
    pub(crate) payloads_lost: IntCounterVec,
    pub(crate) gaps: IntCounterVec,
    pub(crate) unwatched: IntCounterVec,
    pub(crate) decisions: IntCounterVec,
    pub(crate) redriven: IntCounterVec,
    pub(crate) redrive_seconds: HistogramVec,
    pub(crate) outcomes: IntCounterVec,
    pub(crate) resolution_seconds: HistogramVec,
    pub(crate) new_fingerprints: IntCounter,
    pub(crate) canaries: IntCounterVec,
    pub(crate) capped: IntGaugeVec,
    pub(crate) source_up: IntGaugeVec,
    pub(crate) armed: IntGaugeVec,
    pub(crate) breaker_open: IntGaugeVec,
    pub(crate) held: IntGaugeVec,
    pub(crate) room: RoomGauges,
    pub(crate) perils: IntGaugeVec,
    pub(crate) failed_in_source: IntGaugeVec,
    pub(crate) depths: Depths,
    pub(crate) listed: IntCounterVec,
    pub(crate) list_failures: IntCounterVec,
    pub(crate) commit_seconds: Histogram,
    pub(crate) lease_held: IntGauge,
    pub(crate) untold: IntCounterVec,
    pub(crate) reloads: Reloads,
    ledger_bytes: IntGauge,
    numbers: Arc<Mutex<(Numbers, i64)>>,
}

impl Figures {
    /// Registers the metrics of a ledger that may have so many bytes.
    pub(crate) fn new(metrics: &Metrics, most_ledger_bytes: u64) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            metrics.register(IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge =
            |name: &str, help: &str, labels: &[&str]| metrics.register(IntGaugeVec::new(Opts::new(name, help), labels));
        let seconds = |name: &str, help: &str, buckets: &[f64], label: &str| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            metrics.register(HistogramVec::new(opts, &[label]))
        };
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
            lag_seconds: seconds(
                "dlq_capture_lag_seconds",
                "Time from a failure until it is in the ledger, by the clocks of workers.",
                &LAG_SECONDS,
                "source",
            ),
            payloads_lost: counter(
                "dlq_stream_payload_lost_total",
                "Pending entries that had been trimmed from their stream before they were read.",
                &["source"],
            ),
            missed: counter(
                "dlq_capture_missed_total",
                "Failures that were thrown away before they were read, or that no ledger takes.",
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
            redrive_seconds: seconds(
                "dlq_redrive_latency_seconds",
                "Time from when it is written that a letter will be put back until it is.",
                &REDRIVE_SECONDS,
                "queue",
            ),
            resolution_seconds: seconds(
                "dlq_time_to_resolution_seconds",
                "Time from a failure until its redriven job was done.",
                &RESOLUTION_SECONDS,
                "queue",
            ),
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
            canaries: counter(
                "dlq_canaries_total",
                "Parked letters that went before those that are alike, by what came of it: sent, then passed, failed, untold or withdrawn; passed ones had the others follow.",
                &["class", "result"],
            ),
            capped: gauge(
                "dlq_fingerprints_capped",
                "Kinds of failures of which no more are redriven unasked for now, since too many were in vain.",
                &["source"],
            ),
            source_up: gauge(
                "dlq_source_up",
                "1 while a source answers; not there before somebody has made it.",
                &["source"],
            ),
            armed: gauge("dlq_source_armed", "0 while nothing is redriven, since it could be lost.", &["source"]),
            breaker_open: gauge(
                "dlq_breaker_open",
                "1 while redrives of a kind are held back, since they fail.",
                &["queue", "name"],
            ),
            held: gauge(
                "dlq_queue_held",
                "1 while nothing is redriven into a queue: it is paused, nobody works, too much waits, memory is short, or it is absent.",
                &["queue", "reason"],
            ),
            room: RoomGauges::new(metrics),
            perils: gauge(
                "dlq_queue_peril",
                "1 while a queue is unsafe for its dead letters: retention, workers or version.",
                &["source", "queue", "kind"],
            ),
            overdue: gauge(
                "dlq_capture_overdue",
                "Failures that were read and wait for the ledger; what lies unread in its queue is not counted.",
                &["source"],
            ),
            failed_in_source: gauge("dlq_source_failed", "Failed jobs that a queue holds.", &["source", "queue"]),
            depths: Depths::new(metrics),
            ledger_bytes: metrics.register(IntGauge::new("dlq_ledger_bytes", "Size of the ledger.")),
            lease_held: metrics.register(IntGauge::new(
                "dlq_lease_held",
                "1 while this one acts; of all that share a ledger one does.",
            )),
            untold: counter(
                "dlq_alerts_untold_total",
                "Times that an alert could not be handed to the monitor: too many are open, or it is no alert.",
                &["reason"],
            ),
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
        self.room.reset();
        let of_sources = [
            &self.source_up,
            &self.armed,
            &self.breaker_open,
            &self.held,
            &self.perils,
            &self.failed_in_source,
            &self.overdue,
            &self.capped,
        ];
        of_sources.into_iter().for_each(IntGaugeVec::reset);
    }

    /// Returns what the ledger held when it was counted last, and when that was, in milliseconds since the epoch; none before.
    pub(crate) fn counted(&self) -> Option<(Numbers, i64)> {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (numbers.1 > 0).then_some(numbers)
    }

    /// Has metrics show what the ledger held at a time.
    pub(crate) fn count(&self, numbers: Numbers, now_ms: i64) {
        *self.numbers.lock().unwrap_or_else(PoisonError::into_inner) = (numbers, now_ms);
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
    use crate::source::Depth;

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
        figures.overdue.with_label_values(&["jobs"]).set(1);
        figures.failed_in_source.with_label_values(&["jobs", "jobs"]).set(1);
        figures.capped.with_label_values(&["jobs"]).set(1);
        figures.room.note("jobs", 20.0, Some(1.0));
        assert_eq!(said().len(), 15);
        figures.room.note("jobs", 20.0, None);
        assert_eq!(said().len(), 14, "no budget any more");
        figures.forget_sources();
        assert_eq!(said(), ["dlq_captured_total"], "what was counted stays");
    }
}
