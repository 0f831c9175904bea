//! Letters that were given up so long ago that nothing of them need be kept: but their names, where their jobs are still listed as
//! dead, for they would be taken in anew.

use kit::db::Bind;

use super::removal::REMOVED;
use super::retention::delete;
use super::{Ledger, LedgerError, ROWS};
use crate::source::Episode;

impl Ledger {
    /// Returns letters of a source that were given up before a time, in milliseconds since the epoch: numbers and failures, at most
    /// as many as one statement takes.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn given_up(&self, source: &str, before_ms: i64) -> Result<Vec<(i64, Episode)>, LedgerError> {
        // The first condition is that of an index.
        let sql = format!(
            "SELECT number, queue, job, failed_at_ms FROM letters
            WHERE state IN ('resolved', 'recurred', 'withdrawn', 'discarded') AND state = 'discarded'
                AND changed_at_ms < $1 AND source = $2
            ORDER BY changed_at_ms, number LIMIT {ROWS}"
        );
        let binds = [Bind::from(before_ms), source.into()];
        let rows = self.read(async |transaction| transaction.rows::<(i64, String, String, i64)>(&sql, &binds).await);
        let letter = |(number, queue, job, failed_at_ms)| (number, Episode { queue, job, failed_at_ms });
        Ok(rows.await?.into_iter().map(letter).collect())
    }

    /// Deletes letters.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn forget(&self, numbers: &[i64]) -> Result<(), LedgerError> {
        self.write(async |transaction| {
            for table in ["payloads", "stacks", "edits", "plan_letters"] {
                delete(transaction, table, "letter", numbers).await?;
            }
            delete(transaction, "letters", "number", numbers).await
        })
        .await
    }

    /// Deletes what letters hold, as of the time `now_ms`; their names stay.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn empty(&self, numbers: &[i64], now_ms: i64) -> Result<(), LedgerError> {
        if numbers.is_empty() {
            return Ok(());
        }
        let listed: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let sql = format!(
            "UPDATE letters SET reason = $1, edited_at_ms = NULL, order_value = NULL, changed_at_ms = $2,
                version = version + 1
            WHERE state = 'discarded' AND number IN ({})",
            listed.join(", ")
        );
        self.write(async |transaction| {
            for table in ["payloads", "stacks", "edits"] {
                delete(transaction, table, "letter", numbers).await?;
            }
            transaction.change(&sql, &[REMOVED.into(), now_ms.into()]).await.map(drop)
        })
        .await
    }
}
