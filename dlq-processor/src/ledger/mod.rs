//! The ledger: every dead letter, what was decided about it, and how far that has come. Written before a source is changed.

mod act;
mod alike;
mod bring;
mod canary;
mod capped;
mod capture;
mod choice;
mod details;
mod due;
mod edits;
mod expression;
mod fate;
mod filter;
mod flock;
mod given_up;
mod groups;
mod heard;
mod insert;
mod intent;
mod lease;
mod letter;
mod list;
mod listing;
mod lock;
mod makeup;
mod numbers;
mod outcome;
mod plan;
mod plan_part;
mod plan_state;
mod remains;
mod removal;
mod retention;
mod search;
mod state;
mod tables;
mod told;
mod waiting;
mod whole;

use std::time::Duration;

use kit::db::{Database, Source, TablesError, Transaction};

pub use act::{Act, Acted, Actor, Entry};
pub use alike::Alike;
pub use bring::Bringing;
pub use capped::InVain;
pub use capture::{Captured, InOrder, Recurred, Ruling};
pub use details::Details;
pub use due::{Due, DuePage, Held, Lane, Place};
pub use edits::{Edit, Edited};
pub use expression::Expression;
pub use fate::Fate;
pub use filter::{Filter, InData};
pub use flock::{Flock, FlockPlace};
pub use groups::{Group, Groups};
pub use intent::Intended;
pub(crate) use intent::given_ms;
pub use lease::{Holder, LEASE};
pub use letter::{LetterId, Past};
pub use list::Listed;
pub use listing::Unlisted;
pub use lock::Lock;
pub use makeup::PlanCount;
pub use numbers::{Numbers, StateCount};
pub use outcome::{Outcome, UnderWay};
pub use plan::{Draft, Plan, Progress, Stepped};
pub use plan_part::Part;
pub use plan_state::{PlanState, Step};
pub(crate) use removal::{is_removed, may_be_removed};
pub use retention::{Away, Before};
use search::Searches;
pub use state::LetterState;
pub(crate) use tables::VERSION;
pub use waiting::{Told, Waiting};
pub use whole::{Reading, Whole, WholeEdit};

/// Deadline of one call: twice the 5 s that a database waits for another writer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Rows of one statement, at most: 32,766 values may be bound in SQLite (sqlite.org/limits.html), 65,535 in PostgreSQL.
const ROWS: usize = 200;

/// Why the ledger did not do what it was asked. Nothing was changed then, or all of it, if the answer was only late.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// What the database says.
    #[error("the ledger")]
    Database(#[from] sqlx::Error),
    /// It did not answer in time.
    #[error("the ledger did not answer within {} s", DEADLINE.as_secs())]
    Late,
    /// A regular expression takes too long to look for.
    #[error(
        "message_re takes too long to look for in so many letters; narrow them by queue, class or time (failed_after, \
        failed_before), or look for some of their words with message"
    )]
    TooSlow,
    /// Others look for regular expressions all the time.
    #[error("others look for a message_re, and only few do at once; ask again soon")]
    Crowded,
    /// Somebody else acts now; nothing was changed.
    #[error("another dlq-processor has taken over")]
    Fenced,
}

impl LedgerError {
    /// Whether it did not answer in time.
    pub fn is_late(&self) -> bool {
        matches!(self, Self::Late)
    }

    /// Whether the database will never take what it was given: a value that is too long for an index, say (PostgreSQL, appendix A,
    /// classes 22 and 54).
    pub fn is_of_values(&self) -> bool {
        let code = match self {
            Self::Database(sqlx::Error::Database(error)) => error.code(),
            _ => None,
        };
        code.is_some_and(|code| code.len() == 5 && ["22", "54"].iter().any(|class| code.starts_with(class)))
    }
}

/// The ledger of one daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    database: Database,
    /// Who writes here only as long as he may.
    holder: Option<Holder>,
    searches: Searches,
}

impl Ledger {
    /// Opens it, making its tables or bringing them up to date.
    ///
    /// # Errors
    /// See [`TablesError`].
    pub async fn open(source: &Source) -> Result<Self, TablesError> {
        let database = Database::open(source, &tables::TABLES, 4).await?;
        Ok(Self { database, holder: None, searches: Searches::new() })
    }

    /// Returns one that writes only while `holder` has the lease.
    #[must_use]
    pub fn held_by(&self, holder: Holder) -> Self {
        Self { holder: Some(holder), ..self.clone() }
    }

    /// Folds what was written into the file, and closes it.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Does several things or none of them.
    async fn write<T>(
        &self,
        writing: impl AsyncFnOnce(&mut Transaction) -> Result<T, sqlx::Error>,
    ) -> Result<T, LedgerError> {
        let Some(holder) = &self.holder else { return within(self.database.write(writing)).await };
        let fenced = async |transaction: &mut Transaction| match holder.holds(transaction).await? {
            true => writing(transaction).await.map(Some),
            false => Ok(None),
        };
        within(self.database.write(fenced)).await?.ok_or(LedgerError::Fenced)
    }

    async fn read<T>(
        &self,
        reading: impl AsyncFnOnce(&mut Transaction) -> Result<T, sqlx::Error>,
    ) -> Result<T, LedgerError> {
        within(self.database.read(reading)).await
    }
}

async fn within<T>(asking: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, LedgerError> {
    Ok(tokio::time::timeout(DEADLINE, asking).await.map_err(|_elapsed| LedgerError::Late)??)
}

/// `($1, $2), ($3, $4)`: places for so many rows of so many values.
fn places(rows: usize, values: usize) -> String {
    places_after(0, rows, values)
}

/// The same where so many values go `before`: those that are numbered as they are written cost SQLite least.
fn places_after(before: usize, rows: usize, values: usize) -> String {
    let row = |row: usize| {
        let values: Vec<String> = (1..=values).map(|value| format!("${}", before + row * values + value)).collect();
        format!("({})", values.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}
