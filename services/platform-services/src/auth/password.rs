//! Passwords: hashed by argon2id, a few at a time; hashes of before still verify.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use axum::http::StatusCode;
use kit::http::ApiError;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Longest password, in bytes: long enough for every phrase (OWASP ASVS 4.0.3, 2.1.2), short enough to hash.
pub(super) const MAX_BYTES: usize = 128;
/// Hashes that wait for a turn, for each that is made. More are refused at once rather than late.
const WAITING_EACH: usize = 50;

/// Makes and verifies hashes, as many at once as there are processors.
#[derive(Debug, Clone)]
pub(super) struct Passwords {
    hashers: Hashers,
    places: Arc<Semaphore>,
    /// Of those who register: they must not keep others from signing in.
    places_for_new: Arc<Semaphore>,
    /// Of no password: what is verified for an account that does not exist, so that it takes as long.
    nobody: Arc<str>,
}

/// A place to wait for a turn at, as long as it is held: by a request, and by each hash that it waits for, which stays in the
/// queue when the client has left.
#[derive(Debug, Clone)]
pub(super) struct Place(#[expect(dead_code, reason = "held, not looked at")] Arc<OwnedSemaphorePermit>);

/// What became of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verified {
    /// It is another password.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, and its hash is to be made anew: of an older kind, or cheaper than now.
    Outdated,
}

impl Passwords {
    pub(super) fn new() -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let secret: [u8; 32] = rand::random();
        let nobody = hash(&secret).expect("the parameters are constants that argon2 takes");
        Self {
            hashers: Hashers::start(at_once),
            places: Arc::new(Semaphore::new(at_once * WAITING_EACH)),
            places_for_new: Arc::new(Semaphore::new(at_once * WAITING_EACH / 5)),
            nobody: nobody.into(),
        }
    }

    /// Returns a place to wait for a turn at.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub(super) fn place(&self) -> Result<Place, ApiError> {
        Self::place_of(&self.places)
    }

    /// As [`Self::place`], for a registration.
    pub(super) fn place_for_new(&self) -> Result<Place, ApiError> {
        Self::place_of(&self.places_for_new)
    }

    fn place_of(places: &Arc<Semaphore>) -> Result<Place, ApiError> {
        let busy = "too many sign in at once; try again soon";
        let place = places.clone().try_acquire_owned();
        place
            .map(Arc::new)
            .map(Place)
            .map_err(|_full| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, busy).code("busy"))
    }

    /// Hashes a password.
    pub(super) async fn hash(&self, place: &Place, password: SecretString) -> Result<String, ApiError> {
        let hashed = self.take_turn(place, move || hash(password.expose_secret().as_bytes())).await?;
        hashed.map_err(|error| ApiError::internal(&error))
    }

    /// Compares a password with a stored hash; with none it takes as long and is wrong.
    pub(super) async fn verify(
        &self,
        place: &Place,
        password: SecretString,
        stored: Option<&str>,
    ) -> Result<Verified, ApiError> {
        let stored: Arc<str> = stored.map_or_else(|| self.nobody.clone(), Into::into);
        self.take_turn(place, move || verify(password.expose_secret(), &stored)).await
    }

    /// # Cancel safety
    /// Work whose turn has not come when this is dropped is not done; its place is taken until then.
    async fn take_turn<T: Send + 'static>(
        &self,
        place: &Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let ((sender, done), place) = (oneshot::channel(), place.clone());
        self.hashers.give(Box::new(move || {
            let _until_its_turn_is_over = place;
            if !sender.is_closed() {
                let _client_left = sender.send(work());
            }
        }));
        done.await.map_err(|gone| ApiError::internal(&gone))
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// Threads that make hashes, one after the other. A hash takes 19 MiB, which a thread uses again for the next; in threads
/// that come and go the memory of each stayed behind.
#[derive(Debug, Clone)]
struct Hashers(mpsc::Sender<Work>);

