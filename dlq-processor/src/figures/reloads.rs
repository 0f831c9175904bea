//! Metrics of how the configuration was last read again.

use jiff::Timestamp;
use kit::metrics::Metrics;
use prometheus::IntGauge;

/// How the last reload went.
#[derive(Clone)]
pub(crate) struct Reloads {
    is_good: IntGauge,
    done_at: IntGauge,
}

impl Reloads {
    /// What is read at the start is taken.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let gauge = |name: &str, help: &str| metrics.register(IntGauge::new(name, help));
        let reloads = Self {
            is_good: gauge(
                "dlq_config_last_reload_successful",
                "0 if the last reload came to nothing, since the configuration was wrong or the ledger away: the policy of before decides.",
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

    /// Has metrics show that none was taken.
    pub(crate) fn failed(&self) {
        self.is_good.set(0);
    }
}
