//! What a plan is made of: its letters by queue and by how they stand now.

use kit::db::Bind;

use super::{Ledger, LedgerError};

/// Letters of a plan in one queue and one state.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PlanCount {
    /// The queue.
    pub queue: String,
    /// The letters' state.
    pub state: String,
    /// How many.
    pub letters: i64,
}

impl Ledger {
    /// Counts a plan's letters by queue and state: at most so many rows, the most letters first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn plan_counts(&self, plan: i64, most: i64) -> Result<Vec<PlanCount>, LedgerError> {
        let sql = "SELECT letters.queue AS queue, letters.state AS state, COUNT(*) AS letters FROM plan_letters
            JOIN letters ON letters.number = plan_letters.letter
            WHERE plan_letters.plan = $1 GROUP BY letters.queue, letters.state
            ORDER BY COUNT(*) DESC, letters.queue, letters.state LIMIT $2";
        let binds = [Bind::from(plan), most.into()];
        self.read(async |transaction| transaction.rows::<PlanCount>(sql, &binds).await).await
    }
}
