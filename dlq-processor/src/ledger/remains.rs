//! What letters leave behind when they have gone: the kinds of failures that they were of, and who did what with them. A part of
//! it is looked through at a time, in the order of its keys, so that no writer is held up and no index is needed.

use kit::db::Bind;

use super::retention::{ENDED, delete};
use super::{Ledger, LedgerError, ROWS, places_after};

/// A line of the audit: its number, when it was written, and 1 if it stays.
type Line = (i64, i64, i64);

impl Ledger {
    /// Deletes kinds of failures that were last seen before a time, in milliseconds since the epoch, and that no letter is of any
    /// more: of those that come after one, at most as many as one statement takes. Returns the last one that was looked at; none
    /// if that was all.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn forget_kinds(&self, before_ms: i64, after: &str) -> Result<Option<String>, LedgerError> {
        let sql = format!(
            "SELECT fingerprint, last_seen_at_ms FROM fingerprints WHERE fingerprint > $1 ORDER BY fingerprint LIMIT {ROWS}"
        );
        let kinds =
            self.read(async |transaction| transaction.rows::<(String, i64)>(&sql, &[after.into()]).await).await?;
        let old: Vec<&str> =
            kinds.iter().filter(|(_, seen_at_ms)| *seen_at_ms < before_ms).map(|(kind, _)| kind.as_str()).collect();
        if !old.is_empty() {
            // One may be seen again meanwhile.
            let sql = format!(
                "DELETE FROM fingerprints WHERE fingerprint IN {} AND last_seen_at_ms < $1
                    AND NOT EXISTS (SELECT 1 FROM letters WHERE letters.fingerprint = fingerprints.fingerprint)",
                places_after(1, 1, old.len())
            );
            let binds: Vec<Bind<'_>> =
                std::iter::once(Bind::from(before_ms)).chain(old.into_iter().map(Bind::from)).collect();
            self.write(async |transaction| transaction.change(&sql, &binds).await).await?;
        }
        Ok(kinds.into_iter().next_back().map(|(kind, _)| kind))
    }

    /// Deletes lines of the audit that were written before a time, in milliseconds since the epoch, but for those of letters that are
    /// here and have not ended: of those that come after one, at most as many as one statement takes. Returns the number of the
    /// last one that was looked at; none if there is nothing older.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn forget_audit(&self, before_ms: i64, after: i64) -> Result<Option<i64>, LedgerError> {
        let sql = format!(
            "SELECT number, at_ms, CAST(CASE WHEN EXISTS (SELECT 1 FROM letters WHERE id = audit.letter AND state NOT IN ({ENDED}))
                THEN 1 ELSE 0 END AS BIGINT)
            FROM audit WHERE number > $1 ORDER BY number LIMIT {ROWS}"
        );
        let lines = self.read(async |transaction| transaction.rows::<Line>(&sql, &[after.into()]).await).await?;
        // They are numbered as they are written: what comes later is as young.
        let Some((last, ..)) = lines.last().filter(|_| lines.iter().any(|(_, at_ms, _)| *at_ms < before_ms)) else {
            return Ok(None);
        };
        let old = lines.iter().filter(|(_, at_ms, stays)| *at_ms < before_ms && *stays == 0);
        let old: Vec<i64> = old.map(|(number, ..)| *number).collect();
        self.write(async |transaction| delete(transaction, "audit", "number", &old).await).await?;
        Ok(Some(*last))
    }
}
