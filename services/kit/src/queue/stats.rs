//! Counting the jobs of a queue.

use std::time::Duration;

use super::QueueError;
use super::engine::Transaction;
use super::job::Stats;
use super::store::Queues;

impl Queues {
    /// Counts the jobs of a queue.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn stats(&self, queue: &str) -> Result<Stats, QueueError> {
        let counted = async |transaction: &mut Transaction| {
            let sql = "SELECT count(*) FILTER (WHERE state = 'waiting' AND run_at_ms <= {now}),
                    count(*) FILTER (WHERE state = 'waiting' AND run_at_ms > {now}),
                    count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE state = 'dead'),
                    {now} - min(run_at_ms) FILTER (WHERE state = 'waiting' AND run_at_ms <= {now})
                FROM {jobs} WHERE queue = $2";
            let rows: Vec<(i64, i64, i64, i64, Option<i64>)> = transaction.rows(sql, &[queue.into()]).await?;
            Ok(rows.into_iter().next().unwrap_or_default())
        };
        let (waiting, scheduled, running, dead, oldest_ms) = self.read(counted).await?;
        let count = |number| u64::try_from(number).unwrap_or(0);
        let oldest_age = oldest_ms.map(|ms| Duration::from_millis(count(ms)));
        Ok(Stats {
            waiting: count(waiting),
            scheduled: count(scheduled),
            running: count(running),
            dead: count(dead),
            oldest_age,
        })
    }

    /// Counts the unfinished jobs of a queue that have this name.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn count_named(&self, queue: &str, name: &str) -> Result<u64, QueueError> {
        let counted = async |transaction: &mut Transaction| {
            let sql = "SELECT count(*) FROM {jobs} WHERE queue = $2 AND name = $3 AND state <> 'dead'";
            let rows: Vec<(i64,)> = transaction.rows(sql, &[queue.into(), name.into()]).await?;
            Ok(rows.first().map_or(0, |(number,)| u64::try_from(*number).unwrap_or(0)))
        };
        self.read(counted).await
    }
}
