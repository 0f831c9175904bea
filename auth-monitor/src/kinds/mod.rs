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
mod walk;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use auth_events::AuthEvents;
use cookies::Cookies;
use jwks::Jwks;
use kit::config::Fields;
use lockout::Lockout;
use monitor::Kinds;
use oidc::Oidc;
use registration::Registration;
use sign_in::SignIn;
use tokens::Tokens;

use crate::ledger::Ledger;
use crate::sightings::Sightings;
use crate::streams::Streams;
pub use misplaced::kept_from_here;
pub(crate) use misplaced::may_be_meant;
use walk::{Walk, Walks};

/// What the kinds share. Cheap to clone.
#[derive(Clone)]
pub struct Means {
    /// Which accounts there are that checks made.
    pub ledger: Ledger,
    /// What this daemon is called in the addresses of its accounts.
    pub(crate) instance: Arc<str>,
    /// How far the events of sign-in were read.
    pub(crate) streams: Streams,
    /// When keys that sign were first seen.
    pub(crate) sightings: Sightings,
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

    /// Reads what an earlier daemon left in its data folder; from now on everything is kept there.
    ///
    /// # Errors
    /// As [`Ledger::open`]. What else cannot be read was never known.
    pub fn open(&self, data: &Path) -> io::Result<()> {
        self.streams.open(data);
        self.sightings.open(data);
        self.ledger.open(data)
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
        .with(Walks::<SignIn>::new(means))
        .with(Walks::<Tokens>::new(means))
        .with(Walks::<Lockout>::new(means))
        .with(Walks::<Registration>::new(means))
        .with(Walks::<Jwks>::new(means))
        .with(Walks::<Cookies>::new(means))
        .with(Walks::<Oidc>::new(means))
        .with(Walks::<AuthEvents>::new(means))
}

/// Kinds whose passes and fails are tries to sign in, for the `auth_*` metrics.
pub(crate) const ATTEMPTS: [&str; 2] = [SignIn::NAME, Tokens::NAME];

/// Decodes `budget`: how long one step may take before the check is degraded.
fn decode_budget(fields: &Fields<'_>) -> Option<Duration> {
    let range = Duration::from_millis(1)..=Duration::from_secs(60);
    fields.get("budget").map_or(Some(BUDGET), |c| c.duration(range))
}
