//! Counting the jobs of a queue.

use std::collections::BTreeSet;
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

    /// Returns the names of all queues that have a job, in any state.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn names(&self) -> Result<BTreeSet<String>, QueueError> {
        let found = async |transaction: &mut Transaction| {
            let mut names = BTreeSet::new();
            for state in ["waiting", "running", "dead"] {
                // From one name to the next in the index of that state: as many steps as there are names, not jobs.
                let sql = format!(
                    "WITH RECURSIVE names (queue) AS (
                        SELECT min(queue) FROM {{jobs}} WHERE state = '{state}'
                        UNION ALL SELECT (SELECT min(queue) FROM {{jobs}} WHERE state = '{state}' AND queue > names.queue)
                        FROM names WHERE names.queue IS NOT NULL)
                    SELECT queue FROM names WHERE queue IS NOT NULL"
                );
                let rows: Vec<(String,)> = transaction.rows(&sql, &[]).await?;
                names.extend(rows.into_iter().map(|(name,)| name));
            }
            Ok(names)
        };
        self.read(found).await
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