impl Hashers {
    fn start(count: usize) -> Self {
        let (sender, works) = mpsc::channel::<Work>();
        let works = Arc::new(Mutex::new(works));
        for number in 0..count {
            let works = works.clone();
            let thread = std::thread::Builder::new().name(format!("hash-{number}"));
            if let Err(error) = thread.spawn(move || hash_for_ever(&works)) {
                tracing::error!(%error, "no thread to hash passwords in");
            }
        }
        Self(sender)
    }

    /// What nobody can do is dropped, and whoever waits for it learns that.
    fn give(&self, work: Work) {
        let _no_thread = self.0.send(work);
    }
}

/// Works until nobody can give anything any more.
fn hash_for_ever(works: &Mutex<mpsc::Receiver<Work>>) {
    loop {
        let next = works.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        if std::panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("hashing panicked");
        }
    }
}

fn argon2() -> Result<Argon2<'static>, argon2::Error> {
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(MEMORY_KIB, PASSES, LANES, None)?))
}

fn hash(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let argon2 = argon2().map_err(|_constants| argon2::password_hash::Error::Internal)?;
    Ok(argon2.hash_password(password)?.to_string())
}

/// A hash that cannot be read matches nothing.
fn verify(password: &str, stored: &str) -> Verified {
    if stored.starts_with("$2") {
        // What wrote these cut passwords at 72 bytes, as bcrypt does.
        let is_right = bcrypt::verify(password, stored).unwrap_or(false);
        return if is_right { Verified::Outdated } else { Verified::Wrong };
    }
    let Ok(parsed) = PasswordHash::new(stored) else { return Verified::Wrong };
    if Argon2::default().verify_password(password.as_bytes(), &parsed).is_err() {
        return Verified::Wrong;
    }
    let is_as_now = parsed.algorithm.as_str() == "argon2id"
        && Params::try_from(&parsed)
            .is_ok_and(|params| params.m_cost() >= MEMORY_KIB && params.t_cost() >= PASSES && params.p_cost() >= LANES);
    if is_as_now { Verified::Right } else { Verified::Outdated }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt;
    use testkit::eventually;

    use super::*;

    #[tokio::test]
    async fn whoever_leaves_keeps_his_place_until_his_turn_and_is_not_worked_for() {
        let places = Arc::new(Semaphore::new(1));
        let passwords =
            Passwords { hashers: Hashers::start(1), places: places.clone(), places_for_new: places, nobody: "".into() };
        let (go_on, wait) = mpsc::channel::<()>();
        passwords.hashers.give(Box::new(move || wait.recv().unwrap()));
        let is_done = Arc::new(AtomicBool::new(false));
        let done = is_done.clone();
        let place = passwords.place().unwrap();
        let turn = passwords.take_turn(&place, move || done.store(true, Ordering::Relaxed));
        assert!(turn.now_or_never().is_none(), "another has the only turn");
        drop(place);
        assert!(passwords.place().is_err(), "what waits for a turn has a place, whoever has left");
        go_on.send(()).unwrap();
        eventually("the place to be free", Duration::from_secs(60), async || passwords.place().ok()).await;
        assert!(!is_done.load(Ordering::Relaxed));
    }

    #[test]
    fn a_hash_is_of_its_password_alone_and_never_twice_the_same() {
        let (first, second) = (hash(b"correct horse").unwrap(), hash(b"correct horse").unwrap());
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(first, second);
        assert_eq!(verify("correct horse", &first), Verified::Right);
        assert_eq!(verify("correct horsf", &first), Verified::Wrong);
        assert_eq!(verify("", &first), Verified::Wrong);
    }

    #[test]
    fn older_hashes_still_verify_and_are_outdated() {
        // A test vector of jBCrypt.
        let bcrypt = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i";
        assert_eq!((verify("abc", bcrypt), verify("abd", bcrypt)), (Verified::Outdated, Verified::Wrong));
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
        let cheap = cheap.hash_password(b"abc").unwrap().to_string();
        assert_eq!(verify("abc", &cheap), Verified::Outdated);
        for damaged in ["", "$argon2id$", "$2a$06$", "abc"] {
            assert_eq!(verify("abc", damaged), Verified::Wrong, "{damaged}");
        }
    }
}
