//! Dead jobs: listed, brought back, thrown away. They stay until somebody decides.

use super::QueueError;
use super::claims::wall;
use super::counts::Operation;
use super::engine::Transaction;
use super::job::{DeadJob, Epoch, JobId, list};
use super::store::Queues;

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: String,
    epoch: i64,
    queue: String,
    name: String,
    payload: String,
    #[sqlx(try_from = "i64")]
    attempts: u32,
    #[sqlx(try_from = "i64")]
    max_attempts: u32,
    reason: Option<String>,
    created_at_ms: i64,
    first_failed_at_ms: Option<i64>,
    failed_at_ms: Option<i64>,
    key: Option<String>,
    #[sqlx(try_from = "i64")]
    priority: i16,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

/// Dead jobs, as [`Row`] reads them.
const DEAD: &str = "SELECT id, epoch, queue, name, payload, attempts, max_attempts, reason, created_at_ms,
        first_failed_at_ms, failed_at_ms, key, priority, traceparent, tracestate
    FROM {jobs} WHERE state = 'dead'";

impl Queues {
    /// Returns up to `limit` dead jobs of a queue whose ids come after `after`, in the order they were put in. A job that
    /// dies later may have an id before it: start again from none to see all.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn dead(&self, queue: &str, limit: u32, after: Option<JobId>) -> Result<Vec<DeadJob>, QueueError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let found = async |transaction: &mut Transaction| {
            let sql = format!("{DEAD} AND queue = $2 AND id > $3 ORDER BY id LIMIT $4");
            let binds = [queue.into(), after.as_str().into(), i64::from(limit).into()];
            let rows: Vec<Row> = transaction.rows(&sql, &binds).await?;
            rows.into_iter().map(|row| Ok(row.into_dead()?)).collect()
        };
        self.read(found).await
    }

    /// Returns those of the jobs that are dead, in any order.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn dead_among(&self, ids: &[JobId]) -> Result<Vec<DeadJob>, QueueError> {
        let ids = list(ids);
        let found = async |transaction: &mut Transaction| {
            let sql = format!("{DEAD} AND id IN {{list}}");
            let rows: Vec<Row> = transaction.rows(&sql, &[ids.as_str().into()]).await?;
            rows.into_iter().map(|row| Ok(row.into_dead()?)).collect()
        };
        self.read(found).await
    }

    /// Makes a dead job wait again with all its attempts, and returns whether there was one. With an `epoch`, only if it
    /// still is the same death: a repeat after a lost answer then does not bring back a job that has died again.
    ///
    /// # Errors
    /// [`QueueError::KeyTaken`], [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn redrive(&self, id: JobId, epoch: Option<Epoch>) -> Result<bool, QueueError> {
        let sql = "UPDATE {jobs} SET state = 'waiting', attempts = 0, run_at_ms = {now}
            WHERE id = $2 AND state = 'dead' AND ($3 IS NULL OR epoch = $3)";
        let changed = self.change_dead(Operation::Redrive, sql, id, epoch).await;
        if matches!(&changed, Err(QueueError::Store(sqlx::Error::Database(error))) if error.is_unique_violation()) {
            return Err(QueueError::KeyTaken(id));
        }
        let is_changed = changed?;
        if is_changed {
            self.tell();
        }
        Ok(is_changed)
    }

    /// Deletes a dead job and returns whether there was one. With an `epoch`, only if it still is the same death.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn discard(&self, id: JobId, epoch: Option<Epoch>) -> Result<bool, QueueError> {
        let sql = "DELETE FROM {jobs} WHERE id = $2 AND state = 'dead' AND ($3 IS NULL OR epoch = $3)";
        self.change_dead(Operation::Discard, sql, id, epoch).await
    }

    /// Deletes the dead jobs of a queue that have this key.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn discard_keyed(&self, queue: &str, key: &str) -> Result<(), QueueError> {
        let discarded = async |transaction: &mut Transaction| {
            let sql = "DELETE FROM {jobs} WHERE queue = $2 AND key = $3 AND state = 'dead'";
            transaction.change(sql, &[queue.into(), key.into()]).await?;
            Ok(())
        };
        self.write(Operation::Discard, discarded).await
    }

    async fn change_dead(
        &self,
        operation: Operation,
        sql: &str,
        id: JobId,
        epoch: Option<Epoch>,
    ) -> Result<bool, QueueError> {
        let id = id.to_string();
        let changed = async |transaction: &mut Transaction| {
            let rows = transaction.change(sql, &[id.as_str().into(), epoch.map(|epoch| epoch.0).into()]).await?;
            Ok(rows > 0)
        };
        self.write(operation, changed).await
    }
}

impl Row {
    fn into_dead(self) -> Result<DeadJob, sqlx::Error> {
        let failed_at_ms = self.failed_at_ms.unwrap_or(self.created_at_ms);
        Ok(DeadJob {
            id: JobId::try_from(self.id).map_err(|error| sqlx::Error::Decode(error.into()))?,
            epoch: Epoch(self.epoch),
            queue: self.queue,
            name: self.name,
            payload: self.payload,
            attempts: self.attempts,
            max_attempts: self.max_attempts,
            reason: self.reason.unwrap_or_default(),
            created_at: wall(self.created_at_ms),
            first_failed_at: wall(self.first_failed_at_ms.unwrap_or(failed_at_ms)),
            failed_at: wall(failed_at_ms),
            key: self.key,
            priority: self.priority,
            traceparent: self.traceparent,
            tracestate: self.tracestate,
        })
    }
}
