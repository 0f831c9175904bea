//! Which letters are not yet in the lists of their source as they are now. The ledger is the truth: what was put there is
//! noted here afterwards, so that it is put there again rather than not at all.

use kit::db::Bind;

use super::{Ledger, LedgerError, places};

/// A letter whose state is not in the lists yet.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Unlisted {
    /// Counts letters.
    pub number: i64,
    /// Names it.
    pub id: String,
    /// The queue.
    pub queue: String,
    /// The job's id in it.
    pub job: String,
    /// The job's name.
    pub name: String,
    /// In whose words it failed.
    pub message: String,
    /// When it failed, in milliseconds since the epoch.
    pub failed_at_ms: i64,
    /// Tries of its job that came to an end.
    pub attempts: i64,
    /// What it is.
    pub class: String,
    /// How far it has come.
    pub state: String,
}

impl Ledger {
    /// Returns letters of a source that is to have lists, whose state is in none, those first that changed first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn unlisted(&self, source: &str, most: usize) -> Result<Vec<Unlisted>, LedgerError> {
        // Word for word what its index is of (`tables`).
        let sql = "SELECT number, id, queue, job, name, message, failed_at_ms, attempts, class, state FROM letters
            WHERE source = $1 AND listed <> state AND state IN
                ('parked', 'quarantined', 'escalated', 'uncertain', 'discarded', 'resolved', 'withdrawn', 'expired')
            ORDER BY changed_at_ms, number LIMIT $2";
        let binds = [Bind::from(source), i64::try_from(most).unwrap_or(i64::MAX).into()];
        self.read(async |transaction| transaction.rows::<Unlisted>(sql, &binds).await).await
    }

    /// Notes that letters are in the lists as they were; what has changed since is not.
    ///
    /// # Errors
    /// [`LedgerError`]; then they are put there again.
    pub async fn listed(&self, letters: &[Unlisted]) -> Result<(), LedgerError> {
        if letters.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "UPDATE letters SET listed = written.column2 FROM (VALUES {}) AS written WHERE letters.id = written.column1",
            places(letters.len(), 2)
        );
        let binds: Vec<Bind<'_>> =
            letters.iter().flat_map(|letter| [letter.id.as_str(), letter.state.as_str()]).map(Bind::from).collect();
        self.write(async |transaction| transaction.change(&sql, &binds).await.map(drop)).await
    }
}
