//! What became of lines, as metrics. Nothing without Loki.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::loki;
use crate::metrics::{Sample, family};

/// Why a line did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// More was written than was delivered.
    QueueFull,
    /// It is longer than Loki takes.
    TooLarge,
    /// Loki did not want it.
    Refused,
    /// Loki did not want it from us.
    Unauthorized,
    /// The program ended before Loki took it.
    Undelivered,
    /// It was on the disk, and cannot be read any more.
    Unreadable,
}

impl Loss {
    /// How each is called in metrics, in their order.
    const REASONS: [&str; 6] = ["queue_full", "too_large", "refused", "unauthorized", "undelivered", "unreadable"];
}

/// Counted since the start.
#[derive(Debug, Default)]
pub(super) struct Figures {
    sent: AtomicU64,
    lost: [AtomicU64; Loss::REASONS.len()],
    on_disk: AtomicU64,
    /// Unix seconds; 0 is never.
    last_success: AtomicU64,
}

impl Figures {
    pub(super) fn sent(&self, lines: u64) {
        self.sent.fetch_add(lines, Ordering::Relaxed);
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        self.last_success.store(now, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, loss: Loss, lines: u64) {
        if let Some(count) = self.lost.get(loss as usize) {
            count.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Notes how many bytes wait on the disk.
    pub(super) fn on_disk(&self, bytes: u64) {
        self.on_disk.store(bytes, Ordering::Relaxed);
    }
}

/// Returns the families.
pub(crate) fn collect() -> Vec<MetricFamily> {
    let Some(loki) = loki() else { return Vec::new() };
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let value = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    #[expect(clippy::cast_precision_loss, reason = "a queue is small")]
    let waiting = loki.queue.bytes() as f64;
    let Figures { sent, lost, on_disk, last_success } = &*loki.figures;
    let lost = Loss::REASONS.iter().zip(lost).map(|(reason, count)| Sample::of([("reason", *reason)], value(count)));
    let bare = |name, help, value| family(name, help, [Sample::bare(value)]);
    vec![
        bare("telemetry_log_entries_sent_total", "Lines that Loki took.", value(sent)),
        family("telemetry_log_entries_dropped_total", "Lines that it did not get, by the reason.", lost),
        bare("telemetry_log_bytes_waiting", "Memory of lines that wait for Loki.", waiting),
        bare("telemetry_log_spill_bytes", "Files of lines that wait for Loki.", value(on_disk)),
        bare("telemetry_log_last_success_timestamp_seconds", "When Loki last took lines.", value(last_success)),
    ]
}
