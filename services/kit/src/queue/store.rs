//! The handle on all queues of one store: opening, the clock, the deadline.

use std::fmt;
#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::QueueError;
use super::counts::{Operation, done};
use super::engine::{Engine, Transaction};
use crate::db::Database;

/// Deadline of one call: twice the 5 s that SQLite waits for another writer ([`crate::db::open_sqlite`]).
const DEADLINE: Duration = Duration::from_secs(10);

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// All queues of one store. Cheap to clone; every call has a deadline.
///
/// Times are those of the machine over SQLite, which only programs of one machine share, and those of the server over
/// PostgreSQL. A lease is as right as that clock: if it is set forward, leases run out early, and late workers are
/// refused by their epoch; if it is set back, leases and waits last longer by as much.
#[derive(Clone)]
pub struct Queues {
    engine: Engine,
    deadline: Duration,
    clock: Option<Clock>,
    /// Changes when a job was put in through this handle or a clone of it.
    put_in: watch::Sender<()>,
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").field("engine", &self.engine).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Queues {
    /// Opens the queues in a SQLite file, making it and its tables if needed. Several programs may have it open.
    ///
    /// # Errors
    /// [`QueueError::Open`] and [`QueueError::File`]; [`QueueError::Late`] if another program is opening it for ever.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(path: &Path) -> Result<Self, QueueError> {
        let opened = tokio::time::timeout(DEADLINE, super::sqlite::open(path)).await;
        let pool = opened.map_err(|_elapsed| QueueError::Late(DEADLINE))??;
        Ok(Self::over(Database::Sqlite(pool), ""))
    }

    /// Opens the queues in a schema of PostgreSQL (by convention `jobs`), making it and its tables if needed.
    ///
    /// # Errors
    /// [`QueueError::Schema`], [`QueueError::Newer`], [`QueueError::Store`]; [`QueueError::Late`] if another program is
    /// making the tables for ever.
    #[cfg(feature = "postgres")]
    pub async fn postgres(pool: sqlx::PgPool, schema: &str) -> Result<Self, QueueError> {
        let migrated = tokio::time::timeout(DEADLINE, super::postgres::migrate(&pool, schema)).await;
        migrated.map_err(|_elapsed| QueueError::Late(DEADLINE))??;
        Ok(Self::over(Database::Postgres(pool), schema))
    }

    /// Opens the queues in a SQLite file that a program of this version has made: makes and changes nothing but jobs. For
    /// programs that watch over another's queues.
    ///
    /// # Errors
    /// [`QueueError::Missing`], [`QueueError::Older`], [`QueueError::Open`] and [`QueueError::File`]; [`QueueError::Late`].
    #[cfg(feature = "sqlite")]
    pub async fn existing_sqlite(path: &Path) -> Result<Self, QueueError> {
        let opened = tokio::time::timeout(DEADLINE, super::sqlite::open_existing(path)).await;
        let pool = opened.map_err(|_elapsed| QueueError::Late(DEADLINE))??;
        Ok(Self::over(Database::Sqlite(pool), ""))
    }

    /// As [`Self::existing_sqlite`], in a schema of PostgreSQL.
    ///
    /// # Errors
    /// [`QueueError::Missing`], [`QueueError::Older`], [`QueueError::Newer`], [`QueueError::Schema`] and
    /// [`QueueError::Store`]; [`QueueError::Late`].
    #[cfg(feature = "postgres")]
    pub async fn existing_postgres(pool: sqlx::PgPool, schema: &str) -> Result<Self, QueueError> {
        let found = tokio::time::timeout(DEADLINE, super::postgres::find(&pool, schema)).await;
        found.map_err(|_elapsed| QueueError::Late(DEADLINE))??;
        Ok(Self::over(Database::Postgres(pool), schema))
    }

    fn over(database: Database, schema: &str) -> Self {
        Self {
            engine: Engine { database, schema: schema.into() },
            deadline: DEADLINE,
            clock: None,
            put_in: watch::Sender::new(()),
        }
    }

    /// Gives every call this deadline instead of 10 s.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Takes the time from `clock`: for tests and simulations.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Returns the time by the given clock, or by this machine's.
    pub fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or_else(Timestamp::now, |clock| clock())
    }

    /// Closes every connection, so that SQLite folds its log into the file.
    pub async fn close(&self) {
        self.engine.database.close().await;
    }

    /// Writes in one transaction, under the deadline: everything lasts if `work` succeeds, and else nothing.
    pub(super) async fn write<T>(
        &self,
        operation: Operation,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let written = async {
            let mut transaction = self.engine.begin(|| self.now_ms()).await?;
            match work(&mut transaction).await {
                Ok(done) => transaction.commit().await.map(|()| done).map_err(QueueError::from),
                Err(error) => {
                    // In order: a transaction that is only dropped costs its connection.
                    let _undone_either_way = transaction.rollback().await;
                    Err(error)
                }
            }
        };
        self.within(operation, written).await
    }

    /// Reads in one transaction, under the deadline; nobody is kept waiting.
    pub(super) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let read = async {
            let mut transaction = self.engine.begin_reading(|| self.now_ms()).await?;
            let found = work(&mut transaction).await;
            let _changed_nothing = transaction.rollback().await;
            found
        };
        self.within(Operation::Read, read).await
    }

    /// Cut off before its commit `work` has changed nothing: a transaction that is dropped is rolled back.
    async fn within<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        let ended = tokio::time::timeout(self.deadline, work).await.unwrap_or(Err(QueueError::Late(self.deadline)));
        done(operation, ended.is_ok());
        ended
    }

    /// Wakes the workers of this process.
    pub(super) fn tell(&self) {
        self.put_in.send_replace(());
    }

    /// Returns what changes when a job is put in by this process.
    pub(crate) fn put_in(&self) -> watch::Receiver<()> {
        self.put_in.subscribe()
    }

    fn now_ms(&self) -> Option<i64> {
        match &self.engine.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(_) => Some(self.now().as_millisecond()),
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => self.clock.as_ref().map(|clock| clock().as_millisecond()),
        }
    }
}
