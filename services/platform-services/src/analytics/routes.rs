//! The paths, and what the handlers share.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use jiff::Timestamp;

use super::period::next_hour_ms;
use super::{costs, dashboard, event, events, metric, metrics, usage};
use crate::auth::Auth;
use crate::settings::Settings;
use crate::store::Store;

/// What the handlers share.
pub(crate) struct Analytics {
    pub(super) store: Store,
    /// Knows users by their tokens.
    pub(super) auth: Arc<Auth>,
    pub(super) requires_key: bool,
    /// Metrics that may come at once.
    pub(super) batch_size: usize,
    retention_ms: i64,
}

impl Analytics {
    pub(crate) fn new(settings: &Settings, store: Store, auth: Arc<Auth>) -> Self {
        Self {
            store,
            auth,
            requires_key: settings.requires_api_key,
            batch_size: settings.metrics_batch_size,
            retention_ms: settings.analytics_retention_ms(),
        }
    }

    /// Returns the beginning of the first hour of which everything is kept. What is older may be gone, or not yet, and is not
    /// shown.
    pub(super) fn oldest_ms(&self, now: Timestamp) -> i64 {
        next_hour_ms(now.as_millisecond().saturating_sub(self.retention_ms))
    }
}

/// Returns every route of analytics.
pub(crate) fn routes(analytics: Arc<Analytics>) -> Router {
    let batch = post(metric::post_batch).layer(DefaultBodyLimit::max(analytics.batch_size * metric::MAX_BYTES));
    let own = Router::new()
        .route("/events", get(events::list).post(event::post))
        .route("/metrics", get(metrics::list).post(metric::post))
        .route("/metrics/batch", batch)
        .route("/usage/{user}", get(usage::of_user))
        .route("/costs", get(costs::sum))
        .route("/dashboard", get(dashboard::show));
    Router::new().nest("/analytics", own).with_state(analytics)
}
