//! What this service says of itself, and to whom it says why something does not work.

use axum::extract::Request;
use kit::health::Health;
use kit::http::{Place, ServiceKey, peer};
use kit::service::Settings as _;
use serde_json::{Map, Value, json};

use crate::auth::{KEYS, REDIS};
use crate::settings::Settings;
use crate::store::DATABASE;

/// The paths that clients look for.
const ENDPOINTS: [&str; 3] = ["/auth", "/analytics", "/metrics"];

/// Returns the health of a service with these settings.
pub(crate) fn health(settings: &Settings) -> Health {
    let key = settings.api_key.as_ref().map(ServiceKey::new);
    let health =
        Health::new(Settings::NAME, Settings::VERSION).with_reasons_for(move |request| may_know(request, key.as_ref()));
    let (known, has_redis) = (health.clone(), settings.stream.is_some());
    health.with_details(move || details(&known, has_redis))
}

/// Whoever asks from this machine, with nobody in between, and whoever has the key: reasons name files and hosts.
fn may_know(request: &Request, key: Option<&ServiceKey>) -> bool {
    let is_here = peer(request.extensions()).is_some_and(|peer| peer.to_canonical().is_loopback());
    key.is_some_and(|key| key.is_shown(request.headers())) || is_here && !Place::is_forwarded(request.headers())
}

/// What its parts need, by the names that clients read.
fn details(health: &Health, has_redis: bool) -> Map<String, Value> {
    let works = health.works();
    let state = |names: &[&str]| {
        let all = names.iter().all(|name| works.get(*name).copied().unwrap_or(false));
        json!({ "status": if all { "healthy" } else { "unhealthy" } })
    };
    let redis = if has_redis { state(&[REDIS]) } else { json!({ "status": "not_configured" }) };
    let components = json!({
        "auth": state(&[DATABASE, KEYS]),
        "analytics": state(&[DATABASE]),
        "database": state(&[DATABASE]),
        "redis": redis,
    });
    [("components".to_owned(), components), ("endpoints".to_owned(), json!(ENDPOINTS))].into_iter().collect()
}
