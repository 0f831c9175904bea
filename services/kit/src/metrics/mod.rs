//! Metrics: one registry a binary, values collected on scrape, Prometheus text and OpenMetrics.
//!
//! Each binary lists its own metrics in one file of its own; here is only what all of them have.

mod encode;
mod family;
mod http;
mod process;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use jiff::Timestamp;
use prometheus::proto::MetricFamily;

pub use encode::{Exemplar, Exemplars, Format};
pub use family::{Buckets, Labels, Sample, family, histograms};
pub use http::{HttpMetrics, InFlight};

type Collect = Box<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

/// All metrics of a process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: prometheus::Registry,
    collectors: Arc<Mutex<Vec<Collect>>>,
    exemplars: Arc<Exemplars>,
}

impl Metrics {
    /// A registry with build information and the process's own figures, which started now.
    pub fn new(binary: &'static str, version: &'static str) -> Self {
        let metrics =
            Self { registry: prometheus::Registry::new(), collectors: Arc::default(), exemplars: Arc::default() };
        let started = Timestamp::now();
        metrics.collect(move || process::collect(binary, version, started));
        metrics.collect(crate::trace::collect);
        metrics
    }

    /// The registry for counters and histograms.
    pub fn registry(&self) -> &prometheus::Registry {
        &self.registry
    }

    /// Exemplars for histograms of the registry.
    pub fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    /// Adds families that are computed at each scrape.
    pub fn collect(&self, collect: impl Fn() -> Vec<MetricFamily> + Send + Sync + 'static) {
        self.collectors.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(collect));
    }

    /// Writes everything.
    pub fn encode(&self, format: Format) -> String {
        let mut families = self.registry.gather();
        for collect in self.collectors.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            families.extend(collect());
        }
        families.sort_by(|left, right| left.name().cmp(right.name()));
        encode::encode(&families, &self.exemplars, format)
    }

    /// The route `/metrics`.
    pub fn routes(&self) -> Router {
        let metrics = self.clone();
        Router::new().route(
            "/metrics",
            get(move |headers: HeaderMap| {
                let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
                let format = Format::of_accept(accept);
                std::future::ready(([(header::CONTENT_TYPE, format.content_type())], metrics.encode(format)))
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_started_when_its_metrics_were_made_and_not_at_the_first_scrape() {
        let metrics = Metrics::new("monitor", "1.0");
        let made = Timestamp::now().as_duration().as_secs_f64();
        let text = metrics.encode(Format::Text);
        let started = text.lines().find_map(|line| line.strip_prefix("process_start_time_seconds ")).unwrap();
        assert!(started.parse::<f64>().unwrap() <= made, "{started}, made {made}");
    }
}
