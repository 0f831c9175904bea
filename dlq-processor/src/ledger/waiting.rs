//! Letters that wait for somebody, by failures that are alike; and of which of these somebody was told.

use super::{Ledger, LedgerError};

/// Letters with one fingerprint that wait for somebody.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Waiting {
    /// What they have in common.
    pub fingerprint: String,
    /// Their queue.
    pub queue: String,
    /// Their jobs' name.
    pub name: String,
    /// What they are.
    pub class: String,
    /// In whose words one of them failed.
    pub message: String,
    /// One of them.
    pub sample: String,
    /// Another one, if there are two.
    pub another: String,
    /// The span that put the job of one of them in (W3C Trace Context), if any of them says so.
    pub traceparent: Option<String>,
    /// How many.
    pub letters: i64,
    /// Since when the first of them waits, in milliseconds since the epoch.
    pub since_ms: i64,
    /// How many of them must be heard of at once.
    pub pages: i64,
}

/// Letters that somebody must hear of: word for word what their index is of (`tables`).
pub(super) const WAITS: &str = "state IN ('parked', 'quarantined', 'escalated', 'uncertain') AND alarm <> 'none'";

impl Ledger {
    /// Returns what waits for somebody, at most so many kinds of failures, the most letters first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn waiting(&self, most: usize) -> Result<Vec<Waiting>, LedgerError> {
        let sql = format!(
            "SELECT fingerprint, MIN(queue) AS queue, MIN(name) AS name, MIN(class) AS class,
                MIN(message) AS message, MIN(id) AS sample, MAX(id) AS another, MIN(traceparent) AS traceparent,
                COUNT(*) AS letters, MIN(seen_at_ms) AS since_ms, SUM(CASE WHEN alarm = 'page' THEN 1 ELSE 0 END) AS pages
            FROM letters WHERE {WAITS}
            GROUP BY fingerprint ORDER BY letters DESC, fingerprint LIMIT $1"
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.read(async |transaction| transaction.rows::<Waiting>(&sql, &[most.into()]).await).await
    }

    /// Returns whether a letter with this fingerprint waits for somebody.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn is_waiting(&self, fingerprint: &str) -> Result<bool, LedgerError> {
        let sql = format!("SELECT number FROM letters WHERE fingerprint = $1 AND {WAITS} LIMIT 1");
        let found = self.read(async |transaction| transaction.row::<(i64,)>(&sql, &[fingerprint.into()]).await).await?;
        Ok(found.is_some())
    }

    /// Returns the fingerprints of which somebody was told that letters wait.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn told(&self) -> Result<Vec<String>, LedgerError> {
        let sql = "SELECT fingerprint FROM told ORDER BY fingerprint";
        let rows = self.read(async |transaction| transaction.rows::<(String,)>(sql, &[]).await).await?;
        Ok(rows.into_iter().map(|(fingerprint,)| fingerprint).collect())
    }

    /// Writes that somebody is about to be told, or was told that it is over.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn tell(&self, fingerprint: &str, is_open: bool) -> Result<(), LedgerError> {
        let sql = if is_open {
            "INSERT INTO told (fingerprint) VALUES ($1) ON CONFLICT (fingerprint) DO NOTHING"
        } else {
            "DELETE FROM told WHERE fingerprint = $1"
        };
        self.write(async |transaction| transaction.change(sql, &[fingerprint.into()]).await.map(drop)).await
    }
}
