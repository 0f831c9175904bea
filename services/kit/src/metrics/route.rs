//! The series of one method and route template.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use prometheus::{Histogram, IntCounter, IntCounterVec};

use super::encode::{Exemplar, Exemplars};
use super::http::DURATION;
use crate::trace::Context;

/// Counts the requests of one route.
pub struct Route {
    durations: Histogram,
    /// Sizes of bodies that came.
    pub request_bytes: Histogram,
    /// Sizes of bodies that were answered.
    pub response_bytes: Histogram,
    requests: IntCounterVec,
    /// Those of statuses that were answered before.
    statuses: RwLock<Vec<(StatusCode, IntCounter)>>,
    exemplars: Arc<Exemplars>,
    /// The second of the last exemplar: one a second is more than is scraped.
    exemplar_at: AtomicI64,
    /// Method, template, service.
    labels: [String; 3],
}

impl Route {
    pub(super) fn new(
        [durations, request_bytes, response_bytes]: [Histogram; 3],
        requests: IntCounterVec,
        exemplars: Arc<Exemplars>,
        labels: [String; 3],
    ) -> Self {
        let (statuses, exemplar_at) = (RwLock::default(), AtomicI64::new(0));
        Self { durations, request_bytes, response_bytes, requests, statuses, exemplars, exemplar_at, labels }
    }

    /// Counts a request whose response has begun; if `trace` is recorded, it is an example of how long that took.
    pub fn answered(&self, status: StatusCode, took: Duration, trace: Option<&Context>) {
        self.of_status(status).inc();
        self.durations.observe(took.as_secs_f64());
        let Some(trace) = trace.filter(|trace| trace.is_sampled()) else { return };
        let now = Timestamp::now();
        if self.exemplar_at.swap(now.as_second(), Ordering::Relaxed) != now.as_second() {
            let [method, template, service] = &self.labels;
            let (value, timestamp_secs) = (took.as_secs_f64(), now.as_duration().as_secs_f64());
            let exemplar = Exemplar { trace_id: trace.trace_id(), value, timestamp_secs };
            self.exemplars.put(DURATION, &[template, method, service], exemplar);
        }
    }

    fn of_status(&self, status: StatusCode) -> IntCounter {
        let known = self.statuses.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = known.iter().find(|(known, _)| *known == status) {
            return counter.clone();
        }
        drop(known);
        let [method, template, service] = &self.labels;
        let labels = [method, template, status.as_str(), status.as_str(), service];
        let counter = self.requests.with_label_values(&labels);
        // Of two that come at once both may add it: they are the same counter.
        self.statuses.write().unwrap_or_else(PoisonError::into_inner).push((status, counter.clone()));
        counter
    }
}
