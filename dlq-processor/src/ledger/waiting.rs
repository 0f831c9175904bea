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

/// Something that somebody was told of.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Told {
    /// The fingerprint of letters, or another key of whoever tells.
    pub key: String,
    /// The service that it was said to be about; none if a release before this one told of it.
    pub service: Option<String>,
    /// The word for how urgent it was said to be; none as well.
    pub severity: Option<String>,
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

    /// Returns whether a letter with this fingerprint waits for somebody, or is a canary of which it is not known yet whether it will
    /// again.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn is_waiting(&self, fingerprint: &str) -> Result<bool, LedgerError> {
        let sql = format!(
            "SELECT number FROM letters WHERE fingerprint = $1 AND {WAITS}
            UNION ALL SELECT letters.number FROM canaries JOIN letters ON letters.id = canaries.canary
                WHERE canaries.fingerprint = $1
                    AND letters.state NOT IN ('resolved', 'recurred', 'withdrawn', 'discarded', 'expired')
            LIMIT 1"
        );
        let found = self.read(async |transaction| transaction.row::<(i64,)>(&sql, &[fingerprint.into()]).await).await?;
        Ok(found.is_some())
    }

    /// Returns what somebody was told of and not yet that it is over.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn told(&self) -> Result<Vec<Told>, LedgerError> {
        let sql = "SELECT fingerprint AS key, service, severity FROM told ORDER BY fingerprint";
        self.read(async |transaction| transaction.rows::<Told>(sql, &[]).await).await
    }

    /// Writes that somebody is about to be told, or was told in another way.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn tell(&self, told: &Told) -> Result<(), LedgerError> {
        let sql = "INSERT INTO told (fingerprint, service, severity) VALUES ($1, $2, $3)
            ON CONFLICT (fingerprint) DO UPDATE SET service = excluded.service, severity = excluded.severity";
        let binds = [told.key.as_str().into(), told.service.as_deref().into(), told.severity.as_deref().into()];
        self.write(async |transaction| transaction.change(sql, &binds).await.map(drop)).await
    }

    /// Writes that somebody was told that it is over.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn take_back(&self, key: &str) -> Result<(), LedgerError> {
        let sql = "DELETE FROM told WHERE fingerprint = $1";
        self.write(async |transaction| transaction.change(sql, &[key.into()]).await.map(drop)).await
    }
}
