//! What waits for somebody, as a page shows it: all of it counted, and the newest kinds of failures with their last words.

use super::canary::may_go;
use super::waiting::WAITS;
use super::{Ledger, LedgerError};

/// Letters that wait for somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// How many there are.
    pub letters: i64,
    /// How many of them must be heard of at once.
    pub pages: i64,
    /// How many kinds of failures that is.
    pub kinds: i64,
    /// Since when the first of them waits, in milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// Kinds of failures: those that must be heard of at once, then the others, each the last seen first.
    pub newest: Vec<Group>,
}

/// Letters with one fingerprint that wait for somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Group {
    /// What they have in common.
    pub fingerprint: String,
    /// The queue of the last one.
    pub queue: String,
    /// The name of its job.
    pub name: String,
    /// What it is.
    pub class: String,
    /// In whose words it failed.
    pub message: String,
    /// Names it.
    pub id: String,
    /// How many letters there are.
    pub letters: i64,
    /// How many of them must be heard of at once.
    pub pages: i64,
    /// When the first of them was taken in, in milliseconds since the epoch.
    pub since_ms: i64,
    /// When the last of them was.
    pub last_ms: i64,
    /// Canaries that have ended; none if nobody watches letters that are alike.
    pub tried: Option<i64>,
    /// The letter that goes before the others now.
    pub canary: Option<String>,
    /// When the next one does at the earliest, in milliseconds since the epoch; none if none may go.
    pub next_canary_ms: Option<i64>,
}

impl Ledger {
    /// Counts what waits for somebody, and returns at most so many kinds of failures of it. What failed longer than `max_age_ms`
    /// before it was seen is no canary.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn groups(&self, most: usize, max_age_ms: i64) -> Result<Groups, LedgerError> {
        let count = format!(
            "SELECT COUNT(*), COALESCE(SUM(CASE WHEN alarm = 'page' THEN 1 ELSE 0 END), 0),
                COUNT(DISTINCT fingerprint), MIN(seen_at_ms) FROM letters WHERE {WAITS}"
        );
        let newest = format!(
            "SELECT alike.fingerprint, letters.queue, letters.name, letters.class, message, id, alike.letters,
                alike.pages, alike.since_ms, alike.last_ms, tried, canary,
                CASE WHEN EXISTS (SELECT 1 FROM letters WHERE letters.source = canaries.source
                    AND letters.class = canaries.class AND letters.fingerprint = canaries.fingerprint AND {})
                    THEN next_at_ms END AS next_canary_ms
            FROM (SELECT fingerprint, MAX(number) AS newest, COUNT(*) AS letters,
                    SUM(CASE WHEN alarm = 'page' THEN 1 ELSE 0 END) AS pages,
                    MIN(seen_at_ms) AS since_ms, MAX(seen_at_ms) AS last_ms
                FROM letters WHERE {WAITS} GROUP BY fingerprint) AS alike
            JOIN letters ON letters.number = alike.newest
            LEFT JOIN canaries ON canaries.source = letters.source AND canaries.fingerprint = letters.fingerprint
                AND canaries.class = letters.class
            ORDER BY CASE WHEN alike.pages > 0 THEN 0 ELSE 1 END, alike.newest DESC LIMIT $1",
            may_go("$2")
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.read(async |transaction| {
            let counted = transaction.row::<(i64, i64, i64, Option<i64>)>(&count, &[]).await?;
            let (letters, pages, kinds, since_ms) = counted.unwrap_or_default();
            let newest = transaction.rows::<Group>(&newest, &[most.into(), max_age_ms.into()]).await?;
            Ok(Groups { letters, pages, kinds, since_ms, newest })
        })
        .await
    }
}
