//! Kinds of failures, as people look at them: those that are alike, counted.

use kit::db::{Bind, Transaction};

use super::waiting::WAITS;
use super::{Ledger, LedgerError};

/// Failures that are alike.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow, serde::Serialize)]
pub struct Alike {
    /// What they have in common.
    pub fingerprint: String,
    /// Their queue.
    pub queue: String,
    /// Their jobs' name.
    pub name: String,
    /// What the first of them was.
    pub class: String,
    /// In whose words the first of them failed.
    pub message: String,
    /// When the first was taken in, in milliseconds since the epoch.
    pub first_seen_at_ms: i64,
    /// When the last was.
    pub last_seen_at_ms: i64,
    /// How many there were.
    pub count: i64,
    /// How many of them wait for somebody.
    pub waiting: i64,
}

impl Ledger {
    /// Returns kinds of failures, at most so many, the last seen first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn alike(&self, most: usize) -> Result<Vec<Alike>, LedgerError> {
        let sql = format!(
            "SELECT fingerprint, queue, name, class, message, first_seen_at_ms, last_seen_at_ms, count,
                (SELECT COUNT(*) FROM letters WHERE letters.fingerprint = fingerprints.fingerprint AND {WAITS}) AS waiting
            FROM fingerprints ORDER BY last_seen_at_ms DESC, fingerprint LIMIT $1"
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.read(async |transaction| transaction.rows::<Alike>(&sql, &[most.into()]).await).await
    }
}

/// What failures that are alike have in common.
pub(super) struct Kind<'a> {
    pub(super) fingerprint: &'a str,
    pub(super) queue: &'a str,
    pub(super) name: &'a str,
    pub(super) class: &'a str,
    pub(super) message: &'a str,
}

/// Counts failures of a kind that were seen at a time, and returns whether there had been none like them.
pub(super) async fn count_alike(
    transaction: &mut Transaction,
    Kind { fingerprint, queue, name, class, message }: Kind<'_>,
    count: i64,
    seen_at_ms: i64,
) -> Result<bool, sqlx::Error> {
    let sql = "INSERT INTO fingerprints
            (fingerprint, queue, name, class, message, first_seen_at_ms, last_seen_at_ms, count)
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
        ON CONFLICT (fingerprint) DO UPDATE SET count = fingerprints.count + excluded.count,
            last_seen_at_ms = CASE WHEN excluded.last_seen_at_ms > fingerprints.last_seen_at_ms
                THEN excluded.last_seen_at_ms ELSE fingerprints.last_seen_at_ms END
        RETURNING count";
    let texts = [fingerprint, queue, name, class, message].map(Bind::from);
    let binds: Vec<Bind<'_>> = texts.into_iter().chain([seen_at_ms, count].map(Bind::from)).collect();
    Ok(transaction.row::<(i64,)>(sql, &binds).await? == Some((count,)))
}
