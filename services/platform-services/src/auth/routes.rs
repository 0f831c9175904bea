//! The paths, with those of earlier clients.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{delete, get, post};
use kit::http::{Place, ServiceKey};

use super::password::Passwords;
use super::token::Tokens;
use super::{account, login, stream};
use crate::settings::Settings;
use crate::store::Store;

/// What the handlers share.
pub(crate) struct Auth {
    pub(super) store: Store,
    pub(super) passwords: Passwords,
    pub(super) tokens: Tokens,
    pub(super) service_key: Option<ServiceKey>,
    /// Knows which proxies are ours.
    pub(super) proxies: Place,
    pub(super) refresh_life: Duration,
    pub(super) password_min_chars: usize,
}

impl Auth {
    pub(crate) fn new(settings: &Settings, store: Store) -> Self {
        Self {
            store,
            passwords: Passwords::new(),
            tokens: Tokens::new(&settings.jwt_secret, settings.access_life),
            service_key: settings.api_key.as_ref().map(ServiceKey::new),
            proxies: Place::new(Vec::new(), &[], None, settings.trusted_proxies.clone()),
            refresh_life: settings.refresh_life,
            password_min_chars: settings.password_min_chars,
        }
    }
}

/// Returns every route of sign-in: below `/auth`, below `/api/auth`, where existing clients look for them, and without
/// either for the oldest.
pub(crate) fn routes(auth: Arc<Auth>) -> Router {
    let own = || {
        Router::new()
            .route("/register", post(account::register))
            .route("/login", post(login::login))
            .route("/refresh", post(login::refresh))
            .route("/logout", post(login::logout))
            .route("/verify", get(login::verify).post(login::verify))
            .route("/validate", get(login::verify).post(login::verify))
            .route("/me", get(account::profile))
            .route("/profile", get(account::profile))
            .route("/change-password", post(account::change_password))
            .route("/users/{id}", delete(account::delete))
    };
    let oldest = Router::new()
        .route("/register", post(account::register))
        .route("/login", post(login::login))
        .route("/verify", get(login::verify).post(login::verify))
        .route("/profile", get(account::profile))
        // Not below /api, which is what a gateway hands on.
        .route("/tenants/current", get(account::tenant))
        .route("/auth/events", get(stream::events));
    Router::new().nest("/auth", own()).nest("/api/auth", own()).merge(oldest).with_state(auth)
}
