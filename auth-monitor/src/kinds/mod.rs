//! The kinds of checks of this program, beside those of every monitor.

mod auth_events;
mod cookies;
mod jwks;
mod lockout;
mod misplaced;
mod oidc;
mod registration;
mod sign_in;
mod tokens;
mod user;

use std::sync::Arc;
use std::time::Duration;

use kit::config::Fields;
use monitor::Kinds;

use crate::ledger::Ledger;
use crate::sightings::Sightings;
use crate::streams::Streams;
pub use misplaced::kept_from_here;
pub(crate) use misplaced::may_be_meant;

/// What the kinds share. Cheap to clone.
#[derive(Clone)]
pub struct Means {
    /// Which accounts there are that checks made.
    pub ledger: Ledger,
    /// What this daemon is called in the addresses of its accounts.
    pub instance: Arc<str>,
    /// How far the events of sign-in were read.
    pub streams: Streams,
    /// When keys that sign were first seen.
    pub sightings: Sightings,
}

impl Means {
    /// What kinds of a daemon of this name share; nothing is known yet.
    pub fn new(instance: &str) -> Self {
        Self {
            ledger: Ledger::default(),
            instance: instance.into(),
            streams: Streams::default(),
            sightings: Sightings::default(),
        }
    }
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Means").field(&self.instance).finish()
    }
}

/// What one step may take: the time of a whole request that people do not notice, and what the platform promises of 95 %.
const BUDGET: Duration = Duration::from_millis(200);

/// Returns every kind.
pub fn kinds(means: &Means) -> Kinds {
    Kinds::standard()
        .with(sign_in::SignIn(means.clone()))
        .with(tokens::Tokens(means.clone()))
        .with(lockout::Lockout(means.clone()))
        .with(registration::Registration(means.clone()))
        .with(jwks::Jwks(means.clone()))
        .with(cookies::Cookies(means.clone()))
        .with(oidc::Oidc)
        .with(auth_events::AuthEvents(means.clone()))
}

/// Every kind of this program's own.
const NAMES: [&str; 8] = [
    sign_in::NAME,
    tokens::NAME,
    lockout::NAME,
    registration::NAME,
    jwks::NAME,
    cookies::NAME,
    oidc::NAME,
    auth_events::NAME,
];

/// Kinds whose passes and fails are tries to sign in, for the `auth_*` metrics.
pub(crate) const ATTEMPTS: [&str; 2] = [sign_in::NAME, tokens::NAME];

/// Decodes `budget`: how long one step may take before the check is degraded.
fn decode_budget(fields: &Fields<'_>) -> Option<Duration> {
    let range = Duration::from_millis(1)..=Duration::from_secs(60);
    fields.get("budget").map_or(Some(BUDGET), |c| c.duration(range))
}
