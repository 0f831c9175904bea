//! The gateway's own metrics.

use kit::metrics::Metrics;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts};

use crate::limit::Subject;

/// Counters of what the gateway hands on and refuses. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Figures {
    answers: IntCounterVec,
    retries: IntCounterVec,
    open: IntGaugeVec,
    limited: IntCounterVec,
    refused: IntCounterVec,
    looked_up: IntCounterVec,
}

impl Figures {
    /// Registers the metrics.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            metrics.register(IntCounterVec::new(Opts::new(name, help), labels))
        };
        let open = Opts::new("api_gateway_upstream_breaker_open", "1 while a service that did not answer is spared.");
        let open = metrics.register(IntGaugeVec::new(open, &["upstream"]));
        let limited = counter("api_gateway_rate_limited_total", "Requests beyond their limit.", &["type"]);
        // Rates see the first of them only if its series is there before.
        for kind in Subject::KINDS {
            limited.with_label_values(&[kind]);
        }
        Self {
            answers: counter(
                "api_gateway_upstream_requests_total",
                "Requests handed on: answered, late, unreachable, broken, or spared.",
                &["upstream", "result"],
            ),
            retries: counter("api_gateway_upstream_retries_total", "Requests tried a second time.", &["upstream"]),
            open,
            limited,
            refused: counter("api_gateway_refused_total", "Requests without what their path asks for.", &["wanted"]),
            looked_up: counter(
                "cache_operations_total",
                "Whose token or key it is, looked up among the answers of the last seconds.",
                &["cache", "operation", "status"],
            ),
        }
    }

    /// Counts requests that a service answered: for whoever counts each of them.
    pub(crate) fn answered(&self, upstream: &str) -> IntCounter {
        self.answers.with_label_values(&[upstream, "answered"])
    }

    /// What came of a request that was handed on.
    pub(crate) fn handed_on(&self, upstream: &str, result: &str) {
        self.answers.with_label_values(&[upstream, result]).inc();
    }

    pub(crate) fn retried(&self, upstream: &str) {
        self.retries.with_label_values(&[upstream]).inc();
    }

    pub(crate) fn spared(&self, upstream: &str, is_spared: bool) {
        self.open.with_label_values(&[upstream]).set(is_spared.into());
    }

    pub(crate) fn limited(&self, kind: &str) {
        self.limited.with_label_values(&[kind]).inc();
    }

    /// Whether an answer was known.
    pub(crate) fn looked_up(&self, cache: &str, is_known: bool) {
        self.looked_up.with_label_values(&[cache, "get", if is_known { "hit" } else { "miss" }]).inc();
    }

    pub(crate) fn refused(&self, wanted: &str) {
        self.refused.with_label_values(&[wanted]).inc();
    }
}

#[cfg(test)]
mod tests {
    use kit::metrics::Format;

    use super::*;

    #[test]
    fn the_first_request_beyond_its_limit_raises_a_series_that_was_there_before() {
        let metrics = Metrics::new("api-gateway", "0");
        let _figures = Figures::new(&metrics);
        let text = metrics.encode(Format::Text);
        for kind in Subject::KINDS {
            assert!(
                text.contains(&format!("api_gateway_rate_limited_total{{type=\"{kind}\"}} 0\n")),
                "{kind} in {text}"
            );
        }
    }
}
