//! Sees whether a token was signed by platform-services, before anybody is asked about it.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use kit::token::{Claims, TokenReader};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::authority::Authority;

/// How long the published keys are kept: as long as their publisher says.
const KEPT: Duration = Duration::from_secs(300);
/// How soon they are asked for again, because a token names another: whoever sends nonsense must not have them fetched
/// all the time.
const AGAIN: Duration = Duration::from_secs(10);

/// What a token can be compared with.
pub(super) enum Reader {
    /// Nothing: everybody is asked about.
    None,
    /// The secret it is signed with.
    Secret(TokenReader),
    /// The keys that are published.
    Published(Published),
}

/// Keys that follow one another.
#[derive(Default)]
pub(super) struct Published {
    known: RwLock<Option<(TokenReader, Instant)>>,
    fetching: Mutex<()>,
}

impl Reader {
    /// Returns what a token says; none if it is no good, and `Some(None)` if that cannot be seen here.
    ///
    /// # Errors
    /// Why the keys cannot be had.
    pub(super) async fn read(&self, token: &str, authority: &Authority) -> Result<Option<Option<Claims>>, String> {
        match self {
            Self::None => Ok(Some(None)),
            Self::Secret(reader) => Ok(reader.read(token).map(Some)),
            Self::Published(published) => {
                let mut reader = published.reader(KEPT, authority).await?;
                if reader.misses_key_of(token) {
                    reader = published.reader(AGAIN, authority).await?;
                }
                Ok(reader.read(token).map(Some))
            }
        }
    }

    /// Returns what a token says, as far as that can be seen without asking.
    pub(super) fn peek(&self, token: &str) -> Option<Claims> {
        match self {
            Self::None => None,
            Self::Secret(reader) => reader.read(token),
            Self::Published(published) => published.known(Duration::MAX)?.read(token),
        }
    }
}

impl Published {
    fn known(&self, age: Duration) -> Option<TokenReader> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(_, at)| at.elapsed() < age).map(|(reader, _)| reader.clone())
    }

    /// Returns keys of at most this age. Those that are there go on while newer ones cannot be had.
    async fn reader(&self, age: Duration, authority: &Authority) -> Result<TokenReader, String> {
        if let Some(known) = self.known(age) {
            return Ok(known);
        }
        let _one_fetches = self.fetching.lock().await;
        if let Some(known) = self.known(age) {
            return Ok(known);
        }
        let fetched = async {
            let body = authority.ask("/.well-known/jwks.json", None).await?.ok_or("HTTP 401")?;
            serde_json::from_slice(&body).map_err(|error| format!("the published keys cannot be read: {error}"))
        };
        match (fetched.await, self.known(Duration::MAX)) {
            (Ok(keys), _) => {
                let reader = TokenReader::of_keys(&keys);
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some((reader.clone(), Instant::now()));
                Ok(reader)
            }
            (Err(error), Some(old)) => {
                tracing::warn!(error, "newer keys of tokens cannot be had");
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }
}
