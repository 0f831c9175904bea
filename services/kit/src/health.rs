//! `/livez`, `/readyz`, `/health` and their aliases, the same in every binary.
//!
//! Liveness never depends on peers. Readiness names each dependency: a hard one that fails makes the service unready, a
//! soft one only `degraded`. State is set by its owner, at a change or in a refresh that looks at what is already known, so
//! that no health request ever waits for a peer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::metrics::{Metrics, Sample, family};

/// How much a dependency matters to the service's own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Without it the service cannot do its work.
    Hard,
    /// Without it the service does less.
    Soft,
}

/// How much an answer says, beside which dependency works and which does not.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// Why one does not work: that may name files and hosts.
    pub reasons: bool,
    /// The fields of [`Health::with_details`].
    pub details: bool,
}

/// The paths of readiness.
pub const READY_PATHS: [&str; 3] = ["/readyz", "/health/ready", "/ready"];

/// By name: how much it matters, and why it does not work.
type Dependencies = BTreeMap<String, (Need, Result<(), String>)>;

/// What a service says of itself. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    service: &'static str,
    version: &'static str,
    dependencies: Arc<Mutex<Dependencies>>,
    refresh: Arc<dyn Fn(&Health) + Send + Sync>,
    details: Arc<dyn Fn() -> Map<String, Value> + Send + Sync>,
    may_know: Arc<dyn Fn(&Request) -> bool + Send + Sync>,
}

impl Health {
    /// A service without dependencies is ready at once.
    pub fn new(service: &'static str, version: &'static str) -> Self {
        let (refresh, details) = (Arc::new(|_: &Self| {}), Arc::new(Map::new));
        Self { service, version, dependencies: Arc::default(), refresh, details, may_know: Arc::new(|_| true) }
    }

    /// Has dependencies set right before they are looked at; called at each request, so it must not wait, and it must
    /// not ask [`Self::is_ready`].
    #[must_use]
    pub fn with_refresh(mut self, refresh: impl Fn(&Self) + Send + Sync + 'static) -> Self {
        self.refresh = Arc::new(refresh);
        self
    }

    /// Says who is told why something does not work, which may name files and hosts; without it everybody is.
    #[must_use]
    pub fn with_reasons_for(mut self, may_know: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.may_know = Arc::new(may_know);
        self
    }

    /// Adds fields to `/health`; called at each request, so it must not wait.
    #[must_use]
    pub fn with_details(mut self, details: impl Fn() -> Map<String, Value> + Send + Sync + 'static) -> Self {
        self.details = Arc::new(details);
        self
    }

    /// Sets what is known of a dependency; `Err` says in a few words why it does not work.
    pub fn set(&self, name: &str, need: Need, state: Result<(), String>) {
        let mut dependencies = self.dependencies.lock().unwrap_or_else(PoisonError::into_inner);
        dependencies.insert(name.to_owned(), (need, state));
    }

