//! The ways to Redis: some connections for what is asked, one for what is waited for, each made anew after it broke.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, Pipeline, RedisError, Script, ServerErrorKind};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, MutexGuard};

use super::super::{GUARD, Put, SourceError};

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Longest wait for something to be on the disk of a server: twice what one takes that writes once a second (`appendfsync
/// everysec`), and far from the deadline.
const DISK: Duration = Duration::from_secs(2);

/// A script, and its text for a server that does not know it.
pub(crate) struct Lua {
    text: &'static str,
    script: Script,
}

impl Lua {
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text, script: Script::new(text) }
    }

    /// Its name for the server.
    pub(crate) fn hash(&self) -> &str {
        self.script.get_hash()
    }
}

/// A server.
pub(crate) struct Server {
    client: Client,
    asking: [Way; ASKING],
    waiting: Way,
    /// Two, for each page of orders that is under way one: nobody else waits behind them.
    confirming: [Way; 2],
    /// Whether it says when something is on its disk.
    has_disk: AtomicBool,
    /// Whether it has refused to.
    refuses: AtomicBool,
}

/// Connections for what is asked: a large answer to one question does not hold up another one.
const ASKING: usize = 3;

/// A connection, if there is one.
type Way = Mutex<Option<MultiplexedConnection>>;

impl Server {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// The URL is not one of Redis.
    pub(crate) fn new(url: &SecretString) -> Result<Self, RedisError> {
        let client = Client::open(url.expose_secret())?;
        let (asking, waiting, confirming) = Default::default();
        Ok(Self {
            client,
            asking,
            waiting,
            confirming,
            has_disk: AtomicBool::default(),
            refuses: AtomicBool::default(),
        })
    }

    /// Asks several things at once.
    pub(crate) async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, SourceError> {
        self.send(&self.asking, DEADLINE, pipeline).await?.map_err(judged)
    }

    /// Asks what the server answers only when something happens, or after `patience`.
    pub(crate) async fn wait<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
        patience: Duration,
    ) -> Result<T, SourceError> {
        self.send(std::slice::from_ref(&self.waiting), DEADLINE + patience, pipeline).await?.map_err(judged)
    }

    /// As [`Self::ask`], of calls of a script, each of which bears being made twice: a server that was started anew does not
    /// know it any more.
    pub(crate) async fn run<T: FromRedisValue>(&self, lua: &Lua, calls: &Pipeline) -> Result<T, SourceError> {
        match self.send(&self.asking, DEADLINE, calls).await? {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let mut load = redis::pipe();
                load.cmd("SCRIPT").arg("LOAD").arg(lua.text).ignore();
                self.ask::<()>(&load).await?;
                self.ask(calls).await
            }
            answer => answer.map_err(judged),
        }
    }

    /// Returns what came of orders once it is on the disk of the server, as far as that is known; `guard` is the key of one of them.
    pub(crate) async fn confirmed(
        &self,
        guard: Option<String>,
        done: impl Future<Output = Result<Vec<Put>, SourceError>>,
    ) -> Result<Vec<Put>, SourceError> {
        let done = done.await?;
        if let Some(guard) = guard {
            self.confirm(&guard).await?;
        }
        Ok(done)
    }

    /// Waits until what was written before is on the disk of the server, where it says so (Redis 7.2, `WAITAOF`) and does in time.
    /// A guard is written once more, as it was: it is waited for what the same connection wrote, and so for all before. Where it is
    /// not waited for, whoever reads there finds out later what was lost.
    async fn confirm(&self, guard: &str) -> Result<(), SourceError> {
        if !self.has_disk.load(Ordering::Relaxed) || self.refuses.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut asked = redis::pipe();
        asked
            .cmd("PEXPIRE")
            .arg(guard)
            .arg(GUARD.as_millis())
            .ignore()
            .cmd("WAITAOF")
            .arg(1)
            .arg(0)
            .arg(DISK.as_millis());
        match self.send::<redis::Value>(&self.confirming, DEADLINE, &asked).await? {
            Ok(_how_many) => Ok(()),
            Err(error) if is_of_server(&error) => {
                // Somebody has not the right to ask it, say. What was done is done all the same.
                if !self.refuses.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error = error.to_string(),
                        "Redis does not say when something is on its disk (WAITAOF)"
                    );
                }
                Ok(())
            }
            Err(error) => Err(judged(error)),
        }
    }

    /// Notes whether it says when something is on its disk.
    pub(super) fn note_disk(&self, has_disk: bool) {
        self.has_disk.store(has_disk, Ordering::Relaxed);
    }

    /// A connection that broke, or on which an answer is late, is given up: what comes on it would be of another question.
    async fn send<T: FromRedisValue>(
        &self,
        ways: &[Way],
        deadline: Duration,
        pipeline: &Pipeline,
    ) -> Result<Result<T, RedisError>, SourceError> {
        let sending = async {
            let mut held = free(ways).await;
            let mut connection = match held.take() {
                Some(connection) => connection,
                None => self.connect().await.map_err(judged)?,
            };
            let answer = pipeline.query_async(&mut connection).await;
            if answer.as_ref().err().is_none_or(is_of_server) {
                *held = Some(connection);
            }
            Ok(answer)
        };
        tokio::time::timeout(deadline, sending).await.map_err(|_elapsed| SourceError::Late(deadline))?
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        // One deadline is for all of it: see `send`.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// The first way that nobody uses, or else whichever is free first.
async fn free(ways: &[Way]) -> MutexGuard<'_, Option<MultiplexedConnection>> {
    match ways.iter().find_map(|way| way.try_lock().ok()) {
        Some(held) => held,
        None => select_all(ways.iter().map(|way| way.lock().boxed())).await.0,
    }
}

/// Whether the server said no, over a connection that is well.
fn is_of_server(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_))
}

fn judged(error: RedisError) -> SourceError {
    match error.kind() {
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => {
            SourceError::Odd(format!("Redis answered oddly: {error}"))
        }
        _ => {
            let said = format!("Redis: {error}");
            // The key is something else than it should be: to try again does not help.
            if said.contains("WRONGTYPE") { SourceError::Odd(said) } else { SourceError::Away(said) }
        }
    }
}
