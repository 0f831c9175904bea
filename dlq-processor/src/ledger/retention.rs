//! What the ledger no longer needs: letters that ended are deleted after a while, and those that nobody dealt with are put away,
//! never without their payloads being somewhere.

use kit::db::{Bind, Transaction};

use super::{Ledger, LedgerError, ROWS, places_after};

/// The states of letters that ended, as SQL has them.
pub(super) const ENDED: &str = "'resolved', 'recurred', 'withdrawn', 'discarded'";

/// When letters go, in milliseconds since the epoch: those that changed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// Of those that were done, failed again, or were dealt with by somebody else.
    pub ended_ms: i64,
    /// Of those that a person has given up.
    pub discarded_ms: i64,
    /// Of those that wait and nobody dealt with.
    pub waiting_ms: i64,
}

/// A letter that is put away, with all that it holds.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Away {
    /// Counts letters.
    pub number: i64,
    /// Names it.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// Its queue.
    pub queue: String,
    /// The job's id.
    pub job: String,
    /// The job's name.
    pub name: String,
    /// When it failed, in milliseconds since the epoch.
    pub failed_at_ms: i64,
    /// In whose words.
    pub message: String,
    /// What the job held.
    pub data: Vec<u8>,
    /// All that its source kept of it.
    pub kept: Vec<u8>,
}

impl Ledger {
    /// Deletes letters that ended long ago, at most as many as one statement takes, and returns how many there were. What was given
    /// up and may be listed by one of these sources stays.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn forget_ended(&self, before: Before, sources: &[&str]) -> Result<usize, LedgerError> {
        // What a plan did is told as long as its letters are there; of a job that failed again its last letter counts.
        let sql = format!(
            "SELECT number FROM letters WHERE state IN ({ENDED})
                AND changed_at_ms < $1 AND changed_at_ms < CASE WHEN state = 'discarded' THEN $2 ELSE $3 END{}
            ORDER BY changed_at_ms, number LIMIT {ROWS}",
            if sources.is_empty() {
                String::new()
            } else {
                format!(" AND NOT (state = 'discarded' AND source IN {})", places_after(3, 1, sources.len()))
            }
        );
        let Before { ended_ms, discarded_ms, .. } = before;
        let mut binds = vec![Bind::from(ended_ms.max(discarded_ms)), discarded_ms.into(), ended_ms.into()];
        binds.extend(sources.iter().map(|source| Bind::from(*source)));
        let found = self.read(async |transaction| transaction.rows::<(i64,)>(&sql, &binds).await).await?;
        let numbers: Vec<i64> = found.into_iter().map(|(number,)| number).collect();
        self.forget(&numbers).await?;
        Ok(numbers.len())
    }

    /// Returns letters that wait and that nobody dealt with for so long, at most as many as one statement takes. What is in
    /// quarantine, or must be heard of at once, is never put away.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn overdue(&self, before: Before) -> Result<Vec<Away>, LedgerError> {
        let sql = format!(
            "SELECT number, id, source, queue, job, name, failed_at_ms, message, data, kept
            FROM letters JOIN payloads ON payloads.letter = letters.number
            WHERE state IN ('observed', 'parked', 'escalated', 'uncertain') AND alarm <> 'page' AND changed_at_ms < $1
            ORDER BY changed_at_ms, number LIMIT {ROWS}"
        );
        let binds = [Bind::from(before.waiting_ms)];
        self.read(async |transaction| transaction.rows::<Away>(&sql, &binds).await).await
    }

    /// Writes that letters are put away; with `cold`, that what they hold is in that file and need not be here. Of one that somebody
    /// has given up meanwhile, also for good, it is written that the file has it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn expire(&self, letters: &[Away], cold: Option<&str>, now_ms: i64) -> Result<(), LedgerError> {
        self.write(async |transaction| {
            for letter in letters {
                let sql = "UPDATE letters SET state = 'expired', cold = $1, due_at_ms = NULL, changed_at_ms = $2,
                        version = version + 1
                    WHERE number = $3 AND state IN ('observed', 'parked', 'escalated', 'uncertain')";
                let binds = [Bind::from(cold), now_ms.into(), letter.number.into()];
                let is_expired = transaction.change(sql, &binds).await? > 0;
                let Some(cold) = cold else { continue };
                if !is_expired {
                    let sql = "UPDATE letters SET cold = $1 WHERE number = $2 AND state = 'discarded'";
                    transaction.change(sql, &[cold.into(), letter.number.into()]).await?;
                    continue;
                }
                for sql in [
                    "DELETE FROM payloads WHERE letter = $1",
                    "DELETE FROM edits WHERE letter = $1",
                    "UPDATE letters SET edited_at_ms = NULL WHERE number = $1",
                ] {
                    transaction.change(sql, &[letter.number.into()]).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Returns how large the ledger is, in bytes.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn bytes(&self) -> Result<u64, LedgerError> {
        let sql = match self.database {
            kit::db::Database::Sqlite(_) => {
                "SELECT (page_count - freelist_count) * page_size
                FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
            }
            kit::db::Database::Postgres(_) => {
                "SELECT CAST(SUM(pg_total_relation_size(CAST(name AS regclass))) AS BIGINT)
                FROM (VALUES ('letters'), ('payloads'), ('stacks'), ('plan_letters'), ('audit'), ('edits')) AS tables (name)"
            }
        };
        let row = self.read(async |transaction| transaction.row::<(i64,)>(sql, &[]).await).await?;
        Ok(row.map_or(0, |(bytes,)| u64::try_from(bytes).unwrap_or_default()))
    }
}

/// Deletes the rows of these numbers.
pub(super) async fn delete(
    transaction: &mut Transaction,
    table: &str,
    key: &str,
    numbers: &[i64],
) -> Result<(), sqlx::Error> {
    if numbers.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    transaction.change(&format!("DELETE FROM {table} WHERE {key} IN ({})", listed.join(", ")), &[]).await.map(drop)
}
