//! Metrics of how many more letters may be redriven.

use kit::metrics::Metrics;
use prometheus::{GaugeVec, Opts};

/// The queue of what holds for all queues together.
const ALL_QUEUES: &str = "(all)";

/// How many more letters may be redriven at once.
#[derive(Clone)]
pub(crate) struct RoomGauges {
    rate: GaugeVec,
    budget: GaugeVec,
}

impl RoomGauges {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let gauge = |name: &str, help: &str| metrics.register(GaugeVec::new(Opts::new(name, help), &["queue"]));
        Self {
            rate: gauge(
                "dlq_rate_tokens",
                "Letters that rates let be redriven into a queue at once; (all) is of all queues.",
            ),
            budget: gauge(
                "dlq_budget_remaining",
                "Letters that nobody asked for that a queue's budget lets be redriven at once.",
            ),
        }
    }

    /// Has metrics show the room of a queue; no budget is as much as anybody wants.
    pub(crate) fn note(&self, queue: &str, rate: f64, budget: Option<f64>) {
        self.rate.with_label_values(&[queue]).set(rate);
        match budget {
            Some(budget) => self.budget.with_label_values(&[queue]).set(budget),
            None => drop(self.budget.remove_label_values(&[queue])),
        }
    }

    /// Has metrics show the room of all queues together.
    pub(crate) fn note_all(&self, rate: f64) {
        self.rate.with_label_values(&[ALL_QUEUES]).set(rate);
    }

    pub(super) fn reset(&self) {
        self.rate.reset();
        self.budget.reset();
    }
}
