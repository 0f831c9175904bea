//! Puts the routes together and serves them: as a router, or on a listener.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use kit::health::{Health, Need};
use kit::http::{EachCore, Endpoints, Limits, MakeRouter, serve_each_core, with_conventions};
use kit::metrics::{HttpMetrics, Metrics};
use kit::openapi::Description;
use kit::service::Settings as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::cors::{Origins, cross_origin};
use crate::figures::Figures;
use crate::gate::Gatehouse;
use crate::health::Platform;
use crate::limit::Limiter;
use crate::openapi::description;
use crate::routes::{Roads, Ways};
use crate::settings::Settings;
use crate::table::LARGE;
use crate::tunnels::Tunnels;
use crate::ws::{Hub, News};
use crate::{chat, health, index, routes, ws};

/// The name in answers and metrics.
pub(crate) const SERVICE: &str = Settings::NAME;
/// The version in answers and metrics.
pub(crate) const VERSION: &str = Settings::VERSION;

/// Longest time of a handler. Each wait within one has its own deadline; this is for a body that trickles in: 25 MiB at 30
/// KiB a second.
const LONGEST: Duration = Duration::from_secs(900);
/// Browsers come by https alone for a year (RFC 6797 section 6.1.1; what hstspreload.org asks for at least).
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// Its name in health.
const REDIS: &str = "redis";

/// The whole gateway, and what must run beside its routes.
pub struct App {
    settings: Settings,
    metrics: Metrics,
    http_metrics: HttpMetrics,
    roads: Roads,
    platform: Arc<Platform>,
    health: Health,
    pub(crate) tunnels: Tunnels,
    description: Description,
}

impl App {
    /// Puts it together. WebSockets end when `stop` says so.
    pub fn new(settings: Settings, stop: CancellationToken) -> Self {
        let metrics = Metrics::new(SERVICE, VERSION);
        let http_metrics = HttpMetrics::new(&metrics, SERVICE);
        let figures = Figures::new(&metrics);
        let limiter = Arc::new(Limiter::new(&settings, figures.clone()));
        let health = health_of(limiter.clone());
        health.report_to(&metrics);
        let house = Gatehouse::new(&settings, limiter.clone(), figures.clone());
        let tunnels = Tunnels::new(stop);
        let hub = Arc::new(Hub::new(&metrics));
        let platform = Arc::new(Platform::new(&settings, hub.clone()));
        let roads = Roads::new(&settings, house, hub, &figures, &tunnels);
        Self { settings, metrics, http_metrics, roads, platform, health, tunnels, description: description() }
    }

    /// Makes every route, with connections to services of its own. Clients' addresses are read from `ConnectInfo`, if it is
    /// there.
    pub fn router(&self) -> Router {
        let settings = &self.settings;
        let ways = Arc::new(Ways::new(&self.roads));
        let endpoints = self.description.operations().into_iter().collect();
        let routes = index::routes(&endpoints)
            .merge(health::routes(self.platform.clone()))
            .merge(self.health.routes())
            .merge(self.metrics.routes())
            .merge(self.description.clone().routes())
            .merge(routes::routes(&ways))
            .merge(chat::routes(&ways))
            .merge(ws::routes(&ways, &self.tunnels));
        let router =
            with_conventions(routes, self.http_metrics.clone(), LONGEST, LARGE).layer(Extension(Endpoints(endpoints)));
        let router = if settings.cors_origins.is_empty() {
            router
        } else {
            router.layer(from_fn_with_state(Origins(settings.cors_origins.clone().into()), cross_origin))
        };
        if settings.tls.is_none() {
            return router;
        }
        router.layer(SetResponseHeaderLayer::overriding(header::STRICT_TRANSPORT_SECURITY, HSTS))
    }

    fn news(&self) -> News {
        let (costs, key) = (self.settings.cost_tracking.clone(), self.settings.api_key.clone());
        News { hub: self.roads.hub.clone(), platform: self.platform.clone(), costs, key }
    }
}

fn health_of(limiter: Arc<Limiter>) -> Health {
    Health::new(SERVICE, VERSION).with_refresh(move |health| {
        if let Some(state) = limiter.state() {
            health.set(REDIS, Need::Soft, state);
        }
    })
}

/// Serves on `listener` until `stop`, then lets running requests finish within [`Limits::grace`].
pub async fn run(listener: TcpListener, settings: Settings, stop: CancellationToken) {
    let app = Arc::new(App::new(settings, stop.clone()));
    let address = listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
    tracing::info!(address, version = VERSION, "listening");
    let make: MakeRouter = {
        let app = app.clone();
        Arc::new(move || app.router())
    };
    let (tls, metrics, tasks) = (app.settings.tls.as_ref(), &app.metrics, app.tunnels.tracker.clone());
    let what = EachCore { make, tls, metrics, tasks };
    tokio::select! {
        () = serve_each_core(listener, what, Limits::default(), stop) => {}
        () = app.news().run() => {}
    }
    tracing::info!("stopped");
}
