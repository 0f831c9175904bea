//! Putting jobs in: checked, bounded, once for each key.

use jiff::Timestamp;
use serde::Serialize;

use super::counts::Operation;
use super::engine::Transaction;
use super::job::{JobId, Options};
use super::spans;
use super::store::Queues;
use super::{MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, QueueError};
use crate::trace::{self, Context, Kind};

impl Queues {
    /// Puts a job in and returns its id once it would survive a power cut.
    ///
    /// # Errors
    /// [`QueueError::PayloadTooLarge`], [`QueueError::Payload`], [`QueueError::Name`], [`QueueError::Full`],
    /// [`QueueError::Late`] and [`QueueError::Store`].
    ///
    /// # Cancel safety
    /// The job may be in or not: give it a key where that matters.
    pub async fn enqueue(
        &self,
        queue: &str,
        name: &str,
        payload: &(impl Serialize + Sync + ?Sized),
        options: Options<'_>,
    ) -> Result<JobId, QueueError> {
        for (what, text) in [("queue", Some(queue)), ("job name", Some(name)), ("key", options.key)] {
            text.map_or(Ok(()), |text| check_name(what, text))?;
        }
        let payload = serde_json::to_string(payload).map_err(QueueError::Payload)?;
        check_payload(&payload)?;
        let inserted = async |transaction: &mut Transaction| insert(transaction, queue, name, &payload, options).await;
        let mut span = spans::begin(Kind::Producer, "send", queue, name, None);
        let put = span.within(self.write(Operation::Put, inserted)).await;
        match &put {
            Ok(id) => span.set("messaging.message.id", id.to_string()),
            Err(error) => span.fail(spans::kind(error), error.to_string()),
        }
        let id = put?;
        self.tell();
        Ok(id)
    }
}

async fn insert(
    transaction: &mut Transaction,
    queue: &str,
    name: &str,
    payload: &str,
    options: Options<'_>,
) -> Result<JobId, QueueError> {
    if let Some(limit) = options.max_unfinished {
        transaction.lock_queue(queue).await?;
        if let Some(id) = find(transaction, queue, options.key).await? {
            return Ok(id);
        }
        check_room(transaction, queue, limit).await?;
    }
    let id = JobId::new().to_string();
    let asks = trace::current();
    let traceparent = asks.as_ref().map(Context::traceparent);
    let binds = [
        id.as_str().into(),
        queue.into(),
        name.into(),
        payload.into(),
        options.key.into(),
        i64::from(options.priority).into(),
        i64::from(options.max_attempts.get()).into(),
        options.run_at.map(Timestamp::as_millisecond).into(),
        traceparent.as_deref().into(),
        asks.as_ref().and_then(Context::tracestate).into(),
    ];
    // The update changes nothing: it makes the row that has the key come back.
    let sql = "INSERT INTO {jobs}
            (id, queue, name, payload, key, priority, state, max_attempts, run_at_ms, created_at_ms, traceparent,
             tracestate)
        VALUES ($2, $3, $4, $5, $6, $7, 'waiting', $8, coalesce($9, {now}), {now}, $10, $11)
        ON CONFLICT (queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO UPDATE SET key = excluded.key
        RETURNING id";
    let rows: Vec<(String,)> = transaction.rows(sql, &binds).await?;
    let id = rows.into_iter().next().map_or(id, |(id,)| id);
    Ok(parse_id(id)?)
}

async fn find(transaction: &mut Transaction, queue: &str, key: Option<&str>) -> Result<Option<JobId>, QueueError> {
    let sql = "SELECT id FROM {jobs} WHERE queue = $2 AND key = $3 AND state <> 'dead'";
    let rows: Vec<(String,)> = transaction.rows(sql, &[queue.into(), key.into()]).await?;
    Ok(rows.into_iter().next().map(|(id,)| parse_id(id)).transpose()?)
}

/// The queue must be locked.
pub(super) async fn check_room(transaction: &mut Transaction, queue: &str, limit: u32) -> Result<(), QueueError> {
    let rows: Vec<(i64,)> = transaction
        .rows(
            "SELECT (SELECT count(*) FROM {jobs} WHERE queue = $2 AND state = 'waiting')
              + (SELECT count(*) FROM {jobs} WHERE queue = $2 AND state = 'running')",
            &[queue.into()],
        )
        .await?;
    let unfinished = rows.first().map_or(0, |(number,)| *number);
    if unfinished >= i64::from(limit) {
        return Err(QueueError::Full { queue: queue.to_owned(), limit });
    }
    Ok(())
}

pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), QueueError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(QueueError::Name { what, name: name.chars().take(MAX_NAME_BYTES).collect() });
    }
    Ok(())
}

pub(super) fn check_payload(payload: &str) -> Result<(), QueueError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(QueueError::PayloadTooLarge { bytes: payload.len() });
    }
    Ok(())
}

fn parse_id(id: String) -> Result<JobId, sqlx::Error> {
    JobId::try_from(id).map_err(|error| sqlx::Error::Decode(error.into()))
}
