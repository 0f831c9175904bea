//! A transaction on the jobs of one store: where they are and what time it is, as words in braces.

use std::sync::Arc;

use crate::db::{self, Database};

pub(super) use crate::db::{Bind, Row};

/// Where the jobs are.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    pub(super) database: Database,
    /// The schema in PostgreSQL; its name was checked when the store was opened.
    pub(super) schema: Arc<str>,
}

/// A transaction and the time that holds in it. `$1` is always that time, what is bound begins at `$2`.
pub(super) struct Transaction {
    inner: db::Transaction,
    engine: Engine,
    /// Milliseconds since the epoch; none means the server's clock, so that machines need not agree on the time.
    now_ms: Option<i64>,
}

impl Engine {
    /// Begins to write.
    pub(super) async fn begin(&self, now_ms: impl Fn() -> Option<i64>) -> Result<Transaction, sqlx::Error> {
        let inner = self.database.begin().await?;
        // After the lock: waiting for it must not shorten a lease.
        Ok(Transaction { inner, engine: self.clone(), now_ms: now_ms() })
    }

    /// Begins to read; nobody is kept waiting.
    pub(super) async fn begin_reading(&self, now_ms: impl Fn() -> Option<i64>) -> Result<Transaction, sqlx::Error> {
        let inner = self.database.begin_reading().await?;
        Ok(Transaction { inner, engine: self.clone(), now_ms: now_ms() })
    }

    fn in_words_of_its_own(&self, sql: &str) -> String {
        match self.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(_) => sql
                .replace("{jobs}", "jobs")
                .replace("{orders}", "job_orders")
                .replace("{now}", "$1")
                .replace("{list}", "(SELECT value FROM json_each($2))"),
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => sql
                .replace("{jobs}", &format!("\"{}\".jobs", self.schema))
                .replace("{orders}", &format!("\"{}\".job_orders", self.schema))
                .replace("{now}", "coalesce($1, (extract(epoch FROM statement_timestamp()) * 1000)::bigint)")
                .replace("{list}", "(SELECT json_array_elements_text($2::json))"),
        }
    }
}

impl Transaction {
    /// Runs one statement and returns its rows.
    pub(super) async fn rows<T: Row>(&mut self, sql: &str, binds: &[Bind<'_>]) -> Result<Vec<T>, sqlx::Error> {
        self.inner.rows(&self.engine.in_words_of_its_own(sql), &self.with_now(binds)).await
    }

    /// Runs one statement and returns how many rows it changed.
    pub(super) async fn change(&mut self, sql: &str, binds: &[Bind<'_>]) -> Result<u64, sqlx::Error> {
        self.inner.change(&self.engine.in_words_of_its_own(sql), &self.with_now(binds)).await
    }

    /// Makes others wait who lock the same queue, until the end.
    pub(super) async fn lock_queue(&mut self, queue: &str) -> Result<(), sqlx::Error> {
        self.inner.lock(&format!("kit.queue {} {queue}", self.engine.schema)).await
    }

    /// Undoes everything at once.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.inner.rollback().await
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.inner.commit().await
    }

    fn with_now<'a>(&self, binds: &[Bind<'a>]) -> Vec<Bind<'a>> {
        std::iter::once(Bind::Int(self.now_ms)).chain(binds.iter().copied()).collect()
    }
}