    /// Says nothing more of a dependency: it is somebody else's now.
    pub fn forget(&self, name: &str) {
        self.dependencies.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Returns which dependencies work, by name, as far as that is known now.
    pub fn works(&self) -> BTreeMap<String, bool> {
        let dependencies = self.dependencies.lock().unwrap_or_else(PoisonError::into_inner);
        dependencies.iter().map(|(name, (_, state))| (name.clone(), state.is_ok())).collect()
    }

    /// Has metrics say which dependencies work, under the name that is promised. It holds on to what the refresh holds.
    pub fn report_to(&self, metrics: &Metrics) {
        let health = self.clone();
        metrics.collect(move || {
            (health.refresh)(&health);
            let works = health.works();
            let samples =
                works.iter().map(|(name, works)| Sample::of([("check_name", name)], f64::from(u8::from(*works))));
            let samples: Vec<Sample> = samples.collect();
            let help = "1 if what the service needs works, as its health says.";
            if samples.is_empty() { Vec::new() } else { vec![family("health_check_status", help, samples)] }
        });
    }

    /// Returns whether the service can do its own work.
    pub fn is_ready(&self) -> bool {
        self.status(false).0
    }

    fn status(&self, with_reasons: bool) -> (bool, &'static str, Value) {
        (self.refresh)(self);
        let dependencies = self.dependencies.lock().unwrap_or_else(PoisonError::into_inner);
        let broken = |wanted: Need| dependencies.values().any(|(need, state)| *need == wanted && state.is_err());
        let word = match (broken(Need::Hard), broken(Need::Soft)) {
            (true, _) => "unhealthy",
            (false, true) => "degraded",
            (false, false) => "healthy",
        };
        let checks: Map<String, Value> = dependencies
            .iter()
            .map(|(name, (_, state))| {
                let value = match state {
                    Ok(()) => json!({ "status": "healthy" }),
                    Err(_hidden) if !with_reasons => json!({ "status": "unhealthy" }),
                    Err(reason) => json!({ "status": "unhealthy", "reason": reason }),
                };
                (name.clone(), value)
            })
            .collect();
        (!broken(Need::Hard), word, Value::Object(checks))
    }

    /// Answers as `/health` does, or as `/readyz` does.
    pub fn answer(&self, shown: Shown) -> Response {
        let (ready, word, checks) = self.status(shown.reasons);
        let mut body = if shown.details { (self.details)() } else { Map::new() };
        body.insert("status".to_owned(), word.into());
        body.insert("service".to_owned(), self.service.into());
        body.insert("version".to_owned(), self.version.into());
        body.insert("timestamp".to_owned(), Timestamp::now().to_string().into());
        body.entry("checks").or_insert(checks);
        let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (code, no_store, Json(Value::Object(body))).into_response()
    }

    fn answer_to(&self, request: &Request, details: bool) -> Response {
        self.answer(Shown { reasons: (self.may_know)(request), details })
    }

    /// The routes `/livez`, `/readyz` and their aliases `/health/live`, `/health/ready`, `/ready`.
    pub fn routes(&self) -> Router {
        let health = self.clone();
        let ready = move |request: Request| std::future::ready(health.answer_to(&request, false));
        READY_PATHS.into_iter().fold(self.live_routes(), |router, path| router.route(path, get(ready.clone())))
    }

    /// The route `/livez` and its alias `/health/live`. Apart from the others for whoever does not tell everybody all.
    pub fn live_routes(&self) -> Router {
        let live = || async { ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "status": "healthy" }))) };
        Router::new().route("/livez", get(live)).route("/health/live", get(live))
    }

    /// The route `/health`: readiness with details. Apart from the others because some services answer more there.
    pub fn detailed_route(&self) -> Router {
        let health = self.clone();
        let detailed = move |request: Request| std::future::ready(health.answer_to(&request, true));
        Router::new().route("/health", get(detailed))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::metrics::Format;

    async fn ask(health: &Health, path: &str) -> (u16, Value) {
        let router = health.routes().merge(health.detailed_route());
        let response = router.oneshot(axum::http::Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap())
    }

    #[tokio::test]
    async fn a_soft_failure_degrades_a_hard_one_unreadies_and_neither_touches_liveness() {
        let health = Health::new("x", "1");
        assert_eq!(ask(&health, "/health").await.1["status"], "healthy");
        health.set("tempo", Need::Soft, Err("refused".to_owned()));
        let (status, body) = ask(&health, "/health").await;
        assert_eq!((status, body["status"].as_str()), (200, Some("degraded")));
        health.set("store", Need::Hard, Err("disk full".to_owned()));
        let (status, body) = ask(&health, "/readyz").await;
        assert_eq!((status, body["checks"]["store"]["reason"].as_str()), (503, Some("disk full")));
        assert_eq!(ask(&health, "/livez").await.0, 200);
        health.forget("store");
        let (status, body) = ask(&health, "/readyz").await;
        assert_eq!((status, body["checks"].get("store")), (200, None));
    }

    #[test]
    fn metrics_say_what_works_as_it_is_found_when_they_are_asked() {
        let metrics = Metrics::new("x", "1");
        let health =
            Health::new("x", "1").with_refresh(|health| health.set("store", Need::Hard, Err("full".to_owned())));
        health.report_to(&metrics);
        health.set("tempo", Need::Soft, Ok(()));
        let text = metrics.encode(Format::Text);
        let expected = "health_check_status{check_name=\"store\"} 0\nhealth_check_status{check_name=\"tempo\"} 1\n";
        assert!(text.contains(expected), "{text}");
    }

    #[tokio::test]
    async fn without_reasons_a_dependency_is_named_and_no_more() {
        let health = Health::new("x", "1");
        health.set("store", Need::Hard, Err("/var/lib/x/state.db: disk full".to_owned()));
        let response = health.answer(Shown { reasons: false, details: true });
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["checks"], json!({ "store": { "status": "unhealthy" } }));
    }

    #[tokio::test]
    async fn the_first_answer_already_counts_what_a_refresh_finds() {
        for path in ["/readyz", "/ready", "/health"] {
            let health = Health::new("x", "1")
                .with_refresh(|health| health.set("store", Need::Hard, Err("disk full".to_owned())))
                .with_details(|| [("more".to_owned(), 1.into())].into_iter().collect());
            let (status, body) = ask(&health, path).await;
            assert_eq!((status, body["checks"]["store"]["reason"].as_str()), (503, Some("disk full")), "{path}");
            assert_eq!(body["more"] == 1, path == "/health");
        }
    }
}
