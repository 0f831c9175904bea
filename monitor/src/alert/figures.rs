//! Counters of alerts. Labels come from the configuration (channels) and closed sets.

use kit::metrics::Metrics;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts};

use super::delivery::{Delivery, DeliveryState};

/// Seconds from a deciding observation to the channel's accept; 0.25 is the objective at a thousand services.
const BUCKETS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0];

/// What is counted.
#[derive(Clone)]
pub struct AlertFigures {
    deliveries: IntCounterVec,
    attempts: IntCounterVec,
    hand_over: Histogram,
}

impl AlertFigures {
    /// Registers every metric.
    ///
    /// # Panics
    /// When called twice for one registry: a fault of the program.
    pub fn new(metrics: &Metrics) -> Self {
        let deliveries = Opts::new(
            "monitor_alert_deliveries_total",
            "Deliveries (one incident's event for one channel) by the state they took.",
        );
        let deliveries = metrics.register(IntCounterVec::new(deliveries, &["channel", "state"]));
        let attempts = Opts::new(
            "monitor_alert_attempts_total",
            "Tries to hand a message to a channel, by result: accepted, failed, busy, refused, expired.",
        );
        let attempts = metrics.register(IntCounterVec::new(attempts, &["channel", "result"]));
        let hand_over = HistogramOpts::new(
            "monitor_alert_hand_over_seconds",
            "From when a message was due (hold and group wait over) to the channel's accept.",
        );
        let hand_over = metrics.register(Histogram::with_opts(hand_over.buckets(BUCKETS.to_vec())));
        Self { deliveries, attempts, hand_over }
    }

    /// Starts a channel's series at zero, so that rates see its first event.
    pub(super) fn know(&self, channel: &str) {
        for result in ["accepted", "failed", "busy", "refused", "expired"] {
            self.attempts.with_label_values(&[channel, result]);
        }
        for state in DeliveryState::ALL {
            self.deliveries.with_label_values(&[channel, state.as_str()]);
        }
    }

    /// Counts a delivery's new state.
    pub(super) fn state(&self, delivery: &Delivery) {
        self.deliveries.with_label_values(&[delivery.channel.as_str(), delivery.state.as_str()]).inc();
    }

    /// Counts a try.
    pub(super) fn attempt(&self, channel: &str, result: &str) {
        self.attempts.with_label_values(&[channel, result]).inc();
    }

    /// Notes how long a message took that was accepted at its first try.
    pub(super) fn handed_over(&self, secs: f64) {
        self.hand_over.observe(secs);
    }
}

#[cfg(test)]
mod tests {
    use kit::metrics::Format;

    use super::*;

    #[test]
    fn a_channels_first_dead_letter_raises_a_series_that_was_there_before() {
        let metrics = Metrics::new("monitor", "0");
        AlertFigures::new(&metrics).know("ops");
        let text = metrics.encode(Format::Text);
        for series in
            ["deliveries_total{channel=\"ops\",state=\"dead\"}", "attempts_total{channel=\"ops\",result=\"refused\"}"]
        {
            assert!(text.contains(&format!("monitor_alert_{series} 0\n")), "{series} in {text}");
        }
    }
}
