//! Tables in SQLite or in PostgreSQL, whichever a deployment has. SQL is written once, in what both understand: `$1`,
//! `ON CONFLICT`, `RETURNING`. `{for_update}`, `{for_share}` and `{skip_locked}` in it lock rows where several
//! writers are possible; `{like}` compares with a pattern whatever is small or capital: a server knows that of every script, a
//! file of ASCII. `{no_index}` before a column says that no index of it helps: a file knows no better, a server does.

use sqlx::{AssertSqlSafe, FromRow};

use super::counts;

#[cfg(feature = "postgres")]
use {super::postgres_transaction::PostgresTransaction, sqlx::postgres::PgPool};
#[cfg(feature = "sqlite")]
use {sqlx::Sqlite, sqlx::sqlite::SqlitePool};

/// Where the tables are. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Database {
    /// In a file with one writer.
    #[cfg(feature = "sqlite")]
    Sqlite(SqlitePool),
    /// In a server.
    #[cfg(feature = "postgres")]
    Postgres(PgPool),
}

/// A value for `$1` and on.
#[derive(Debug, Clone, Copy)]
pub enum Bind<'a> {
    /// Text, or nothing.
    Text(Option<&'a str>),
    /// A number, or nothing.
    Int(Option<i64>),
    /// What is no text, or nothing.
    Bytes(Option<&'a [u8]>),
}

/// A row that either database can give: tuples, and what derives `FromRow`.
pub trait Row: FromSqlite + FromPostgres + Send + Unpin {}
impl<T: FromSqlite + FromPostgres + Send + Unpin> Row for T {}

/// What SQLite can give.
#[cfg(feature = "sqlite")]
pub trait FromSqlite: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow> {}
#[cfg(feature = "sqlite")]
impl<T: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow>> FromSqlite for T {}
/// Anything.
#[cfg(not(feature = "sqlite"))]
pub trait FromSqlite {}
#[cfg(not(feature = "sqlite"))]
impl<T> FromSqlite for T {}

/// What PostgreSQL can give.
#[cfg(feature = "postgres")]
pub trait FromPostgres: for<'r> FromRow<'r, sqlx::postgres::PgRow> {}
#[cfg(feature = "postgres")]
impl<T: for<'r> FromRow<'r, sqlx::postgres::PgRow>> FromPostgres for T {}
/// Anything.
#[cfg(not(feature = "postgres"))]
pub trait FromPostgres {}
#[cfg(not(feature = "postgres"))]
impl<T> FromPostgres for T {}

/// A transaction; dropped without [`Transaction::commit`] it changes nothing.
pub struct Transaction(Inner);

enum Inner {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(PostgresTransaction),
}

/// Values of a statement that is kept, read, for the next time, at most. What has more has as many as there are rows: seldom the
/// same number, and each would be kept.
const KEPT: usize = 64;

macro_rules! bound {
    ($query:expr, $binds:expr) => {{
        let mut query = $query.persistent($binds.len() <= KEPT);
        for bind in $binds {
            query = match *bind {
                Bind::Text(text) => query.bind(text),
                Bind::Int(number) => query.bind(number),
                Bind::Bytes(bytes) => query.bind(bytes),
            };
        }
        query
    }};
}

impl Database {
    /// Begins to write. SQLite takes its lock at once: a transaction that read first could not wait for it
    /// (sqlite.org/lang_transaction.html, section 2.2).
    ///
    /// # Errors
    /// When there is no connection in time, or another writer does not end.
    pub async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Ok(Transaction(match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => Inner::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => Inner::Postgres(PostgresTransaction::begin(pool).await?),
        }))
    }

    /// Begins to read; nobody is kept waiting.
    ///
    /// # Errors
    /// When there is no connection in time.
    pub async fn begin_reading(&self) -> Result<Transaction, sqlx::Error> {
        Ok(Transaction(match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => Inner::Sqlite(pool.begin_with("BEGIN DEFERRED").await?),
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => Inner::Postgres(PostgresTransaction::begin(pool).await?),
        }))
    }

    /// Does several things or none of them.
    ///
    /// # Errors
    /// What `writing` says, or the database.
    ///
    /// # Cancel safety
    /// Cut off before its end it changes nothing.
    pub async fn write<T>(
        &self,
        writing: impl AsyncFnOnce(&mut Transaction) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mut transaction = self.begin().await?;
        match writing(&mut transaction).await {
            Ok(done) => {
                transaction.commit().await?;
                Ok(done)
            }
            Err(error) => {
                let _it_changes_nothing = transaction.rollback().await;
                Err(error)
            }
        }
    }

    /// Reads in one transaction, which nobody waits for.
    ///
    /// # Errors
    /// What `reading` says, or the database.
    pub async fn read<T>(
        &self,
        reading: impl AsyncFnOnce(&mut Transaction) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mut transaction = self.begin_reading().await?;
        let found = reading(&mut transaction).await;
        // In order, whatever was found: a transaction that is only dropped costs its connection.
        let _changed_nothing = transaction.rollback().await;
        found
    }

    /// Closes every connection, so that SQLite folds its log into the file.
    pub async fn close(&self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => pool.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Runs one statement, made of what programs wrote and nothing else, and returns its rows.
    ///
    /// # Errors
    /// What the database says.
    pub async fn rows<T: Row>(&mut self, sql: &str, binds: &[Bind<'_>]) -> Result<Vec<T>, sqlx::Error> {
        let found = match &mut self.0 {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(transaction) => {
                let found = bound!(sqlx::query_as(AssertSqlSafe(for_sqlite(sql))), binds).fetch_all(&mut **transaction);
                let found = found.await;
                keep_open(transaction, found.is_err()).await;
                found
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction) => {
                let query = bound!(sqlx::query_as(AssertSqlSafe(for_postgres(sql))), binds);
                transaction.run(async |connection| query.fetch_all(&mut **connection).await).await
            }
        };
        counts::ran(sql, found.is_ok());
        found
    }

    /// Runs one statement as [`Transaction::rows`] does and returns the first row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn row<T: Row>(&mut self, sql: &str, binds: &[Bind<'_>]) -> Result<Option<T>, sqlx::Error> {
        Ok(self.rows(sql, binds).await?.into_iter().next())
    }

    /// Runs one statement as [`Transaction::rows`] does and returns how many rows it changed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn change(&mut self, sql: &str, binds: &[Bind<'_>]) -> Result<u64, sqlx::Error> {
        let changed = match &mut self.0 {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(transaction) => {
                let query = bound!(sqlx::query(AssertSqlSafe(for_sqlite(sql))), binds);
                let done = query.execute(&mut **transaction).await;
                keep_open(transaction, done.is_err()).await;
                done.map(|done| done.rows_affected())
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction) => {
                let query = bound!(sqlx::query(AssertSqlSafe(for_postgres(sql))), binds);
                let done = transaction.run(async |connection| query.execute(&mut **connection).await).await;
                done.map(|done| done.rows_affected())
            }
        };
        counts::ran(sql, changed.is_ok());
        changed
    }

    /// Makes others wait who lock the same name, until the end. SQLite has one writer anyway.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lock(&mut self, name: &str) -> Result<(), sqlx::Error> {
        match &mut self.0 {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(_) => {
                let _one_writer = name;
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction) => {
                let query = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(name);
                transaction.run(async |connection| query.execute(&mut **connection).await).await.map(|_locked| ())
            }
        }
    }

    /// Makes everything last.
    ///
    /// # Errors
    /// What the database says; then nothing lasts.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self.0 {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(mut transaction) => {
                let done = sqlx::raw_sql("COMMIT").execute(&mut *transaction).await;
                keep_open(&mut transaction, true).await;
                transaction.rollback().await?;
                done.map(|_committed| ())
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction) => transaction.commit().await,
        }
    }

    /// Undoes everything at once. A transaction that is dropped is undone a little later, and until then others pass over
    /// the rows that it holds.
    ///
    /// # Errors
    /// What the database says.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        match self.0 {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(transaction) => transaction.rollback().await,
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction) => transaction.rollback().await,
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

