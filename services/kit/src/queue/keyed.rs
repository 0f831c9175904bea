//! Jobs that stand for one thing each, named by a key, and change while they wait or even run: read, decided and written
//! in one transaction.

use super::QueueError;
use super::counts::Operation;
use super::engine::Transaction;
use super::job::{Claim, Draft, JobId};
use super::put::{check_name, check_payload, check_room};
use super::store::Queues;

impl Queues {
    /// Changes the unfinished job of `queue` that has this key, or puts one in: `change` is given the payload, or none if
    /// there is no such job, and says what it becomes; none leaves everything as it is. A running job stays running; its
    /// worker sees the change in [`Queues::settle`]. However often such a job is tried, only [`super::Retry::Dead`] ends
    /// it. Keys given here and keys given to [`Queues::enqueue`] must not be the same.
    ///
    /// # Errors
    /// [`QueueError::Full`] if it would be one more than `max_unfinished`, [`QueueError::Name`] for queue and key,
    /// [`QueueError::PayloadTooLarge`], [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn amend(
        &self,
        queue: &str,
        key: &str,
        max_unfinished: u32,
        change: impl FnOnce(Option<&str>) -> Option<Draft> + Send,
    ) -> Result<(), QueueError> {
        check_name("queue", queue)?;
        check_name("key", key)?;
        let amended = async |transaction: &mut Transaction| {
            transaction.lock_queue(queue).await?;
            let found = find(transaction, queue, key).await?;
            let Some(draft) = change(found.as_ref().map(|(_id, payload)| payload.as_str())) else { return Ok(()) };
            check_payload(&draft.payload)?;
            match found {
                Some((id, _payload)) => update(transaction, &id, &draft).await?,
                None => {
                    check_room(transaction, queue, max_unfinished).await?;
                    insert(transaction, queue, key, &draft).await?;
                }
            }
            Ok(())
        };
        self.write(Operation::Put, amended).await?;
        self.tell();
        Ok(())
    }

    /// Returns up to `limit` unfinished jobs of a queue that have a key and whose ids come after `after`, in the order they were
    /// put in: id and payload.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn keyed(
        &self,
        queue: &str,
        limit: u32,
        after: Option<JobId>,
    ) -> Result<Vec<(JobId, String)>, QueueError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let found = async |transaction: &mut Transaction| {
            let sql = "SELECT id, payload FROM {jobs}
                WHERE queue = $2 AND key IS NOT NULL AND state <> 'dead' AND id > $3 ORDER BY id LIMIT $4";
            let binds = [queue.into(), after.as_str().into(), i64::from(limit).into()];
            let rows: Vec<(String, String)> = transaction.rows(sql, &binds).await?;
            let decode = |id: String| JobId::try_from(id).map_err(|error| sqlx::Error::Decode(error.into()));
            rows.into_iter().map(|(id, payload)| Ok((decode(id)?, payload))).collect()
        };
        self.read(found).await
    }

    /// Ends a claim well: `decide` is given the payload as it is now, and says what the job becomes; none deletes it, for
    /// it is done. A job that goes on has all its attempts again.
    ///
    /// # Errors
    /// [`QueueError::Lost`], [`QueueError::PayloadTooLarge`], [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn settle(
        &self,
        claim: Claim,
        decide: impl FnOnce(&str) -> Option<Draft> + Send,
    ) -> Result<(), QueueError> {
        let id = claim.id.to_string();
        let settled = async |transaction: &mut Transaction| {
            let rows: Vec<(String,)> = transaction
                .rows(
                    "SELECT payload FROM {jobs} WHERE id = $2 AND epoch = $3 AND state = 'running' {for_update}",
                    &[id.as_str().into(), claim.epoch.0.into()],
                )
                .await?;
            let (payload,) = rows.into_iter().next().ok_or(QueueError::Lost(claim.id))?;
            match decide(&payload) {
                Some(draft) => {
                    check_payload(&draft.payload)?;
                    let sql = "UPDATE {jobs} SET state = 'waiting', owner = NULL, until_ms = NULL, attempts = 0
                        WHERE id = $2";
                    transaction.change(sql, &[id.as_str().into()]).await?;
                    update(transaction, &id, &draft).await?;
                }
                None => {
                    transaction.change("DELETE FROM {jobs} WHERE id = $2", &[id.as_str().into()]).await?;
                }
            }
            Ok(())
        };
        self.write(Operation::Complete, settled).await
    }
}

async fn find(transaction: &mut Transaction, queue: &str, key: &str) -> Result<Option<(String, String)>, sqlx::Error> {
    let sql = "SELECT id, payload FROM {jobs} WHERE queue = $2 AND key = $3 AND state <> 'dead' {for_update}";
    Ok(transaction.rows(sql, &[queue.into(), key.into()]).await?.into_iter().next())
}

async fn update(transaction: &mut Transaction, id: &str, draft: &Draft) -> Result<(), sqlx::Error> {
    let sql = "UPDATE {jobs} SET name = $3, payload = $4, run_at_ms = $5, priority = $6 WHERE id = $2";
    let binds = [
        id.into(),
        draft.name.into(),
        draft.payload.as_str().into(),
        draft.run_at.as_millisecond().into(),
        i64::from(draft.priority).into(),
    ];
    transaction.change(sql, &binds).await.map(|_one| ())
}

async fn insert(transaction: &mut Transaction, queue: &str, key: &str, draft: &Draft) -> Result<(), sqlx::Error> {
    let id = JobId::new().to_string();
    let sql =
        "INSERT INTO {jobs} (id, queue, key, state, max_attempts, created_at_ms, name, payload, run_at_ms, priority)
        VALUES ($2, $3, $4, 'waiting', $5, {now}, $6, $7, $8, $9)";
    let binds = [
        id.as_str().into(),
        queue.into(),
        key.into(),
        i64::from(u32::MAX).into(),
        draft.name.into(),
        draft.payload.as_str().into(),
        draft.run_at.as_millisecond().into(),
        i64::from(draft.priority).into(),
    ];
    transaction.change(sql, &binds).await.map(|_one| ())
}
