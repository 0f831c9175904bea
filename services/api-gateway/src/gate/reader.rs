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
/// How long nobody asks for them after they could not be had: those who come meanwhile are told at once.
const PAUSE: Duration = Duration::from_secs(1);

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
    /// When they could not be had last, and why. One at a time asks for them.
    missed: Mutex<Option<(Instant, String)>>,
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
                let mut reader = published.reader(KEPT, fetch(authority)).await?;
                if reader.misses_key_of(token) {
                    reader = published.reader(AGAIN, fetch(authority)).await?;
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
    async fn reader(
        &self,
        age: Duration,
        fetched: impl Future<Output = Result<TokenReader, String>>,
    ) -> Result<TokenReader, String> {
        if let Some(known) = self.known(age) {
            return Ok(known);
        }
        let mut missed = self.missed.lock().await;
        if let Some(known) = self.known(age) {
            return Ok(known);
        }
        let old = self.known(Duration::MAX);
        if let Some((at, why)) = &*missed
            && at.elapsed() < PAUSE
        {
            return old.ok_or_else(|| why.clone());
        }
        match fetched.await {
            Ok(reader) => {
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some((reader.clone(), Instant::now()));
                *missed = None;
                Ok(reader)
            }
            Err(error) => {
                *missed = Some((Instant::now(), error.clone()));
                let Some(old) = old else { return Err(error) };
                tracing::warn!(error, "newer keys of tokens cannot be had");
                Ok(old)
            }
        }
    }
}

/// Asks for the keys.
async fn fetch(authority: &Authority) -> Result<TokenReader, String> {
    let body = authority.ask("/.well-known/jwks.json", None).await?.ok_or("HTTP 401")?;
    let keys = serde_json::from_slice(&body);
    keys.map(|keys| TokenReader::of_keys(&keys)).map_err(|error| format!("the published keys cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(5);

    /// A publisher that answers after [`WITHIN`], for better or worse.
    struct Publisher {
        asked: AtomicU32,
        is_well: bool,
    }

    impl Publisher {
        fn new(is_well: bool) -> Self {
            Self { asked: AtomicU32::new(0), is_well }
        }

        async fn fetch(&self) -> Result<TokenReader, String> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(WITHIN).await;
            let reader = TokenReader::of_secret(&"0123456789abcdef0123456789abcdef".into());
            if self.is_well { Ok(reader) } else { Err("no answer".to_owned()) }
        }

        /// Has three come at once; returns how many are served, how often it has been asked, and how long that took.
        async fn three(&self, published: &Published) -> (usize, u32, Duration) {
            let began = Instant::now();
            let three = [(); 3].map(|()| published.reader(KEPT, self.fetch()));
            let served = futures_util::future::join_all(three).await.iter().filter(|reader| reader.is_ok()).count();
            (served, self.asked.load(Ordering::Relaxed), began.elapsed())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_keys_cannot_be_had_one_asks_and_the_others_wait_no_longer_than_he() {
        let (published, ill) = (Published::default(), Publisher::new(false));
        assert_eq!(ill.three(&published).await, (0, 1, WITHIN));
        assert_eq!(ill.three(&published).await, (0, 1, Duration::ZERO), "who comes soon after is told at once");
        tokio::time::advance(PAUSE).await;
        assert_eq!(ill.three(&published).await, (0, 2, WITHIN));
        tokio::time::advance(PAUSE).await;
        let well = Publisher::new(true);
        assert_eq!(well.three(&published).await, (3, 1, WITHIN));
        tokio::time::advance(KEPT).await;
        assert_eq!(ill.three(&published).await, (3, 3, WITHIN), "old keys go on");
        assert_eq!(ill.three(&published).await, (3, 3, Duration::ZERO));
    }
}
