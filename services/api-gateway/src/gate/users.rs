//! Who a token belongs to. That it was signed is seen here; whether its session goes on is platform-services' word, which
//! is good for some seconds: however many requests a user makes, few are asked about.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header;
use kit::http::ApiError;
use kit::token::TokenReader;
use moka::future::Cache;
use serde::Deserialize;

use super::authority::{Authority, Digest, GOOD, KEPT, digest, unavailable};
use super::reader::Reader;
use crate::figures::Figures;
use crate::settings::{Settings, Signed};

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) tenant_id: Option<String>,
}

/// What platform-services answers.
#[derive(Deserialize)]
struct Verified {
    user: User,
}

/// What is known of a token.
struct Known {
    user: Arc<User>,
    /// When it runs out, in seconds since the epoch; the end of time if that cannot be seen here.
    exp: i64,
}

/// Knows users by their tokens.
pub(crate) struct Users {
    reader: Reader,
    authority: Arc<Authority>,
    known: Cache<Digest, Option<Arc<Known>>>,
    figures: Figures,
}

impl Users {
    pub(super) fn new(settings: &Settings, authority: Arc<Authority>, figures: Figures) -> Self {
        let reader = match &settings.signed {
            Signed::Unknown => Reader::None,
            Signed::Secret(secret) => Reader::Secret(TokenReader::of_secret(secret)),
            Signed::Published => Reader::Published(Default::default()),
        };
        let known = Cache::builder().max_capacity(KEPT).time_to_live(GOOD).build();
        Self { reader, authority, known, figures }
    }

    /// Returns whom a token names, if that can be seen without asking: whether the session goes on is another question.
    pub(super) fn named(&self, token: &str) -> Option<String> {
        self.reader.peek(token).map(|claims| claims.sub)
    }

    /// Returns who is signed in with a token.
    ///
    /// # Errors
    /// 401 if nobody is; 429 if `address` has shown too many that cannot be judged here; 503 if that cannot be found out.
    pub(crate) async fn find(&self, token: &str, address: Option<IpAddr>) -> Result<Arc<User>, ApiError> {
        let digest = digest(token);
        // What was signed is signed: only its end is looked at again.
        let known = self.known.get(&digest).await;
        self.figures.looked_up("users", known.is_some());
        if let Some(known) = known {
            return known.filter(|known| known.exp > now_secs()).map(|known| known.user.clone()).ok_or_else(no_token);
        }
        let read = self.reader.read(token, &self.authority).await.map_err(|why| unavailable(&why))?;
        let exp = match read.ok_or_else(no_token)? {
            Some(claims) => claims.exp,
            None => {
                self.authority.admit(&digest, address).await?;
                i64::MAX
            }
        };
        // Several that come at once wait for one question.
        match self.known.try_get_with(digest, self.ask(token, digest, exp)).await {
            Ok(Some(known)) => Ok(known.user.clone()),
            Ok(None) => Err(no_token()),
            Err(why) => Err(unavailable(&why)),
        }
    }

    /// Has the next request with this token asked about.
    pub(crate) async fn forget(&self, token: &str) {
        self.known.invalidate(&digest(token)).await;
    }

    async fn ask(&self, token: &str, digest: Digest, exp: i64) -> Result<Option<Arc<Known>>, String> {
        let shown = (header::AUTHORIZATION, &*format!("Bearer {token}"));
        let found = self.authority.ask("/auth/verify", Some(shown)).await?;
        self.authority.note(digest, found.is_some()).await;
        let Some(body) = found else { return Ok(None) };
        let verified = serde_json::from_slice::<Verified>(&body).map_err(|error| error.to_string())?;
        Ok(Some(Arc::new(Known { user: Arc::new(verified.user), exp })))
    }
}

/// Tokens themselves are not kept.
fn now_secs() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// In the same words whatever is wrong with it.
pub(super) fn no_token() -> ApiError {
    ApiError::unauthorized("a valid access token is needed: Authorization: Bearer …").code("unauthorized")
}
