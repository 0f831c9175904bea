//! The paths, with those of earlier clients.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use kit::health::{Health, Need};
use kit::http::{ApiError, Place, ServiceKey};
use tokio_util::task::TaskTracker;

use super::keyring::{Keyring, TEND_EVERY};
use super::links::Links;
use super::password::Passwords;
use super::second_factor::SecondFactors;
use super::token::Tokens;
use super::users::{User, WATCHED};
use super::uses::Uses;
use super::{account, admin, keys, login, profile, reset, sessions, stream, totp_routes, verification};
use crate::mail::Mail;
use crate::settings::Settings;
use crate::store::Store;

/// The name of the signing keys in health.
pub(crate) const KEYS: &str = "signing_keys";
/// After a look at the signing keys that failed.
const TEND_AGAIN: Duration = Duration::from_millis(200);

/// What the handlers share.
pub(crate) struct Auth {
    pub(super) store: Store,
    pub(super) passwords: Passwords,
    pub(super) tokens: Tokens,
    pub(super) second_factors: SecondFactors,
    pub(super) links: Links,
    pub(super) mail: Mail,
    pub(super) uses: Uses,
    pub(super) endings: TaskTracker,
    /// Whether an account signs in only once its address is confirmed.
    requires_verified_email: bool,
    pub(super) service_key: Option<ServiceKey>,
    /// Knows which proxies are ours.
    pub(super) proxies: Place,
    pub(super) refresh_life: Duration,
    pub(super) password_min_chars: usize,
}

impl Auth {
    pub(crate) fn new(settings: &Settings, store: Store, mail: Mail) -> Self {
        let keyring = Keyring::new(&settings.jwt_secret, settings.signing, settings.access_life);
        Self {
            store,
            passwords: Passwords::new(),
            tokens: Tokens::new(keyring, settings.access_life),
            second_factors: SecondFactors::new(&settings.jwt_secret, &settings.public_url),
            links: Links::new(&settings.jwt_secret, &settings.public_url),
            mail,
            uses: Uses::default(),
            endings: TaskTracker::new(),
            requires_verified_email: settings.requires_verified_email,
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
            .route("/logout", post(sessions::logout))
            .route("/logout-all", post(sessions::logout_all))
            .route("/sessions", get(sessions::list))
            .route("/sessions/{id}", delete(sessions::end))
            .route("/verify", get(login::verify).post(login::verify))
            .route("/validate", get(login::verify).post(login::verify))
            .route("/me", get(profile::profile))
            .route("/profile", get(profile::profile).patch(profile::rename))
            .route("/change-password", post(account::change_password))
            .route("/totp", get(totp_routes::state))
            .route("/totp/setup", post(totp_routes::set_up))
            .route("/totp/enable", post(totp_routes::enable))
            .route("/totp/disable", post(totp_routes::disable))
            .route("/verify-email", post(verification::verify))
            .route("/verify-email/resend", post(verification::resend))
            .route("/forgot-password", post(reset::forgot))
            .route("/reset-password", post(reset::reset))
            .route("/users", get(admin::list))
            .route("/users/{id}", delete(account::delete).patch(admin::change))
            .route("/users/{id}/totp", delete(totp_routes::remove))
            .route("/keys", get(keys::list).post(keys::make))
            .route("/keys/verify", get(keys::verify))
            .route("/keys/{id}", delete(keys::revoke))
            .route("/jwks", get(jwks))
    };
    let oldest = Router::new()
        .route("/register", post(account::register))
        .route("/login", post(login::login))
        .route("/verify", get(login::verify).post(login::verify))
        .route("/profile", get(profile::profile))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/tenants/current", get(profile::tenant))
        // Not below /api, which is what a gateway hands on.
        .route("/auth/events", get(stream::events));
    Router::new().nest("/auth", own()).nest("/api/auth", own()).merge(oldest).with_state(auth)
}

/// How long verifiers may keep the list of keys, in seconds: half of how long a key is in it before it signs.
const JWKS_AGE: &str = "public, max-age=300";

/// `GET /.well-known/jwks.json`: the keys that tokens are signed with (RFC 7517 section 5).
async fn jwks(State(auth): State<Arc<Auth>>) -> Result<Response, ApiError> {
    let keys = auth.tokens.keyring.published()?;
    Ok(([(header::CACHE_CONTROL, JWKS_AGE)], Json(keys)).into_response())
}

impl Auth {
    /// Decides whether an account may sign in as far as its address is concerned. No monitor gets mail.
    pub(super) fn may_sign_in(&self, user: &User) -> bool {
        !self.requires_verified_email || user.email_verified != 0 || user.realm == WATCHED
    }

    /// Keeps the signing keys in order, and says in `health` whether there are any, until it is dropped.
    pub(crate) async fn tend_keys(&self, health: &Health) {
        loop {
            let keyring = &self.tokens.keyring;
            let tended = keyring.tend(&self.store, Timestamp::now()).await;
            let known = keyring.published().map(|_keys| ());
            health.set(KEYS, Need::Hard, known.map_err(|_not_yet| "there are none yet".to_owned()));
            tokio::time::sleep(if tended.is_ok() { TEND_EVERY } else { TEND_AGAIN }).await;
        }
    }
}
