//! Metrics of what queues hold.

use kit::metrics::Metrics;
use prometheus::{IntGaugeVec, Opts};

use crate::source::Depth;

/// What queues hold beside what is dead.
#[derive(Clone)]
pub(crate) struct Depths {
    waiting: IntGaugeVec,
    active: IntGaugeVec,
    completed: IntGaugeVec,
    newest_done: IntGaugeVec,
}

impl Depths {
    pub(super) fn new(metrics: &Metrics) -> Self {
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

    pub(super) fn reset(&self) {
        self.gauges().into_iter().for_each(IntGaugeVec::reset);
    }
}
