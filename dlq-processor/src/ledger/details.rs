//! What is known of one letter beyond its line in a list, and the other failures of its job.

use kit::db::Bind;

use super::{Ledger, LedgerError, Listed, list};

/// The rest of a letter.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Details {
    /// The code of its error.
    pub error_code: Option<String>,
    /// The status that its error names.
    pub http: Option<i64>,
    /// Its newest stack trace.
    pub stack: Option<String>,
    /// Tries of its job that came to an end.
    pub attempts: i64,
    /// How often its worker was not heard of again.
    pub stalls: i64,
    /// When its job was put in, in milliseconds since the epoch.
    pub put_in_at_ms: Option<i64>,
    /// Whom it wakes.
    pub alarm: String,
    /// Until when it is redriven unasked, in milliseconds since the epoch.
    pub until_ms: Option<i64>,
    /// With which others it is redriven one after another.
    pub order_value: Option<String>,
    /// The plan that dealt with it last.
    pub plan: Option<String>,
}

impl Ledger {
    /// Returns the rest of a letter.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn details(&self, id: &str) -> Result<Option<Details>, LedgerError> {
        let sql = "SELECT error_code, http, attempts, stalls, put_in_at_ms, alarm, until_ms, order_value,
                (SELECT stack FROM stacks WHERE letter = letters.number) AS stack,
                (SELECT plans.id FROM plans WHERE plans.number = letters.plan) AS plan
            FROM letters WHERE id = $1";
        self.read(async |transaction| transaction.row::<Details>(sql, &[id.into()]).await).await
    }

    /// Returns at most so many other failures of a letter's job, the last one first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn others_of_job(&self, letter: &Listed, most: i64) -> Result<Vec<Listed>, LedgerError> {
        let sql = format!(
            "SELECT {} FROM letters WHERE source = $1 AND queue = $2 AND job = $3 AND number <> $4
            ORDER BY number DESC LIMIT $5",
            list::COLUMNS
        );
        let Listed { number, source, queue, job, .. } = letter;
        let binds =
            [Bind::from(source.as_str()), queue.as_str().into(), job.as_str().into(), (*number).into(), most.into()];
        self.read(async |transaction| transaction.rows::<Listed>(&sql, &binds).await).await
    }
}
