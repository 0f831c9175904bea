//! Puts the routes together and serves them: as a router, or on a listener.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kit::health::{Health, Need};
use kit::http::{Limits, serve, with_conventions};
use kit::metrics::{HttpMetrics, Metrics};
use kit::service::Settings as _;
use kit::shutdown::within;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::analytics::{self, Analytics};
use crate::auth::{self, Auth, KEYS, Relay};
use crate::health::health;
use crate::mail::Mail;
use crate::openapi::description;
use crate::settings::Settings;
use crate::store::{DATABASE, Store};

const SERVICE: &str = Settings::NAME;
const VERSION: &str = Settings::VERSION;

/// Longest time a handler may take: several statements of 5 s each, and a turn for a hash.
const REQUEST_DEADLINE: Duration = Duration::from_secs(20);
/// Largest request body: only batches of metrics are larger, and have a limit of their own.
const BODY_LIMIT_BYTES: usize = 64 * 1024;
/// Longest wait, once there are no more requests, for what goes on without its client.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How long the database may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// The whole service as a router, and what must run beside it.
pub(crate) struct Service {
    /// Every route. Clients' addresses are read from `ConnectInfo`, if it is there.
    pub(crate) router: Router,
    store: Store,
    auth: Arc<Auth>,
    relay: Option<Relay>,
    health: Health,
    mail: Mail,
}

impl Service {
    /// Puts it together; nothing is opened yet.
    pub(crate) fn new(settings: &Settings) -> Self {
        let metrics = Metrics::new(SERVICE, VERSION);
        let http_metrics = HttpMetrics::new(&metrics, SERVICE);
        let of_analytics = analytics::clearances(settings.analytics_retention_ms());
        let clearances = [auth::CLEARANCES.as_slice(), of_analytics.as_slice()].concat();
        let store = Store::new(settings.database.clone(), settings.connections, clearances);
        let health = health(settings);
        health.report_to(&metrics);
        health.set(DATABASE, Need::Hard, Err("not opened yet".to_owned()));
        health.set(KEYS, Need::Hard, Err("there are none yet".to_owned()));
        let mail = Mail::new(settings.mail.as_ref(), &metrics);
        let auth = Arc::new(Auth::new(settings, store.clone(), mail.clone()));
        let analytics = Analytics::new(settings, store.clone(), auth.clone());
        let router = auth::routes(auth.clone())
            .merge(analytics::routes(Arc::new(analytics)))
            .merge(health.routes())
            .merge(health.detailed_route())
            .merge(metrics.routes())
            .merge(description(settings).routes());
        let router = with_conventions(router, http_metrics, REQUEST_DEADLINE, BODY_LIMIT_BYTES);
        let relay = settings.stream.as_ref().and_then(|(url, stream)| Relay::new(auth.clone(), url, stream));
        Self { router, store, auth, relay, health, mail }
    }

    async fn hand_on(&self) {
        match &self.relay {
            Some(relay) => relay.run(&self.health).await,
            None => std::future::pending().await,
        }
    }

    /// Opens the database as soon as it is there, keeps looking at it and at the signing keys, hands events on, sends mails,
    /// and closes everything after `stop`.
    async fn keep(&self, stop: CancellationToken) {
        let mailing = self.mail.run(self.auth.clone(), &self.health, stop.clone());
        tokio::join!(mailing, async {
            tokio::select! {
                () = self.store.clone().keep(self.health.clone(), stop) => {}
                () = self.auth.tend_keys(&self.health) => {}
                () = self.hand_on() => {}
            }
        });
    }
}

/// Serves on `listener` until `stop`, then lets running requests finish within [`Limits::grace`].
pub async fn run(listener: TcpListener, settings: Settings, stop: CancellationToken) {
    let service = Service::new(&settings);
    let address = listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
    tracing::info!(address, version = VERSION, "listening");
    let served = CancellationToken::new();
    let serving = async {
        serve(listener, service.router.clone(), Limits::default(), stop).await;
        within(END_WITHIN, "what goes on without its client", service.auth.ended()).await;
        served.cancel();
    };
    let keeping = service.keep(served.clone());
    tokio::join!(serving, async {
        tokio::select! {
            () = keeping => {}
            // Its last requests are answered; a database that hangs has had its time.
            () = async { served.cancelled().await; tokio::time::sleep(CLOSE_WITHIN).await } => {}
        }
    });
    tracing::info!("stopped");
}
