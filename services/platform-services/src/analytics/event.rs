//! An event as it comes: checked, kept and counted.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::checks::{MAX_NAME_CHARS, amount, id, object, text};
use super::counts::{Counts, raise};
use super::period::{day_ms, hour_ms};
use super::probe::end;
use super::rights::Writer;
use super::routes::Analytics;
use crate::auth::is_watched;
use crate::problem::Problem;
use crate::time::written;

/// Longest `event_data`, in bytes of JSON without spaces. Ours.
const MAX_DATA_BYTES: usize = 16 * 1024;
/// Longest name of an endpoint that is counted, in characters. Ours.
pub(super) const MAX_ENDPOINT_CHARS: usize = 500;
/// The event type that counts as a call.
const CALL: &str = "api_call";

/// The body of a request.
#[derive(Debug, Deserialize)]
pub(super) struct NewEvent {
    event_type: String,
    event_data: Option<Map<String, Value>>,
    user_id: Option<Value>,
    session_id: Option<Value>,
}

/// An event that is right.
#[derive(Debug)]
struct Event {
    event_type: String,
    event_data: String,
    user_id: Option<String>,
    session_id: Option<String>,
    counts: Counts,
    /// What was called.
    endpoint: Option<String>,
}

/// An event that is kept.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct EventRow {
    id: i64,
    at_ms: i64,
    event_type: String,
    event_data: String,
    user_id: Option<String>,
    session_id: Option<String>,
}

/// The columns of [`EventRow`].
pub(super) const COLUMNS: &str = "id, at_ms, event_type, event_data, user_id, session_id";

/// `POST /analytics/events`
pub(super) async fn post(
    State(analytics): State<Arc<Analytics>>,
    writer: Writer,
    Json(new): Json<NewEvent>,
) -> Result<Json<Value>, ApiError> {
    let event = new.checked()?;
    let keeping = async {
        let mut transaction = analytics.store.begin().await?;
        let row = event.keep(&mut transaction, Timestamp::now().as_millisecond()).await?;
        let is_of_a_monitor = match &event.user_id {
            Some(user_id) => is_watched(&mut transaction, user_id).await?,
            None => false,
        };
        end(transaction, !is_of_a_monitor && !writer.is_probe).await?;
        Ok::<_, Problem>(row)
    };
    Ok(Json(keeping.await?.shown()))
}

impl NewEvent {
    fn checked(self) -> Result<Event, ApiError> {
        let data = self.event_data.unwrap_or_default();
        let event_type = text("event_type", self.event_type, MAX_NAME_CHARS)?;
        let tokens = amount("event_data.tokens_used", data.get("tokens_used"))?;
        let dollars = amount("event_data.cost_usd", data.get("cost_usd"))?;
        let is_call = event_type == CALL;
        let endpoint = data.get("endpoint").and_then(Value::as_str).filter(|_| is_call);
        // What else stands there is nobody's mistake: the data are the client's own.
        let endpoint = endpoint.and_then(|name| text("endpoint", name.to_owned(), MAX_ENDPOINT_CHARS).ok());
        Ok(Event {
            event_data: object("event_data", &data, MAX_DATA_BYTES)?,
            event_type,
            user_id: id("user_id", self.user_id)?,
            session_id: id("session_id", self.session_id)?,
            counts: Counts::of(i64::from(is_call), tokens, dollars),
            endpoint,
        })
    }
}

impl Event {
    /// Keeps it and counts it.
    async fn keep(&self, transaction: &mut Transaction, now_ms: i64) -> Result<EventRow, sqlx::Error> {
        let sql = format!(
            "INSERT INTO analytics_events (at_ms, event_type, event_data, user_id, session_id)
             VALUES ($1, $2, $3, $4, $5) RETURNING {COLUMNS}"
        );
        let binds = [
            now_ms.into(),
            self.event_type.as_str().into(),
            self.event_data.as_str().into(),
            self.user_id.as_deref().into(),
            self.session_id.as_deref().into(),
        ];
        let row = transaction.row(&sql, &binds).await?;
        self.count(transaction, now_ms).await?;
        row.ok_or(sqlx::Error::RowNotFound)
    }

    /// Raises what is counted, always in the same order, so that no two requests wait for each other; and last what every
    /// event raises, so that others wait for it shortly.
    async fn count(&self, transaction: &mut Transaction, now_ms: i64) -> Result<(), sqlx::Error> {
        if let Some(endpoint) = &self.endpoint {
            mention(transaction, hour_ms(now_ms), endpoint, 1).await?;
        }
        if let Some(user_id) = &self.user_id {
            self.use_up(transaction, user_id, now_ms).await?;
            let sql = "INSERT INTO analytics_users (user_id, last_ms) VALUES ($1, $2) ON CONFLICT (user_id)
                DO UPDATE SET last_ms = excluded.last_ms WHERE analytics_users.last_ms < excluded.last_ms";
            transaction.change(sql, &[user_id.as_str().into(), now_ms.into()]).await?;
        }
        self.happen(transaction, &self.event_type, now_ms).await?;
        self.use_up(transaction, "", now_ms).await?;
        self.happen(transaction, "", now_ms).await
    }

    async fn use_up(&self, transaction: &mut Transaction, user_id: &str, now_ms: i64) -> Result<(), sqlx::Error> {
        if self.counts == Counts::default() {
            return Ok(());
        }
        let keys = [("user_id", user_id.into()), ("day_ms", day_ms(now_ms).into())];
        raise(transaction, "analytics_usage", &keys, &self.counts.columns()).await
    }

    async fn happen(&self, transaction: &mut Transaction, event_type: &str, now_ms: i64) -> Result<(), sqlx::Error> {
        let keys = [("event_type", event_type.into()), ("hour_ms", hour_ms(now_ms).into())];
        let [calls, tokens, cost] = self.counts.columns();
        raise(transaction, "analytics_hours", &keys, &[("events", 1), calls, tokens, cost]).await
    }
}

/// Counts how often an endpoint was named.
pub(super) async fn mention(
    transaction: &mut Transaction,
    hour_ms: i64,
    endpoint: &str,
    times: i64,
) -> Result<(), sqlx::Error> {
    let keys = [("hour_ms", hour_ms.into()), ("endpoint", endpoint.into())];
    raise(transaction, "analytics_endpoints", &keys, &[("mentions", times)]).await
}

impl EventRow {
    /// As clients read it.
    pub(super) fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "event_type": self.event_type,
            "event_data": serde_json::from_str::<Value>(&self.event_data).unwrap_or_default(),
            "user_id": self.user_id,
            "session_id": self.session_id,
            "timestamp": written(self.at_ms),
        })
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
