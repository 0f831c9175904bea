//! Whose key it is: the one that all services share, or one that platform-services gave to one of them for some things.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use kit::http::{API_KEY, ApiError, ServiceKey, no_key, shown_key};
use moka::future::Cache;
use serde::Deserialize;

use super::authority::{Authority, Digest, GOOD, KEPT, digest, unavailable};
use crate::figures::Figures;
use crate::settings::Settings;

/// Begins every key that is given to one service.
const PREFIX: &str = "pak_";
/// Longest key that is asked about, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// A service that has a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Holder {
    id: Option<String>,
    scopes: BTreeSet<String>,
}

/// Knows services by their keys.
pub(super) struct Keys {
    shared: ServiceKey,
    authority: Arc<Authority>,
    known: Cache<Digest, Option<Arc<Holder>>>,
    figures: Figures,
}

impl Keys {
    pub(super) fn new(settings: &Settings, authority: Arc<Authority>, figures: Figures) -> Self {
        let known = Cache::builder().max_capacity(KEPT).time_to_live(GOOD).build();
        Self { shared: ServiceKey::new(&settings.api_key), authority, known, figures }
    }

    /// Returns the name to count a service by that may do what `scope` says.
    ///
    /// # Errors
    /// 401 without a good key, 403 if it is for other things, 429 if `address` has shown too many that are not known here,
    /// 503 if that cannot be found out.
    pub(super) async fn find(
        &self,
        headers: &HeaderMap,
        scope: &str,
        address: Option<IpAddr>,
    ) -> Result<String, ApiError> {
        self.find_by(shown_key(headers).ok_or_else(no_key)?.as_bytes(), scope, address).await
    }

    /// As [`Self::find`], by the key alone.
    pub(super) async fn find_by(&self, key: &[u8], scope: &str, address: Option<IpAddr>) -> Result<String, ApiError> {
        if self.shared.is(key) {
            return Ok("shared".to_owned());
        }
        let issued = std::str::from_utf8(key).ok().filter(|key| key.starts_with(PREFIX) && key.len() <= MAX_KEY_BYTES);
        let key = issued.ok_or_else(no_key)?;
        let digest = digest(key);
        let known = self.known.get(&digest).await;
        self.figures.looked_up("keys", known.is_some());
        let found = match known {
            Some(known) => Ok(known),
            None => {
                self.authority.admit(&digest, address).await?;
                self.known.try_get_with(digest, self.ask(key, digest)).await
            }
        };
        match found {
            Ok(Some(holder)) if holder.scopes.contains(scope) => Ok(holder.id.clone().unwrap_or_default()),
            Ok(Some(_)) => Err(ApiError::forbidden(format!("the key is for other things; this needs one for {scope}"))),
            Ok(None) => Err(no_key()),
            Err(why) => Err(unavailable(&why)),
        }
    }

    async fn ask(&self, key: &str, digest: Digest) -> Result<Option<Arc<Holder>>, String> {
        let found = self.authority.ask("/auth/keys/verify", Some((API_KEY, key))).await?;
        self.authority.note(digest, found.is_some()).await;
        let Some(body) = found else { return Ok(None) };
        serde_json::from_slice(&body).map(|holder| Some(Arc::new(holder))).map_err(|error| error.to_string())
    }
}
