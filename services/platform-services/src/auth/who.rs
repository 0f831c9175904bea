//! Who asks: the address a request comes from, and the user its token names.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kit::http::{API_KEY, ApiError, PROBE_HEADER, bearer, peer};

use super::routes::Auth;
use super::session;
use super::users::User;
use crate::problem::Problem;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asker {
    /// The address, as far as proxies of ours say it. None for a monitor: what it tries on purpose locks nobody out who
    /// comes from the same place.
    pub(super) address: Option<IpAddr>,
    /// A monitor, that shows the key of services: its accounts and failures are of a realm of their own.
    pub(super) watches: bool,
}

/// A user whose token is good.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user: User,
    /// The session of the token.
    pub(super) session: String,
}

impl FromRequestParts<Arc<Auth>> for Asker {
    type Rejection = ApiError;

    /// Whoever shows a key shows the right one.
    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self, ApiError> {
        let has_key = match &auth.service_key {
            Some(key) if parts.headers.contains_key(API_KEY) => key.admit(&parts.headers).map(|()| true)?,
            _ => false,
        };
        let watches = has_key && parts.headers.contains_key(PROBE_HEADER);
        let address = auth.proxies.client(&parts.headers, peer(&parts.extensions));
        Ok(Self { address: address.filter(|_| !watches), watches })
    }
}

impl FromRequestParts<Arc<Auth>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self, ApiError> {
        let claims = bearer(&parts.headers).and_then(|token| auth.tokens.read(token)).ok_or_else(no_token)?;
        let mut transaction = auth.store.begin_reading().await?;
        let user = session::user_of(&mut transaction, &claims.sid, &claims.sub).await.map_err(Problem::from)?;
        transaction.rollback().await.map_err(Problem::from)?;
        Ok(Self { user: user.ok_or_else(no_token)?, session: claims.sid })
    }
}

/// In the same words whatever is wrong with it.
fn no_token() -> ApiError {
    ApiError::unauthorized("a valid access token is needed").code("unauthorized")
}
