//! What an alert client counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

use crate::metrics::Metrics;

/// Values of the label `result`.
pub(super) const ACCEPTED: &str = "accepted";
pub(super) const REFUSED: &str = "refused";
pub(super) const RETRIED: &str = "retried";

pub(super) struct Figures {
    pub(super) posts: IntCounterVec,
    pub(super) pending: IntGauge,
    pub(super) fallback: IntCounter,
}

impl Figures {
    /// # Panics
    /// When called twice for one registry: a fault of the program.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let posts = Opts::new(
            "alert_client_posts_total",
            "Alerts posted to the monitor: accepted, refused (dead, see its reason) or to be retried.",
        );
        let posts = metrics.register(IntCounterVec::new(posts, &["result"]));
        for result in [ACCEPTED, REFUSED, RETRIED] {
            posts.with_label_values(&[result]);
        }
        let pending = "Alerts with news that the monitor has not accepted.";
        let pending = metrics.register(IntGauge::new("alert_client_pending", pending));
        let fallback = "News of alerts that the fallback accepted since the monitor was gone.";
        let fallback = metrics.register(IntCounter::new("alert_client_fallback_total", fallback));
        Self { posts, pending, fallback }
    }
}