impl<'a> From<&'a [u8]> for Bind<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Some(bytes))
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

/// Begins anew, if that is wanted and SQLite has ended the transaction: by itself it does so when the disk is full, say
/// (sqlite.org/lang_transaction.html, section 3). sqlx counts on ending it, and would never begin another one on this
/// connection.
#[cfg(feature = "sqlite")]
async fn keep_open(transaction: &mut sqlx::Transaction<'static, Sqlite>, is_wanted: bool) {
    if is_wanted {
        let _it_is_open = sqlx::raw_sql("BEGIN").execute(&mut **transaction).await;
    }
}

#[cfg(feature = "sqlite")]
fn for_sqlite(sql: &str) -> String {
    let sql = sql.replace("{skip_locked}", "").replace("{for_update}", "").replace("{for_share}", "");
    // A `+` before it keeps a column from its indexes (sqlite.org/optoverview.html, section 7.3).
    unnumbered(&sql.replace("{like}", "LIKE").replace("{no_index}", "+"))
}

/// Writes `$1` as `?` if all come in their order, each once, and else as `?1`. SQLite looks a parameter that has a name or a
/// number up in a list of all, when it reads a statement and when a value is bound (sqlite.org/lang_expr.html#varparam): of
/// 6,000 values that was most of the time that writing them took.
#[cfg(feature = "sqlite")]
fn unnumbered(sql: &str) -> String {
    let (mut written, mut numbers) = (String::with_capacity(sql.len()), Vec::new());
    let mut parts = sql.split('$');
    written.push_str(parts.next().unwrap_or_default());
    let mut plain = written.clone();
    for part in parts {
        let digits = part.find(|char: char| !char.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        let mark = if number.is_empty() { "$" } else { "?" };
        numbers.extend(number.parse::<usize>());
        written.extend([mark, number, rest]);
        plain.extend([mark, rest]);
    }
    let is_in_order = numbers.iter().copied().eq(1..=numbers.len());
    if is_in_order { plain } else { written }
}

#[cfg(feature = "postgres")]
fn for_postgres(sql: &str) -> String {
    // Keys never change, so that whoever adds what refers to a row need not wait for it (manual, section 13.3.2).
    sql.replace("{skip_locked}", "FOR UPDATE SKIP LOCKED")
        .replace("{for_update}", "FOR NO KEY UPDATE")
        .replace("{for_share}", "FOR SHARE")
        .replace("{like}", "ILIKE")
        .replace("{no_index}", "")
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::db::{CACHE_KIB, DamageCheck, Durability, SqliteFile, open_sqlite};

    #[test]
    fn parameters_in_their_order_have_no_numbers_and_others_keep_theirs() {
        for (sql, expected) in [
            ("SELECT 1", "SELECT 1"),
            ("VALUES ($1, $2), ($3, $4)", "VALUES (?, ?), (?, ?)"),
            ("a = $2 AND b = $1", "a = ?2 AND b = ?1"),
            ("a = $1 OR b = $1", "a = ?1 OR b = ?1"),
            ("a -> '$.b' = $1", "a -> '$.b' = ?"),
            ("{for_update}a = $1{skip_locked}", "a = ?"),
        ] {
            assert_eq!(for_sqlite(sql), expected);
        }
    }

    async fn opened(folder: &Path, table: &str) -> Database {
        let (path, migrations) = (folder.join("x.db"), [table]);
        let (durability, check) = (Durability::Normal, DamageCheck::Always);
        let file = SqliteFile { path: &path, durability, check, migrations: &migrations, cache_kib: CACHE_KIB };
        Database::Sqlite(open_sqlite(file).await.expect("a folder of its own"))
    }

    #[tokio::test]
    async fn what_sqlite_undoes_by_itself_keeps_nobody_from_beginning_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = opened(folder.path(), "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
        for ends in [true, false] {
            let mut transaction = database.begin().await.unwrap();
            transaction.change("INSERT INTO t VALUES (1)", &[]).await.unwrap();
            // Ends the transaction, as a full disk does (sqlite.org/lang_conflict.html).
            transaction.change("INSERT OR ROLLBACK INTO t VALUES (1)", &[]).await.unwrap_err();
            if ends {
                transaction.rollback().await.unwrap();
            }
        }
        let mut transaction = database.begin().await.unwrap();
        assert_eq!(transaction.rows::<(i64,)>("SELECT id FROM t", &[]).await.unwrap(), []);
        transaction.change("INSERT INTO t VALUES (2)", &[]).await.unwrap();
        transaction.commit().await.unwrap();
        let mut transaction = database.begin_reading().await.unwrap();
        assert_eq!(transaction.rows::<(i64,)>("SELECT id FROM t", &[]).await.unwrap(), [(2,)]);
    }

    /// What is cut off at any moment: while it begins, writes or ends.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_is_cut_off_keeps_nobody_from_beginning_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = opened(folder.path(), "CREATE TABLE t (id INTEGER PRIMARY KEY, other INTEGER)").await;
        let (mut cut_off, mut done) = (0, 0);
        for round in 0..2000 {
            let write = database.write(async |transaction| {
                let id = transaction.rows::<(i64,)>("INSERT INTO t (other) VALUES (NULL) RETURNING id", &[]).await?;
                transaction.change("UPDATE t SET other = id WHERE id = $1", &[id[0].0.into()]).await
            });
            let patience = async {
                for _ in 0..round % 500 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                written = write => {
                    written.unwrap();
                    done += 1;
                }
                () = patience => cut_off += 1,
            }
        }
        assert!(cut_off > 100, "{cut_off} of 2000 were cut off");
        let mut transaction = database.begin_reading().await.unwrap();
        let sql = "SELECT COUNT(*), COUNT(*) FILTER (WHERE other IS NULL) FROM t";
        let written = transaction.rows::<(i64, i64)>(sql, &[]).await.unwrap()[0];
        // Of what was cut off while it ended nobody knows whether it was written, but nothing is there by half.
        assert!((done..=done + cut_off).contains(&written.0) && written.1 == 0, "{written:?} of {done}, {cut_off}");
    }
}
