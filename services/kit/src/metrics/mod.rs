//! Metrics: one registry a binary, values collected on scrape, Prometheus text and OpenMetrics.
//!
//! Each binary lists its own metrics in one file of its own; here is only what all of them have.

mod cap;
mod encode;
mod family;
mod http;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod operations;
mod process;
mod route;
mod runtime;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use tokio::runtime::{Handle, RuntimeMetrics};

pub use cap::MAX_SERIES;
pub use encode::{Exemplar, Exemplars, Format};
pub use family::{Buckets, Labels, Sample, family, histograms};
pub use http::{HttpMetrics, InFlight};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use operations::Operations;
pub use route::Route;

use cap::LeftOut;

type Collect = Box<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

/// All metrics of a process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: prometheus::Registry,
    collectors: Arc<Mutex<Vec<Collect>>>,
    exemplars: Arc<Exemplars>,
    runtimes: Arc<Mutex<Vec<RuntimeMetrics>>>,
    left_out: Arc<Mutex<LeftOut>>,
}

impl Metrics {
    /// A registry with build information and the figures of the process, which started now, and of the runtime that this is
    /// called in.
    pub fn new(binary: &'static str, version: &'static str) -> Self {
        let runtimes: Arc<Mutex<Vec<RuntimeMetrics>>> = Arc::default();
        let metrics = Self {
            registry: prometheus::Registry::new(),
            collectors: Arc::default(),
            exemplars: Arc::default(),
            runtimes: runtimes.clone(),
            left_out: Arc::default(),
        };
        if let Ok(here) = Handle::try_current() {
            metrics.watch_runtime(&here);
        }
        let started = Timestamp::now();
        metrics.collect(move || process::collect(binary, version, started));
        metrics.collect(move || runtime::collect(&runtimes.lock().unwrap_or_else(PoisonError::into_inner)));
        metrics.collect(crate::trace::collect);
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        metrics.collect(|| [crate::db::collect(), crate::queue::collect()].into_iter().flatten().collect());
        metrics.collect(|| vec![crate::log::unwritten()]);
        metrics.collect(crate::log::collect);
        metrics
    }

    /// Adds a counter, a gauge or a histogram, and returns it.
    ///
    /// # Panics
    /// When its name is not one, or was added before: a fault of the program.
    pub fn register<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("valid names");
        self.registry.register(Box::new(collector.clone())).expect("registered once");
        collector
    }

    /// Exemplars for histograms of the registry.
    pub fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    /// Adds families that are computed at each scrape.
    pub fn collect(&self, collect: impl Fn() -> Vec<MetricFamily> + Send + Sync + 'static) {
        self.collectors.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(collect));
    }

    /// Adds the figures of a further runtime to those of the first.
    pub fn watch_runtime(&self, runtime: &Handle) {
        self.runtimes.lock().unwrap_or_else(PoisonError::into_inner).push(runtime.metrics());
    }

    /// Writes everything, but of each family no more than [`MAX_SERIES`]: what is left out is counted.
    pub fn encode(&self, format: Format) -> String {
        let mut families = self.registry.gather();
        for collect in self.collectors.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            families.extend(collect());
        }
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner).cap(&mut families);
        families.extend(left_out);
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
