//! Who may write: the operator's token, and over loopback a request that no web page or proxy could have made.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// What is asked of a writing request.
#[derive(Debug, Clone)]
pub struct Operator {
    token_digest: Option<[u8; 32]>,
    hosts: Arc<[String]>,
}

impl Operator {
    /// `token` is needed in `Authorization: Bearer`; without one nobody may write. `hosts` are the values of `Host` that
    /// mean this server, such as `127.0.0.1:8888` and `localhost:8888`.
    pub fn new(token: Option<&SecretString>, hosts: Vec<String>) -> Self {
        Self { token_digest: token.map(digest), hosts: hosts.into() }
    }

    /// Decides whether a request with these headers may write. Of HTTP/2 requests, which name the server outside their
    /// headers, [`super::with_conventions`] sets `Host`.
    ///
    /// # Errors
    /// The answer to give: 401 for a missing or wrong token, 403 for a request that came through a proxy or a page.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        // A proxy or a web page is not the operator (DNS rebinding, cross-site requests).
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"] {
            if headers.contains_key(name) {
                return Err(forbidden(format!("writing through a proxy is refused ({name} is set)")));
            }
        }
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        if !self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Err(forbidden(format!("Host {host:?} is not this server; write to {}", self.hosts.join(" or "))));
        }
        if let Some(origin) = text(header::ORIGIN) {
            let same = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
            if !same {
                return Err(forbidden("Origin is another site".to_owned()));
            }
        }
        match self.token_digest {
            Some(expected) if bearer_digest(headers) == Some(expected) => Ok(()),
            _ => {
                Err(ApiError::unauthorized("the operator token is needed: Authorization: Bearer …")
                    .code("unauthorized"))
            }
        }
    }
}

/// Returns whether the request carries `token` in `Authorization: Bearer`.
pub fn bears(headers: &HeaderMap, token: &SecretString) -> bool {
    bearer_digest(headers) == Some(digest(token))
}

// Digests of equal length are compared, so the time taken tells nothing of the token.
fn digest(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}

fn bearer_digest(headers: &HeaderMap) -> Option<[u8; 32]> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    // The scheme's name has no case (RFC 9110 section 11.1).
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Sha256::digest(token.trim().as_bytes()).into())
}

fn forbidden(message: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, message).code("forbidden")
}

/// Who makes a request, as an extension of it: for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name that stands in the audit.
    pub name: String,
}

/// Middleware form of [`Operator::admit`]; adds the [`Identity`].
pub async fn require_operator(State(operator): State<Operator>, mut request: Request, next: Next) -> Response {
    match operator.admit(request.headers()) {
        Ok(()) => {
            request.extensions_mut().insert(Identity { name: "operator".to_owned() });
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn status(pairs: &[(&str, &str)]) -> u16 {
        let operator = Operator::new(Some(&SecretString::from("t0ken")), vec!["127.0.0.1:8888".to_owned()]);
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        match operator.admit(&headers) {
            Ok(()) => 200,
            Err(error) => error.into_response().status().as_u16(),
        }
    }

    #[test]
    fn only_the_token_from_this_host_without_a_proxy_may_write() {
        let (host, token) = (("host", "127.0.0.1:8888"), ("authorization", "Bearer t0ken"));
        assert_eq!(status(&[host, token]), 200);
        assert_eq!(status(&[host, token, ("origin", "http://127.0.0.1:8888")]), 200);
        assert_eq!(status(&[host, ("authorization", "bearer t0ken")]), 200);
        assert_eq!(status(&[host, ("authorization", "BEARER  t0ken")]), 200);
        assert_eq!(status(&[host, ("authorization", "Basic t0ken")]), 401);
        assert_eq!(status(&[host, ("authorization", "t0ken")]), 401);
        assert_eq!(status(&[host]), 401);
        assert_eq!(status(&[host, ("authorization", "Bearer t0ken2")]), 401);
        assert_eq!(status(&[host, token, ("origin", "http://evil.example")]), 403);
        assert_eq!(status(&[("host", "evil.example"), token]), 403);
        assert_eq!(status(&[host, token, ("x-forwarded-for", "10.0.0.1")]), 403);
        assert!(Operator::new(None, vec!["a".to_owned()]).admit(&HeaderMap::new()).is_err());
    }
}
