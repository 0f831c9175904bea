//! The key that services and their clients share, in the header `X-API-Key`.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::digest::SecretDigest;
use super::error::ApiError;

/// Carries the key of a service.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Lets requests in that carry the right key.
#[derive(Clone)]
pub struct ServiceKey {
    digest: SecretDigest,
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(…)")
    }
}

impl ServiceKey {
    /// Keeps only a digest of `key`.
    pub fn new(key: &SecretString) -> Self {
        Self { digest: SecretDigest::of(key.expose_secret().as_bytes()) }
    }

    /// Returns whether this is the key.
    pub fn is(&self, key: &[u8]) -> bool {
        SecretDigest::of(key) == self.digest
    }

    /// Returns whether a request with these headers shows the key.
    pub fn is_shown(&self, headers: &HeaderMap) -> bool {
        shown_key(headers).is_some_and(|key| self.is(key.as_bytes()))
    }
}

/// Returns the key that a request with these headers shows; none also if it shows several: what one server takes for the
/// key, another does not.
pub fn shown_key(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut shown = headers.get_all(API_KEY).iter();
    shown.next().filter(|_| shown.next().is_none())
}

/// 401 for a missing, wrong or repeated key, in the same words, so that nothing can be told apart.
pub fn no_key() -> ApiError {
    ApiError::unauthorized("a valid X-API-Key header is needed").code("unauthorized")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_right_key_given_once_comes_in() {
        let key = ServiceKey::new(&SecretString::from("k3y"));
        for (given, admitted) in [
            (vec!["k3y"], true),
            (vec![], false),
            (vec![""], false),
            (vec!["k3"], false),
            (vec!["k3y2"], false),
            (vec!["K3Y"], false),
            (vec!["k3y", "k3y"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &given {
                headers.append(API_KEY, HeaderValue::from_static(value));
            }
            assert_eq!(key.is_shown(&headers), admitted, "{given:?}");
        }
        assert_eq!(format!("{key:?}"), "ServiceKey(…)");
    }
}
