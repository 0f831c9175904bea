//! Puts the routes together and serves them: as a router, or on a listener.

use std::time::Duration;

use axum::{Extension, Router};
use kit::health::Health;
use kit::http::{Endpoints, Limits, serve, with_conventions};
use kit::metrics::{HttpMetrics, Metrics};
use kit::service::Settings as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::airtable;
use crate::forward::MAX_REQUEST_BYTES;
use crate::health;
use crate::index;
use crate::settings::Settings;

/// The name in answers and metrics.
pub(crate) const SERVICE: &str = Settings::NAME;
/// The version in answers and metrics.
pub(crate) const VERSION: &str = Settings::VERSION;

/// What a handler gets beyond its own deadlines, so that the answer that says which peer was slow comes first.
const MARGIN: Duration = Duration::from_secs(5);

/// Returns the whole gateway as a router. Clients' addresses are read from `ConnectInfo`, if it is there.
pub fn app(settings: Settings) -> Router {
    let metrics = Metrics::new(SERVICE, VERSION);
    let http_metrics = HttpMetrics::new(&metrics, SERVICE);
    // A caller of the health answer may wait for one that was given up by others, and then for its own.
    let longest = settings.upstream_timeout.max(settings.health_check_timeout.saturating_mul(2));
    let routes = index::routes()
        .merge(health::routes(settings.upstreams(), settings.health_check_timeout))
        .merge(Health::new(SERVICE, VERSION).routes())
        .merge(metrics.routes())
        .merge(airtable::routes(settings));
    with_conventions(routes, http_metrics, longest.saturating_add(MARGIN), MAX_REQUEST_BYTES)
        .layer(Extension(Endpoints(&index::ENDPOINTS)))
}

/// Serves on `listener` until `stop`, then lets running requests finish within [`Limits::grace`].
pub async fn run(listener: TcpListener, settings: Settings, stop: CancellationToken) {
    let address = listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
    tracing::info!(address, version = VERSION, "listening");
    serve(listener, app(settings), Limits::default(), stop).await;
    tracing::info!("stopped");
}
