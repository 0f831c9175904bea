//! Lets requests in: who asks, whether that may be, and how often.

mod authority;
mod keys;
mod reader;
mod users;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kit::http::{API_KEY, ApiError, PROBE_HEADER, Place, bearer, peer, shown_key};
use secrecy::{ExposeSecret, SecretString};

use crate::figures::Figures;
use crate::limit::{Limiter, Refusal, Standing, Subject};
use crate::settings::Settings;
use crate::table::Guard;
use authority::Authority;
use keys::Keys;
pub(crate) use users::{User, Users};

/// Who makes a request, as an extension of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Somebody.
    Anyone,
    /// Somebody who shows a key to the service behind.
    Showing(HeaderValue),
    /// Whoever has a key.
    Service,
    /// A user.
    User(Arc<User>),
}

/// Where a request comes from, as an extension of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) address: Option<IpAddr>,
    pub(crate) is_https: bool,
}

/// What every path's gate shares.
pub(crate) struct Gatehouse {
    keys: Keys,
    pub(crate) users: Users,
    limiter: Arc<Limiter>,
    /// Knows which proxies are ours.
    proxies: Place,
    /// Whether clients come here by https.
    is_https: bool,
    figures: Figures,
}

/// A gate: what its path asks for.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) house: Arc<Gatehouse>,
    pub(crate) guard: Guard,
}

impl Gatehouse {
    pub(crate) fn new(settings: &Settings, limiter: Arc<Limiter>, figures: Figures) -> Self {
        let authority = Arc::new(Authority::new(settings, limiter.clone()));
        Self {
            keys: Keys::new(settings, authority.clone(), figures.clone()),
            users: Users::new(settings, authority, figures.clone()),
            limiter,
            proxies: Place::new(Vec::new(), &[], None, settings.trusted_proxies.clone()),
            is_https: settings.tls.is_some(),
            figures,
        }
    }

    /// Returns whether a service may do what `scope` says with this key.
    ///
    /// # Errors
    /// As for a request that shows it.
    pub(crate) async fn admits(
        &self,
        key: &SecretString,
        scope: &str,
        address: Option<IpAddr>,
    ) -> Result<(), ApiError> {
        self.keys.find_by(key.expose_secret().as_bytes(), scope, address).await.map(|_name| ())
    }

    /// Returns who asks, and as whom he is counted.
    ///
    /// # Errors
    /// The answer to whoever may not; he is counted all the same.
    async fn find(
        &self,
        guard: Guard,
        headers: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<(Caller, Option<Subject>), ApiError> {
        match guard {
            Guard::Key(scope) => {
                let found = self.keys.find(headers, scope, address).await;
                let name = found.inspect_err(|error| self.note_refusal(error.status(), headers, "key"))?;
                Ok((Caller::Service, Some(Subject::Key(name))))
            }
            Guard::User => {
                let found = match bearer(headers) {
                    Some(token) => self.users.find(token, address).await,
                    None => Err(users::no_token()),
                };
                let user = found.inspect_err(|error| self.note_refusal(error.status(), headers, "token"))?;
                let subject = Subject::User(user.id.clone());
                Ok((Caller::User(user), Some(subject)))
            }
            Guard::TheirsIfShown if !headers.contains_key(API_KEY) && bearer(headers).is_none() => {
                self.note_refusal(StatusCode::UNAUTHORIZED, headers, "token");
                Err(users::no_token())
            }
            Guard::Theirs | Guard::TheirsIfShown => {
                let caller = match shown_key(headers) {
                    Some(key) => Caller::Showing(key.clone()),
                    None if headers.contains_key(API_KEY) => {
                        return Err(ApiError::unauthorized("one X-API-Key is enough").code("unauthorized"));
                    }
                    None => Caller::Anyone,
                };
                let named = bearer(headers).and_then(|token| self.users.named(token));
                Ok((caller, named.map(Subject::User)))
            }
            Guard::Open => Ok((Caller::Anyone, None)),
        }
    }

    /// Counts who may not, but no probe; that nobody can say so now is not his fault.
    fn note_refusal(&self, status: StatusCode, headers: &HeaderMap, wanted: &'static str) {
        let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if is_refused && !headers.contains_key(PROBE_HEADER) {
            self.figures.refused(wanted);
        }
    }

    async fn admit(&self, guard: Guard, request: &mut Request) -> Result<Option<Standing>, Refusal> {
        let peer = peer(request.extensions());
        let address = self.proxies.client(request.headers(), peer);
        let is_https = self.is_https || self.proxies.came_by_https(request.headers(), peer);
        request.extensions_mut().insert(Origin { address, is_https });
        match self.find(guard, request.headers(), address).await {
            Ok((caller, subject)) => {
                request.extensions_mut().insert(caller);
                self.limiter.take(&subject.unwrap_or_else(|| Subject::of_address(address))).await
            }
            Err(error) => {
                let standing = self.limiter.take(&Subject::of_address(address)).await?;
                // Who is limited for what was asked about stands elsewhere than his address.
                let standing = standing.filter(|_| error.status() != StatusCode::TOO_MANY_REQUESTS);
                Err(Refusal { error, standing })
            }
        }
    }
}

/// Middleware: lets a request through, or says why not.
pub(crate) async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let (mut response, standing) = match gate.house.admit(gate.guard, &mut request).await {
        Ok(standing) => (next.run(request).await, standing),
        Err(Refusal { error, standing }) => (error.into_response(), standing),
    };
    if let Some(standing) = standing {
        standing.tell(response.headers_mut());
    }
    response
}
