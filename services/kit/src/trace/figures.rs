//! What became of spans, as metrics. Nothing without a collector.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::MetricFamily;

use super::export::tracer;
use crate::metrics::{Sample, family};

/// Why a span did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// More ended than were delivered.
    QueueFull,
    /// More ended in one failed, unsampled trace than are held.
    TraceFull,
    /// The collector did not want it.
    Refused,
    /// The collector did not answer in time.
    Undelivered,
}

impl Loss {
    /// How each is called in metrics, in their order.
    const REASONS: [&str; 4] = ["queue_full", "trace_full", "refused", "undelivered"];
}

/// Counted since the start.
#[derive(Debug, Default)]
pub(super) struct Figures {
    sent: AtomicU64,
    lost: [AtomicU64; Loss::REASONS.len()],
}

impl Figures {
    pub(super) fn sent(&self, spans: u64) {
        self.sent.fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, loss: Loss, spans: u64) {
        if let Some(count) = self.lost.get(loss as usize) {
            count.fetch_add(spans, Ordering::Relaxed);
        }
    }
}

/// Returns the families.
pub(crate) fn collect() -> Vec<MetricFamily> {
    let Some(tracer) = tracer() else { return Vec::new() };
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let value = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    #[expect(clippy::cast_precision_loss, reason = "a queue is short")]
    let waiting = tracer.waiting() as f64;
    let Figures { sent, lost } = &tracer.figures;
    let lost = Loss::REASONS.iter().zip(lost).map(|(reason, count)| Sample::of([("reason", *reason)], value(count)));
    vec![
        family("telemetry_spans_sent_total", "Spans that the collector took.", [Sample::bare(value(sent))]),
        family("telemetry_spans_dropped_total", "Spans that it did not get, by the reason.", lost),
        family("telemetry_spans_waiting", "Spans that wait to be sent.", [Sample::bare(waiting)]),
    ]
}
