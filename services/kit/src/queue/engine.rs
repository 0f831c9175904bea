//! One transaction on either engine. SQL is written once; words in braces stand for where the two differ.

use sqlx::{AssertSqlSafe, FromRow};

#[cfg(feature = "postgres")]
use {sqlx::Postgres, sqlx::postgres::PgPool, std::sync::Arc};
#[cfg(feature = "sqlite")]
use {sqlx::Sqlite, sqlx::sqlite::SqlitePool};

/// Where the tables are.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    #[cfg(feature = "sqlite")]
    Sqlite(SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres { pool: PgPool, schema: Arc<str> },
}

/// A value for `$2` and on; `$1` is always the time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bind<'a> {
    Text(Option<&'a str>),
    Int(Option<i64>),
}

/// A row that either engine can give.
pub(super) trait Row: FromSqlite + FromPostgres + Send + Unpin {}
impl<T: FromSqlite + FromPostgres + Send + Unpin> Row for T {}

#[cfg(feature = "sqlite")]
pub(super) trait FromSqlite: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow> {}
#[cfg(feature = "sqlite")]
impl<T: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow>> FromSqlite for T {}
#[cfg(not(feature = "sqlite"))]
pub(super) trait FromSqlite {}
#[cfg(not(feature = "sqlite"))]
impl<T> FromSqlite for T {}

#[cfg(feature = "postgres")]
pub(super) trait FromPostgres: for<'r> FromRow<'r, sqlx::postgres::PgRow> {}
#[cfg(feature = "postgres")]
impl<T: for<'r> FromRow<'r, sqlx::postgres::PgRow>> FromPostgres for T {}
#[cfg(not(feature = "postgres"))]
pub(super) trait FromPostgres {}
#[cfg(not(feature = "postgres"))]
impl<T> FromPostgres for T {}

/// A transaction and the time that holds in it.
pub(super) struct Transaction {
    inner: Inner,
    /// Milliseconds since the epoch; none means the server's clock, so that machines need not agree on the time.
    now_ms: Option<i64>,
}

enum Inner {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, Postgres>, Arc<str>),
}

/// Binds the time and `binds` in order.
macro_rules! bound {
    ($query:expr, $now_ms:expr, $binds:expr) => {{
        let mut query = $query.bind($now_ms);
        for bind in $binds {
            query = match *bind {
                Bind::Text(text) => query.bind(text),
                Bind::Int(number) => query.bind(number),
            };
        }
        query
    }};
}

impl Engine {
    /// Begins to write. SQLite takes its lock at once: a transaction that read first could not wait for it
    /// (sqlite.org/lang_transaction.html, section 2.2).
    pub(super) async fn begin(&self, now_ms: impl Fn() -> Option<i64>) -> Result<Transaction, sqlx::Error> {
        let inner = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => Inner::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            #[cfg(feature = "postgres")]
            Self::Postgres { pool, schema } => Inner::Postgres(pool.begin().await?, schema.clone()),
        };
        // After the lock: waiting for it must not shorten a lease.
        Ok(Transaction { inner, now_ms: now_ms() })
    }

    /// Begins to read; nobody is kept waiting.
    pub(super) async fn begin_reading(&self, now_ms: impl Fn() -> Option<i64>) -> Result<Transaction, sqlx::Error> {
        let inner = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => Inner::Sqlite(pool.begin_with("BEGIN DEFERRED").await?),
            #[cfg(feature = "postgres")]
            Self::Postgres { pool, schema } => Inner::Postgres(pool.begin().await?, schema.clone()),
        };
        Ok(Transaction { inner, now_ms: now_ms() })
    }
}

impl Transaction {
    /// Runs one statement and returns its rows.
    pub(super) async fn rows<T: Row>(&mut self, sql: &str, binds: &[Bind<'_>]) -> Result<Vec<T>, sqlx::Error> {
        let now_ms = self.now_ms;
        match &mut self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(transaction) => {
                let query = sqlx::query_as(AssertSqlSafe(for_sqlite(sql)));
                bound!(query, now_ms, binds).fetch_all(&mut **transaction).await
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction, schema) => {
                let query = sqlx::query_as(AssertSqlSafe(for_postgres(sql, schema)));
                bound!(query, now_ms, binds).fetch_all(&mut **transaction).await
            }
        }
    }

    /// Runs one statement and returns how many rows it changed.
    pub(super) async fn change(&mut self, sql: &str, binds: &[Bind<'_>]) -> Result<u64, sqlx::Error> {
        let now_ms = self.now_ms;
        match &mut self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(transaction) => {
                let query = sqlx::query(AssertSqlSafe(for_sqlite(sql)));
                Ok(bound!(query, now_ms, binds).execute(&mut **transaction).await?.rows_affected())
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction, schema) => {
                let query = sqlx::query(AssertSqlSafe(for_postgres(sql, schema)));
                Ok(bound!(query, now_ms, binds).execute(&mut **transaction).await?.rows_affected())
            }
        }
    }

    /// Makes others wait who lock the same queue, until the end. SQLite has one writer anyway.
    pub(super) async fn lock_queue(&mut self, queue: &str) -> Result<(), sqlx::Error> {
        match &mut self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(_) => {
                let _one_writer = queue;
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction, schema) => {
                let query = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))");
                query.bind(format!("kit.queue {schema} {queue}")).execute(&mut **transaction).await.map(|_locked| ())
            }
        }
    }

    /// Undoes everything at once. A transaction that is dropped is undone a little later, and until then others pass over
    /// the rows that it holds.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(transaction) => transaction.rollback().await,
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction, _) => transaction.rollback().await,
        }
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(transaction) => transaction.commit().await,
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction, _) => transaction.commit().await,
        }
    }
}

impl<'a> From<&'a str> for Bind<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<Option<&'a str>> for Bind<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Bind<'_> {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Bind<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

#[cfg(feature = "sqlite")]
fn for_sqlite(sql: &str) -> String {
    sql.replace("{jobs}", "jobs")
        .replace("{now}", "$1")
        .replace("{list}", "(SELECT value FROM json_each($2))")
        .replace("{skip_locked}", "")
        .replace("{for_update}", "")
}

/// The schema's name was checked when the store was opened.
#[cfg(feature = "postgres")]
fn for_postgres(sql: &str, schema: &str) -> String {
    sql.replace("{jobs}", &format!("\"{schema}\".jobs"))
        .replace("{now}", "coalesce($1, (extract(epoch FROM statement_timestamp()) * 1000)::bigint)")
        .replace("{list}", "(SELECT json_array_elements_text($2::json))")
        .replace("{skip_locked}", "FOR UPDATE SKIP LOCKED")
        .replace("{for_update}", "FOR UPDATE")
}
