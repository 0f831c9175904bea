//! What was redriven in vain unasked, by failures that are alike; and letters that are put off since too much of it was.

use kit::db::Bind;

use super::{Ledger, LedgerError, LetterId, ROWS, places_after};

/// Failures that are alike, of which many were redriven in vain.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct InVain {
    /// What they have in common.
    pub fingerprint: String,
    /// Their queue.
    pub queue: String,
    /// Since when so many have failed again, in milliseconds since the epoch.
    pub since_ms: i64,
}

impl Ledger {
    /// Returns failures that are alike and of which at least so many letters failed again after `since_ms` once they had been
    /// redriven unasked; at most `most` kinds, those of which it was soonest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn in_vain(
        &self,
        source: &str,
        times: u32,
        since_ms: i64,
        most: usize,
    ) -> Result<Vec<InVain>, LedgerError> {
        // Word for word what their index is of (`tables`).
        let sql = "SELECT fingerprint, queue, changed_at_ms AS since_ms FROM (
                SELECT fingerprint, queue, changed_at_ms,
                    ROW_NUMBER() OVER (PARTITION BY queue, fingerprint ORDER BY changed_at_ms DESC) AS place
                FROM letters
                WHERE state = 'recurred' AND has_all_tries = 0 AND redrive IS NOT NULL AND source = $1
                    AND changed_at_ms > $2
            ) AS placed WHERE place = $3 ORDER BY since_ms DESC LIMIT $4";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let binds = [Bind::from(source), since_ms.into(), i64::from(times).into(), most.into()];
        self.read(async |transaction| transaction.rows::<InVain>(sql, &binds).await).await
    }

    /// Has letters that nobody asked for be due at another time, each in milliseconds since the epoch.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn put_off(&self, letters: &[(LetterId, i64)]) -> Result<(), LedgerError> {
        self.write(async |transaction| {
            for part in letters.chunks(ROWS) {
                let sql = format!(
                    "UPDATE letters SET due_at_ms = later.column2 FROM (VALUES {}) AS later
                    WHERE letters.id = later.column1 AND letters.state = 'scheduled' AND letters.has_all_tries = 0",
                    places_after(0, part.len(), 2)
                );
                let binds: Vec<Bind<'_>> =
                    part.iter().flat_map(|(id, due_at_ms)| [Bind::from(id.as_str()), (*due_at_ms).into()]).collect();
                transaction.change(&sql, &binds).await?;
            }
            Ok(())
        })
        .await
    }
}
