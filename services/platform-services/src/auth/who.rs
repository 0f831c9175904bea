//! Who asks: the address a request comes from, and the user its token names.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use kit::http::{ApiError, peer};

use super::routes::Auth;
use super::session;
use super::users::User;
use crate::problem::Problem;

/// The address that a request comes from, as far as proxies of ours say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address(pub(super) Option<IpAddr>);

/// A user whose token is good.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) user: User,
    /// The session of the token.
    pub(super) session: String,
}

impl FromRequestParts<Arc<Auth>> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self, Infallible> {
        Ok(Self(auth.proxies.client(&parts.headers, peer(&parts.extensions))))
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

/// Returns the one token of the header (RFC 6750 section 2.1); the scheme's name has no case (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// In the same words whatever is wrong with it.
fn no_token() -> ApiError {
    ApiError::unauthorized("a valid access token is needed").code("unauthorized")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_once_and_with_its_scheme() {
        for (values, token) in [
            (vec!["Bearer abc"], Some("abc")),
            (vec!["bearer  abc"], Some("abc")),
            (vec!["abc"], None),
            (vec!["Basic abc"], None),
            (vec!["Bearer a", "Bearer b"], None),
            (vec![], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(bearer(&headers), token, "{values:?}");
        }
    }
}
