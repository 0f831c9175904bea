//! What a letter holds is removed at once and for good. The letter stays, so that whoever did it is known and nothing takes it in
//! again.

use kit::db::{Bind, Database, Transaction};

use super::act::{earlier, note};
use super::{Acted, Actor, Ledger, LedgerError, within};

/// What the audit calls it.
const DISCARD_HARD: &str = "discard.hard";
/// Why a letter is discarded whose payload was removed.
pub(super) const REMOVED: &str = "removed";
/// What such a letter is, in sentences that refuse something.
pub(super) const IS_REMOVED: &str = "discarded for good, with all that its job held,";

/// States in which nothing is under way.
const FROM: [&str; 10] = [
    "observed",
    "parked",
    "quarantined",
    "escalated",
    "uncertain",
    "discarded",
    "resolved",
    "recurred",
    "withdrawn",
    "expired",
];

/// Returns whether a letter in this state, for this reason, holds nothing any more and never will.
pub(crate) fn is_removed(state: &str, reason: &str) -> bool {
    state == "discarded" && reason == REMOVED
}

/// Returns whether what it holds may be removed.
pub(crate) fn may_be_removed(state: &str, reason: &str) -> bool {
    FROM.contains(&state) && !is_removed(state, reason)
}

impl Ledger {
    /// Gives a letter up at the time `now_ms`, and removes what its job held, its stack, its edits and what its source kept of it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn discard_hard(&self, letter: &str, actor: Actor<'_>, now_ms: i64) -> Result<Acted, LedgerError> {
        let acted = self.write(async |transaction| {
            if let Some(earlier) = earlier(transaction, actor.key).await? {
                return Ok(if earlier.is(DISCARD_HARD, letter) { Acted::Before } else { Acted::KeyTaken });
            }
            let sql = "SELECT number, state, reason FROM letters WHERE id = $1";
            let found = transaction.row::<(i64, String, String)>(sql, &[letter.into()]).await?;
            let Some((number, state, reason)) = found else { return Ok(Acted::Unknown) };
            if is_removed(&state, &reason) {
                return Ok(Acted::Not(IS_REMOVED.to_owned()));
            }
            if !may_be_removed(&state, &reason) {
                return Ok(Acted::Not(state));
            }
            // Only here: it makes whoever deletes much write all of it once more.
            self.overwrite(transaction, true).await?;
            let erased = erase(transaction, number, &state, now_ms).await;
            self.overwrite(transaction, false).await?;
            if !erased? {
                // Somebody was faster between the two.
                return Ok(Acted::Not("changing".to_owned()));
            }
            note(transaction, DISCARD_HARD, letter, actor, now_ms).await?;
            Ok(Acted::Done)
        });
        let acted = acted.await?;
        if acted == Acted::Done {
            self.fold().await;
        }
        Ok(acted)
    }

    /// Has a file overwrite what is deleted from now on, or leave it in free pages until they are needed
    /// (sqlite.org/pragma.html#pragma_secure_delete).
    async fn overwrite(&self, transaction: &mut Transaction, is_on: bool) -> Result<(), sqlx::Error> {
        if matches!(self.database, Database::Sqlite(_)) {
            let sql = if is_on { "PRAGMA secure_delete = ON" } else { "PRAGMA secure_delete = OFF" };
            transaction.rows::<(i64,)>(sql, &[]).await?;
        }
        Ok(())
    }

    /// Folds the log of a file into it: it has pages as they were before. If others read it, that is done later.
    async fn fold(&self) {
        if let Database::Sqlite(pool) = &self.database {
            let folding = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool);
            if let Err(error) = within(async { folding.await.map(drop) }).await {
                tracing::debug!(%error, "the ledger's log still has what was removed");
            }
        }
    }
}

/// Takes from a letter in this state all that it holds, and returns whether it was in that state.
async fn erase(transaction: &mut Transaction, number: i64, state: &str, now_ms: i64) -> Result<bool, sqlx::Error> {
    // The value that it was redriven in the order of stands in its data.
    let sql = "UPDATE letters SET state = 'discarded', reason = $1, due_at_ms = NULL, edited_at_ms = NULL,
            order_value = NULL, changed_at_ms = $2, version = version + 1
        WHERE number = $3 AND state = $4";
    let binds = [Bind::from(REMOVED), now_ms.into(), number.into(), state.into()];
    if transaction.change(sql, &binds).await? == 0 {
        return Ok(false);
    }
    for table in ["payloads", "stacks", "edits"] {
        let sql = format!("DELETE FROM {table} WHERE letter = $1");
        transaction.change(&sql, &[number.into()]).await?;
    }
    Ok(true)
}
