//! Failures that another queue told of, and that their own queue has, too: they are ended, so that no failure is redriven twice.

use kit::db::{Bind, Transaction};

use super::capture::OPEN;
use super::insert::clean;
use super::intent::given_ms;
use super::letter::of_jobs;
use crate::source::{CLOCKS_DIFFER_MS, Found};

/// A letter of the queue that a job failed in.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Own {
    failed_at_ms: i64,
    put_in_at_ms: Option<i64>,
    /// The order to redrive it, if there was one.
    redrive: Option<String>,
    /// Whether it held the same, byte for byte.
    is_alike: i64,
}

impl Own {
    /// Whether what was told of a failure at this time says nothing that this letter does not: it is the same failure, or an
    /// earlier one of the same job.
    fn covers(&self, told_at_ms: i64) -> bool {
        let later_ms = told_at_ms.saturating_add(CLOCKS_DIFFER_MS);
        // Another job may have got the id of one that was done: it was put in later.
        let is_same_job = self.put_in_at_ms.is_none_or(|ms| ms <= told_at_ms || self.is_alike != 0 && ms <= later_ms);
        // What was told after it was redriven is of what came of that.
        let was_redriven =
            self.redrive.as_deref().is_some_and(|order| given_ms(order).is_none_or(|ms| ms < told_at_ms));
        let is_told_late = !was_redriven && self.failed_at_ms.saturating_add(CLOCKS_DIFFER_MS) >= told_at_ms;
        is_same_job && (self.failed_at_ms >= told_at_ms || is_told_late)
    }
}

/// Ends letters of these jobs that were told of elsewhere, and that a letter of their own queue covers.
pub(super) async fn end_told(
    transaction: &mut Transaction,
    source: &str,
    part: &[&Found],
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "SELECT number, queue, job, failed_at_ms FROM {}
            AND source = ${} AND found_in IS NOT NULL AND state IN ({OPEN})",
        of_jobs(0, part.len(), 2),
        part.len() * 2 + 1,
    );
    let jobs: Vec<String> = part.iter().map(|found| clean(&found.episode.job)).collect();
    let both = part.iter().zip(&jobs).flat_map(|(found, job)| [found.episode.queue.as_str(), job.as_str()]);
    let binds: Vec<Bind<'_>> = both.chain([source]).map(Bind::from).collect();
    for (number, queue, job, told_at_ms) in transaction.rows::<(i64, String, String, i64)>(&sql, &binds).await? {
        let sql = "SELECT own.failed_at_ms, own.put_in_at_ms, own.redrive,
                CAST(CASE WHEN held.data = told.data THEN 1 ELSE 0 END AS BIGINT) AS is_alike
            FROM letters AS own LEFT JOIN payloads AS held ON held.letter = own.number
                LEFT JOIN payloads AS told ON told.letter = $4
            WHERE own.source = $1 AND own.queue = $2 AND own.job = $3 AND own.found_in IS NULL";
        let binds = [Bind::from(source), queue.as_str().into(), job.as_str().into(), number.into()];
        let own = transaction.rows::<Own>(sql, &binds).await?;
        if own.iter().any(|own| own.covers(told_at_ms)) {
            let sql = "UPDATE letters SET state = 'recurred', reason = 'same', due_at_ms = NULL, changed_at_ms = $1,
                version = version + 1 WHERE number = $2";
            transaction.change(sql, &[now_ms.into(), number.into()]).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::{NoContext, Timestamp, Uuid};

    use super::*;

    #[test]
    fn what_was_told_is_covered_by_the_same_failure_and_by_later_ones_of_the_same_job() {
        let order = |at_secs| Uuid::new_v7(Timestamp::from_unix(NoContext, at_secs, 0)).simple().to_string();
        let told_at_ms = 1_000_000;
        for (failed_at_ms, put_in_at_ms, redrive, is_alike, expected) in [
            (1_000_000, Some(900_000), None, 1, true),
            // The worker tells before it fails the job, or the queue's listener after it.
            (1_000_007, Some(900_000), None, 0, true),
            (999_990, Some(900_000), None, 0, true),
            (999_990, None, None, 0, true),
            // It was redriven only after it was told.
            (999_990, Some(900_000), Some(order(1001)), 0, true),
            (2_000_000, Some(900_000), Some(order(500)), 0, true),
            // What came of a redrive, and what is long ago.
            (999_990, Some(900_000), Some(order(999)), 0, false),
            (939_999, Some(900_000), None, 0, false),
            // Another job of the same id, and the same one by a clock that is ahead.
            (1_000_500, Some(1_000_001), None, 0, false),
            (1_000_500, Some(1_000_001), None, 1, true),
            (1_100_000, Some(1_060_001), None, 1, false),
        ] {
            let own = Own { failed_at_ms, put_in_at_ms, redrive, is_alike };
            assert_eq!(own.covers(told_at_ms), expected, "{own:?}");
        }
    }
}
