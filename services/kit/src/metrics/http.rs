//! Request metrics that every service has, under the names existing dashboards use.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::Method;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::Metrics;
use super::encode::Exemplars;
use super::route::Route;

/// How long requests took.
pub(super) const DURATION: &str = "http_request_duration_seconds";
/// Seconds. From a local cache hit to the founding document's longest objective; the last is the gateway's deadline.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0, 30.0];
/// Bytes. From an empty object to the largest upload.
const BYTES: [f64; 7] = [100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];
/// Clients choose methods freely; labels come from closed sets.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"];

/// Counters of one service's requests. Cheap to clone.
#[derive(Clone)]
pub struct HttpMetrics(Arc<Families>);

struct Families {
    service: &'static str,
    requests: IntCounterVec,
    durations: HistogramVec,
    request_bytes: HistogramVec,
    response_bytes: HistogramVec,
    active: IntGauge,
    exemplars: Arc<Exemplars>,
    /// What was asked for before, by method: finding labels' values anew costs each request more than all else here.
    routes: [RwLock<HashMap<String, Arc<Route>>>; METHODS.len()],
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
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            metrics.register(HistogramVec::new(options, &["method", "endpoint", "service"]))
        };
        let requests = Opts::new("http_requests_total", "Requests by route template; probes are not counted.");
        let requests = IntCounterVec::new(requests, &["method", "endpoint", "status", "status_code", "service"]);
        let active = IntGaugeVec::new(Opts::new("active_connections", "Requests being handled now."), &["service"]);
        Self(Arc::new(Families {
            service,
            requests: metrics.register(requests),
            durations: histogram(DURATION, "Time to the response head, by route template.", &SECONDS),
            request_bytes: histogram("http_request_size_bytes", "Bodies that came, by route template.", &BYTES),
            response_bytes: histogram(
                "http_response_size_bytes",
                "Bodies that were answered, by route template.",
                &BYTES,
            ),
            active: metrics.register(active).with_label_values(&[service]),
            exemplars: metrics.exemplars.clone(),
            routes: Default::default(),
        }))
    }

    /// Counts a request as being handled until the result is dropped.
    pub fn begin(&self) -> InFlight {
        self.0.active.inc();
        InFlight(self.0.active.clone())
    }

    /// Returns what counts the requests with this method for this route template.
    pub fn route(&self, method: &Method, template: &str) -> Arc<Route> {
        let known = METHODS.iter().zip(&self.0.routes).find(|(known, _)| **known == method.as_str());
        let (method, routes) = match (known, &self.0.routes) {
            (Some((method, routes)), _) => (*method, routes),
            (None, [.., others]) => ("OTHER", others),
        };
        let found = routes.read().unwrap_or_else(PoisonError::into_inner).get(template).cloned();
        found.unwrap_or_else(|| {
            let mut routes = routes.write().unwrap_or_else(PoisonError::into_inner);
            routes.entry(template.to_owned()).or_insert_with(|| Arc::new(self.0.begin_route(method, template))).clone()
        })
    }
}

impl Families {
    fn begin_route(&self, method: &'static str, template: &str) -> Route {
        let labels = [method, template, self.service];
        Route::new(
            [&self.durations, &self.request_bytes, &self.response_bytes].map(|of| of.with_label_values(&labels)),
            self.requests.clone(),
            self.exemplars.clone(),
            labels.map(str::to_owned),
        )
    }
}
