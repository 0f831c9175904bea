//! A transaction in PostgreSQL whose every step has a deadline here, too: a server that hangs, or a network that loses
//! everything, keeps nobody waiting. A connection whose transaction did not end in order is closed, and not used again.

use std::io;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::{Executor, Postgres};

/// How much longer a step is waited for than the server may take for it, so that its own word comes first.
const LATER: Duration = Duration::from_secs(1);

/// A transaction; dropped without [`Self::commit`] it changes nothing.
pub(super) struct PostgresTransaction {
    connection: PoolConnection<Postgres>,
    deadline: Duration,
    has_ended: bool,
}

impl PostgresTransaction {
    /// Begins on one of the pool's connections.
    pub(super) async fn begin(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let connection = pool.acquire().await?;
        // The one deadline that a pool is opened with.
        let deadline = pool.options().get_acquire_timeout() + LATER;
        let mut transaction = Self { connection, deadline, has_ended: false };
        transaction.run(async |connection| connection.execute("BEGIN").await).await?;
        Ok(transaction)
    }

    /// Runs one step.
    pub(super) async fn run<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut PoolConnection<Postgres>) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the server does not answer").into();
        tokio::time::timeout(self.deadline, step(&mut self.connection)).await.unwrap_or_else(|_elapsed| Err(late()))
    }

    /// Makes everything last.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    /// Undoes everything.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, word: &'static str) -> Result<(), sqlx::Error> {
        self.run(async |connection| connection.execute(word).await).await?;
        self.has_ended = true;
        Ok(())
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if !self.has_ended {
            // The pool would wait for an answer, however long that is; closing undoes what was begun.
            self.connection.close_on_drop();
        }
    }
}
