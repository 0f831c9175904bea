//! What happened in sign-in, as a Redis stream for those that read streams: each event once, in its order.
//!
//! An event's number is its id in the stream, and Redis takes no id twice: whoever is interrupted between the stream and
//! his own note of it, and however many programs do this, adds nothing a second time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kit::backoff::Backoff;
use kit::db::Transaction;
use kit::health::{Health, Need};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::streams::StreamMaxlen;
use redis::{Client, RedisError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::events::{self, Event};
use super::routes::Auth;
use crate::problem::Problem;
use crate::time::written;

/// Its name in health, and in the table of those that hand events on.
pub(crate) const REDIS: &str = "redis";
/// Between two looks for what is new.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Events that are handed on at once.
const AT_ONCE: i64 = 100;
/// Longest wait for Redis, for each of them.
const DEADLINE: Duration = Duration::from_secs(2);
/// Between tries while it does not answer.
const RETRY: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };
/// Events that the stream holds, about: as many as a busy day has.
const KEPT: usize = 100_000;

/// Why events were not handed on.
#[derive(Debug, thiserror::Error)]
enum Stuck {
    #[error(transparent)]
    Database(#[from] Problem),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(
        "the stream {0} has entries that are not of this database; remove it, or set AUTH_EVENTS_STREAM to another name"
    )]
    Foreign(String),
    #[error("Redis did not answer within {} s", DEADLINE.as_secs())]
    Late,
}

impl From<sqlx::Error> for Stuck {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Hands events on to one stream.
pub(crate) struct Relay {
    auth: Arc<Auth>,
    client: Client,
    stream: String,
}

impl Relay {
    /// Connects to nothing yet; none if the URL is not one of Redis, which settings have checked.
    pub(crate) fn new(auth: Arc<Auth>, url: &SecretString, stream: &str) -> Option<Self> {
        Some(Self { auth, client: Client::open(url.expose_secret()).ok()?, stream: stream.to_owned() })
    }

    /// Hands events on, and says in `health` whether that works, until it is dropped.
    pub(crate) async fn run(&self, health: &Health) {
        let (mut failures, mut connection) = (0, None);
        loop {
            let handed_on = self.hand_on(&mut connection).await;
            let state = handed_on.as_ref().map(|_| ()).map_err(|stuck| format!("events are not handed on: {stuck}"));
            if let Err(why) = &state {
                connection = None;
                if failures == 0 {
                    tracing::warn!(error = why, "Redis");
                }
            }
            failures = if state.is_ok() { 0 } else { failures + 1 };
            health.set(REDIS, Need::Soft, state);
            match handed_on {
                // There may be more.
                Ok(AT_ONCE..) => {}
                Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
                Err(_) => tokio::time::sleep(RETRY.delay(failures, rand::random())).await,
            }
        }
    }

    /// Returns how many there were.
    async fn hand_on(&self, connection: &mut Option<ConnectionManager>) -> Result<i64, Stuck> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(within(self.connect()).await?),
        };
        within(redis::cmd("PING").query_async::<()>(connection)).await?;
        let reading = async |transaction: &mut Transaction| {
            let sql = "SELECT number FROM relays WHERE name = $1";
            let done = transaction.row::<(i64,)>(sql, &[REDIS.into()]).await?.map_or(0, |(number,)| number);
            events::after(transaction, done, AT_ONCE).await
        };
        let events = self.auth.store.read(reading).await?;
        for event in &events {
            match within(self.add(connection, event)).await {
                Ok(()) => {}
                // Somebody was interrupted before he noted that it is there, or another program was faster.
                Err(Stuck::Redis(error)) if is_not_next(&error) && within(self.has(connection, event)).await? => {}
                Err(Stuck::Redis(error)) if is_not_next(&error) => return Err(Stuck::Foreign(self.stream.clone())),
                Err(stuck) => return Err(stuck),
            }
        }
        if let Some(last) = events.last() {
            let mut transaction = self.auth.store.begin().await?;
            let sql = "INSERT INTO relays (name, number) VALUES ($1, $2)
                ON CONFLICT (name) DO UPDATE SET number = excluded.number WHERE excluded.number > relays.number";
            transaction.change(sql, &[REDIS.into(), last.number.into()]).await?;
            transaction.commit().await?;
        }
        Ok(i64::try_from(events.len()).unwrap_or(i64::MAX))
    }

    async fn connect(&self) -> Result<ConnectionManager, RedisError> {
        let settings = ConnectionManagerConfig::new().set_number_of_retries(0).set_connection_timeout(Some(DEADLINE));
        self.client.get_connection_manager_with_config(settings).await
    }

    /// Returns whether the stream has this very event.
    async fn has(&self, connection: &mut ConnectionManager, event: &Event) -> Result<bool, RedisError> {
        let id = format!("{}-0", event.number);
        let mut command = redis::cmd("XRANGE");
        let found: Vec<(String, HashMap<String, String>)> =
            command.arg(&self.stream).arg(&id).arg(&id).query_async(connection).await?;
        let timestamp = written(event.at_ms);
        Ok(found.first().is_some_and(|(_, fields)| fields.get("timestamp") == Some(&timestamp)))
    }

    async fn add(&self, connection: &mut ConnectionManager, event: &Event) -> Result<(), RedisError> {
        let at = written(event.at_ms);
        let data = json!({
            "email": event.email, "address": event.address, "realm": event.realm, "actor": event.actor,
            "detail": event.detail,
        });
        let fields = [
            ("type", format!("auth.{}", event.kind)),
            ("timestamp", at),
            ("source", "platform-services".to_owned()),
            ("userId", event.user_id.clone().unwrap_or_default()),
            ("workspaceId", String::new()),
            ("correlationId", String::new()),
            ("data", data.to_string()),
        ];
        let mut command = redis::cmd("XADD");
        command.arg(&self.stream).arg(StreamMaxlen::Approx(KEPT)).arg(format!("{}-0", event.number)).arg(&fields);
        command.query_async(connection).await
    }
}

async fn within<T>(asked: impl Future<Output = Result<T, RedisError>>) -> Result<T, Stuck> {
    Ok(tokio::time::timeout(DEADLINE, asked).await.map_err(|_elapsed| Stuck::Late)??)
}

/// Redis says so in words alone: "The ID specified in XADD is equal or smaller than the target stream top item".
fn is_not_next(error: &RedisError) -> bool {
    error.to_string().contains("equal or smaller")
}
