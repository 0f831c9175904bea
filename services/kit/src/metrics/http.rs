//! Request metrics that every service has, under the names existing dashboards use.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::Metrics;

/// Seconds. From a local cache hit to the founding document's longest objective; the last is the gateway's deadline.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Counters of one service's requests. Cheap to clone.
#[derive(Clone)]
pub struct HttpMetrics {
    service: &'static str,
    requests: IntCounterVec,
    durations: HistogramVec,
    active: IntGauge,
}

/// One request that is being handled; dropping it ends it.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl HttpMetrics {
    /// Registers the metrics.
    ///
    /// # Panics
    /// When called twice for one registry: a fault of the program.
    pub fn new(metrics: &Metrics, service: &'static str) -> Self {
        let requests = Opts::new("http_requests_total", "Requests by route template; probes are not counted.");
        let requests = IntCounterVec::new(requests, &["method", "endpoint", "status", "status_code", "service"]);
        let durations =
            HistogramOpts::new("http_request_duration_seconds", "Time to the response head, by route template.");
        let durations = HistogramVec::new(durations.buckets(BUCKETS.to_vec()), &["method", "endpoint", "service"]);
        let active = IntGaugeVec::new(Opts::new("active_connections", "Requests being handled now."), &["service"]);
        let (requests, durations) = (requests.expect("valid names"), durations.expect("valid names"));
        let active = active.expect("valid names");
        for collector in [
            Box::new(requests.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(durations.clone()),
            Box::new(active.clone()),
        ] {
            metrics.registry().register(collector).expect("registered once");
        }
        Self { service, requests, durations, active: active.with_label_values(&[service]) }
    }

    /// Counts a request as being handled until the result is dropped.
    pub fn begin(&self) -> InFlight {
        self.active.inc();
        InFlight(self.active.clone())
    }

    /// Counts a finished request.
    pub fn observe(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
            // Clients choose methods freely; labels come from closed sets.
            _ => "OTHER",
        };
        let status = status.as_str();
        self.requests.with_label_values(&[method, route, status, status, self.service]).inc();
        self.durations.with_label_values(&[method, route, self.service]).observe(took.as_secs_f64());
    }
}
