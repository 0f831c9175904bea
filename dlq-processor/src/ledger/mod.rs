//! The ledger: every dead letter, what was decided about it, and how far that has come. Written before a source is changed.

mod act;
mod capture;
mod due;
mod letter;
mod list;
mod numbers;
mod outcome;
mod state;
mod tables;
mod waiting;

use std::time::Duration;

use kit::db::{Database, Source, TablesError, Transaction};

pub use act::{Act, Acted, Actor, Entry};
pub use capture::{Captured, InOrder, Recurred, Ruling};
pub use due::{Due, Held, Intended};
pub use letter::{LetterId, Past};
pub use list::{Filter, Listed};
pub use numbers::{Numbers, StateCount};
pub use outcome::{Outcome, UnderWay};
pub use state::LetterState;
pub use waiting::Waiting;

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
}

/// The ledger of one daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    database: Database,
}

impl Ledger {
    /// Opens it, making its tables or bringing them up to date.
    ///
    /// # Errors
    /// See [`TablesError`].
    pub async fn open(source: &Source) -> Result<Self, TablesError> {
        Ok(Self { database: Database::open(source, &tables::TABLES, 4).await? })
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
        within(self.database.write(writing)).await
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
    let row = |row: usize| {
        let values: Vec<String> = (1..=values).map(|value| format!("${}", row * values + value)).collect();
        format!("({})", values.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}
