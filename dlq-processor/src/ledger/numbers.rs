//! How many letters there are, and how old the oldest is.

use super::{Ledger, LedgerError};

/// Letters of one state and class.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StateCount {
    /// Their state.
    pub state: String,
    /// Their class.
    pub class: String,
    /// How many.
    pub letters: u64,
    /// When the oldest was taken in, in milliseconds since the epoch.
    pub oldest_ms: i64,
}

/// What the ledger holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Numbers(pub Vec<StateCount>);

impl Ledger {
    /// Counts its letters.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn numbers(&self) -> Result<Numbers, LedgerError> {
        let sql =
            "SELECT state, class, COUNT(*), MIN(seen_at_ms) FROM letters GROUP BY state, class ORDER BY state, class";
        let rows =
            self.read(async |transaction| transaction.rows::<(String, String, i64, i64)>(sql, &[]).await).await?;
        let count = |(state, class, letters, oldest_ms)| StateCount {
            state,
            class,
            letters: u64::try_from(letters).unwrap_or_default(),
            oldest_ms,
        };
        Ok(Numbers(rows.into_iter().map(count).collect()))
    }
}
