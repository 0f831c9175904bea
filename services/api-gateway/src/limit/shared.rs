//! Requests counted in Redis, by all gateways together. Reading, deciding and writing are one script, and the clock is the
//! server's: however many gateways ask at once, nobody gets more.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::Subject;
use super::rate::{Decision, Rate};
use crate::breaker::Breaker;

/// Longest wait for an answer: a request of a client waits with it.
const DEADLINE: Duration = Duration::from_millis(250);
/// How long it is not asked after it did not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Begins every key, so that several programs may share a server.
const PREFIX: &str = "api-gateway:rate:";
/// As [`Rate::decide`], in microseconds: a number in Lua is exact up to 2^53.
const SCRIPT: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local owed = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') - now, 0)
local after = owed + tonumber(ARGV[1])
if after > tonumber(ARGV[2]) then return {0, string.format('%.0f', owed)} end
redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', string.format('%.0f', after / 1000 + 1))
return {1, string.format('%.0f', after)}
";

/// The way to the server.
pub(super) struct Shared {
    client: Client,
    manager: OnceCell<ConnectionManager>,
    script: Script,
    breaker: Breaker,
}

impl Shared {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// The URL is not one of Redis.
    pub(super) fn new(url: &SecretString) -> Result<Self, redis::RedisError> {
        Ok(Self {
            client: Client::open(url.expose_secret())?,
            manager: OnceCell::new(),
            script: Script::new(SCRIPT),
            breaker: Breaker::new(1, PAUSE),
        })
    }

    /// Counts a request; none if the server does not answer.
    pub(super) async fn take(&self, subject: &Subject, rate: Rate) -> Option<Decision> {
        self.breaker.admit(Instant::now()).ok()?;
        match tokio::time::timeout(DEADLINE, self.ask(subject, rate)).await {
            Ok(Ok(decision)) => {
                self.breaker.succeeded();
                return Some(decision);
            }
            Ok(Err(error)) => self.missed(&error.to_string()),
            Err(_elapsed) => self.missed("no answer in time"),
        }
        None
    }

    /// Returns whether it answers.
    pub(super) fn is_there(&self) -> bool {
        self.breaker.is_closed()
    }

    fn missed(&self, why: &str) {
        if self.breaker.failed(Instant::now()) {
            tracing::warn!(error = why, "Redis does not count requests");
        }
    }

    async fn ask(&self, subject: &Subject, rate: Rate) -> Result<Decision, redis::RedisError> {
        let settings = ConnectionManagerConfig::new().set_number_of_retries(0).set_connection_timeout(Some(DEADLINE));
        let manager = self.manager.get_or_try_init(|| self.client.get_connection_manager_with_config(settings));
        let mut connection = manager.await?.clone();
        let cost_us = (rate.cost_ns() / 1000).max(1);
        let most_us = cost_us * u64::from(rate.per_minute.get());
        let mut asked = self.script.key(format!("{PREFIX}{}", subject.digest()));
        let (allowed, owed_us): (u8, u64) =
            asked.arg(cost_us).arg(most_us).invoke_async::<(u8, u64)>(&mut connection).await?;
        let wait = (allowed == 0).then(|| Duration::from_micros((owed_us + cost_us).saturating_sub(most_us).max(1)));
        Ok(rate.decision(owed_us.saturating_mul(1000), wait))
    }
}
