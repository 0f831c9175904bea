//! Who asks: the address a request comes from, and the user its token names.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::{ApiError, PROBE_HEADER, bearer, peer};

use super::events::{Subject, about};
use super::keys::{self, Scope};
use super::routes::Auth;
use super::session;
use super::users::User;
use super::uses::{Used, note_use};

/// Where a request comes from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asker {
    /// The address, as far as proxies of ours say it. None for a monitor: what it tries on purpose locks nobody out who
    /// comes from the same place.
    pub(super) address: Option<IpAddr>,
    /// A monitor, that shows the key of services: its accounts and failures are of a realm of their own.
    pub(super) watches: bool,
    /// A service with the one key that is good for everything.
    pub(super) is_root: bool,
}

impl Asker {
    /// Returns what an event is about of which nobody knows whether there is an account.
    pub(super) fn about(self, email: Option<&str>) -> Subject<'_> {
        Subject { email, address: self.address, is_watched: self.watches, ..Subject::default() }
    }
}

/// Longest name of a client that is kept, in characters.
const MAX_AGENT_CHARS: usize = 200;

/// What a client calls itself (`User-Agent`), for the list of sessions and nothing else.
#[derive(Debug)]
pub(super) struct Agent(pub(super) Option<String>);

/// A user whose token is good.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: User,
    /// The session of the token.
    pub(super) session: String,
}

impl FromRequestParts<Arc<Auth>> for Asker {
    type Rejection = ApiError;

    /// Whoever shows a key shows the right one.
    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self, ApiError> {
        let service = keys::service(auth, &parts.headers).await?;
        let is_root = service.as_ref().is_some_and(|service| service.id.is_none());
        let may_watch = service.is_some_and(|service| service.may(Scope::Watch));
        let watches = may_watch && parts.headers.contains_key(PROBE_HEADER);
        let address = auth.proxies.client(&parts.headers, peer(&parts.extensions));
        Ok(Self { address: address.filter(|_| !watches), watches, is_root })
    }
}

impl<S: Sync> FromRequestParts<S> for Agent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let name = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self(name.map(|name| name.chars().take(MAX_AGENT_CHARS).collect())))
    }
}

/// Whoever administers: a user with that role, or a service with the one key that is good for everything.
#[derive(Debug)]
pub(super) struct Admin {
    /// The user's id, or the key's name: for the record.
    pub(super) name: String,
    pub(super) address: Option<IpAddr>,
}

impl Admin {
    /// Returns what an event is about that happened to nobody's account.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { actor: Some(&self.name), address: self.address, ..Subject::default() }
    }

    /// Returns what an event about somebody's account is about.
    pub(super) fn about<'a>(&'a self, user: &'a User) -> Subject<'a> {
        let asker = Asker { address: self.address, ..Asker::default() };
        Subject { actor: Some(&self.name), ..about(user, asker) }
    }
}

impl FromRequestParts<Arc<Auth>> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self, ApiError> {
        let address = auth.proxies.client(&parts.headers, peer(&parts.extensions));
        let forbidden = || ApiError::forbidden("this needs the role admin");
        if let Some(service) = keys::service(auth, &parts.headers).await? {
            return if service.id.is_none() { Ok(Self { name: service.name, address }) } else { Err(forbidden()) };
        }
        let caller = Caller::from_request_parts(parts, auth).await?;
        if caller.user.is_admin() { Ok(Self { name: caller.user.id, address }) } else { Err(forbidden()) }
    }
}

impl FromRequestParts<Arc<Auth>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self, ApiError> {
        let claims = match bearer(&parts.headers) {
            Some(token) => auth.tokens.read(token)?.ok_or_else(no_token)?,
            None => return Err(no_token()),
        };
        let now = Timestamp::now();
        let reading =
            async |transaction: &mut Transaction| session::user_of(transaction, &claims.sid, &claims.sub, now).await;
        let held = auth.store.read(reading).await?.ok_or_else(no_token)?;
        note_use(auth, Used::Session(&claims.sid), Some(held.used_ms), now).await;
        Ok(Self { user: held.user, session: claims.sid })
    }
}

/// In the same words whatever is wrong with it.
fn no_token() -> ApiError {
    ApiError::unauthorized("a valid access token is needed").code("unauthorized")
}
