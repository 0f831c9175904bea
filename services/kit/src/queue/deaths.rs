//! Deaths in the order in which they came, and what became of jobs: for whoever watches over queues.

use jiff::Timestamp;

use super::QueueError;
use super::claims::wall;
use super::engine::Transaction;
use super::job::{Death, JobId, list};
use super::store::Queues;

/// A part of the deaths of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deaths {
    /// The oldest first; of the same time in the order of ids.
    pub page: Vec<Death>,
    /// How many dead jobs the queue has in all.
    pub dead: u64,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It waits or runs.
    Unfinished,
    /// It died at this time.
    Dead(Timestamp),
}

impl Queues {
    /// Returns up to `limit` deaths of a queue at `since` or later, without the first `skip` of them. A death is listed
    /// once it lasts, which is a little later than its time: look again some time back to see all.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn deaths(&self, queue: &str, since: Timestamp, skip: u32, limit: u32) -> Result<Deaths, QueueError> {
        let found = async |transaction: &mut Transaction| {
            let sql = "SELECT id, failed_at_ms FROM {jobs} WHERE queue = $2 AND state = 'dead' AND failed_at_ms >= $3
                ORDER BY failed_at_ms, id LIMIT $4 OFFSET $5";
            let binds = [queue.into(), since.as_millisecond().into(), i64::from(limit).into(), i64::from(skip).into()];
            let rows: Vec<(String, i64)> = transaction.rows(sql, &binds).await?;
            let page: Result<Vec<Death>, sqlx::Error> = rows.into_iter().map(death).collect();
            let sql = "SELECT count(*) FROM {jobs} WHERE queue = $2 AND state = 'dead'";
            let dead: Vec<(i64,)> = transaction.rows(sql, &[queue.into()]).await?;
            let dead = dead.first().map_or(0, |(number,)| u64::try_from(*number).unwrap_or(0));
            Ok(Deaths { page: page?, dead })
        };
        self.read(found).await
    }

    /// Says where jobs are, in any order; nothing of those that are gone: done, or discarded.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn places(&self, ids: &[JobId]) -> Result<Vec<(JobId, Place)>, QueueError> {
        let ids = list(ids);
        let found = async |transaction: &mut Transaction| {
            let sql = "SELECT id, coalesce(failed_at_ms, created_at_ms), state FROM {jobs} WHERE id IN {list}";
            let rows: Vec<(String, i64, String)> = transaction.rows(sql, &[ids.as_str().into()]).await?;
            let place = |(id, at_ms, state): (String, i64, String)| {
                let Death { id, at } = death((id, at_ms))?;
                Ok((id, if state == "dead" { Place::Dead(at) } else { Place::Unfinished }))
            };
            rows.into_iter().map(place).collect()
        };
        self.read(found).await
    }
}

fn death((id, at_ms): (String, i64)) -> Result<Death, sqlx::Error> {
    let id = JobId::try_from(id).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Death { id, at: wall(at_ms) })
}
