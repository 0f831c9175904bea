//! Letters for people: those that a filter chooses, a page at a time, newest first; and one with all that it holds.

use kit::db::Bind;

use super::{Ledger, LedgerError};

/// Which letters. What is not said matters not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this source.
    pub source: Option<String>,
    /// Of this queue.
    pub queue: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// Of this class.
    pub class: Option<String>,
    /// With this fingerprint.
    pub fingerprint: Option<String>,
    /// Taken in before the letter of this number.
    pub before: Option<i64>,
}

/// A letter, without what its job held.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow, serde::Serialize)]
pub struct Listed {
    /// Counts letters as they are taken in.
    pub number: i64,
    /// Names it.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// The queue.
    pub queue: String,
    /// The job's id in it.
    pub job: String,
    /// The job's name.
    pub name: String,
    /// When the job failed, in milliseconds since the epoch.
    pub failed_at_ms: i64,
    /// In whose words it failed.
    pub message: String,
    /// The kind of error.
    pub error_class: Option<String>,
    /// Which others are alike.
    pub fingerprint: String,
    /// What it is.
    pub class: String,
    /// The rule that says so.
    pub rule: Option<String>,
    /// What was decided.
    pub action: String,
    /// Why.
    pub reason: String,
    /// How far it has come.
    pub state: String,
    /// When it was taken in, in milliseconds since the epoch.
    pub seen_at_ms: i64,
    /// When it is redriven at the earliest.
    pub due_at_ms: Option<i64>,
    /// When its state changed.
    pub changed_at_ms: i64,
    /// How often its job was redriven without being asked for, up to now.
    pub redrives: i64,
}

const COLUMNS: &str =
    "number, id, source, queue, job, name, failed_at_ms, message, error_class, fingerprint, class, rule,
    action, reason, state, seen_at_ms, due_at_ms, changed_at_ms, redrives";

impl Ledger {
    /// Returns a page of at most `most` letters.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn letters(&self, filter: &Filter, most: usize) -> Result<Vec<Listed>, LedgerError> {
        let wanted = [
            ("source", &filter.source),
            ("queue", &filter.queue),
            ("state", &filter.state),
            ("class", &filter.class),
            ("fingerprint", &filter.fingerprint),
        ];
        let (mut sql, mut binds) = (format!("SELECT {COLUMNS} FROM letters WHERE number < $1"), Vec::new());
        binds.push(Bind::from(filter.before.unwrap_or(i64::MAX)));
        for (column, value) in wanted {
            if let Some(value) = value {
                binds.push(value.as_str().into());
                sql += &format!(" AND {column} = ${}", binds.len());
            }
        }
        binds.push(i64::try_from(most).unwrap_or(i64::MAX).into());
        sql += &format!(" ORDER BY number DESC LIMIT ${}", binds.len());
        self.read(async |transaction| transaction.rows::<Listed>(&sql, &binds).await).await
    }

    /// Returns one letter.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn letter(&self, id: &str) -> Result<Option<Listed>, LedgerError> {
        let sql = format!("SELECT {COLUMNS} FROM letters WHERE id = $1");
        self.read(async |transaction| transaction.row::<Listed>(&sql, &[id.into()]).await).await
    }

    /// Returns what the job of a letter held, byte for byte; nothing if there is no such letter.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn payload(&self, id: &str) -> Result<Vec<u8>, LedgerError> {
        let sql = "SELECT data FROM payloads WHERE letter = (SELECT number FROM letters WHERE id = $1)";
        let found = self.read(async |transaction| transaction.row::<(Vec<u8>,)>(sql, &[id.into()]).await).await?;
        Ok(found.map(|(data,)| data).unwrap_or_default())
    }
}
