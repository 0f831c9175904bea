//! SQLite files: WAL, one writer, a schema version that is raised one step at a time and never lowered.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Executor};

/// How much a commit may lose when the power fails (sqlite.org/pragma.html#pragma_synchronous).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: `synchronous=FULL`.
    Full,
    /// The last commits: `synchronous=NORMAL`. Never a damaged file in WAL mode.
    Normal,
}

/// What to open.
#[derive(Debug, Clone, Copy)]
pub struct SqliteFile<'a> {
    /// The file; made if missing.
    pub path: &'a Path,
    /// What a commit promises.
    pub durability: Durability,
    /// Schema steps: step `n` leads from version `n` to `n + 1` (`PRAGMA user_version`).
    pub migrations: &'a [&'static str],
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A later program wrote it.
    #[error("{file} has schema version {found}, newer than the {known} this program knows; run the newer program")]
    Newer {
        /// The file.
        file: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Not a database, or damaged.
    #[error("{file} is damaged: {finding}")]
    Damaged {
        /// The file.
        file: String,
        /// SQLite's words.
        finding: String,
    },
    /// Anything else, such as a full disk.
    #[error("cannot open {file}")]
    Failed {
        /// The file.
        file: String,
        /// SQLite's error.
        #[source]
        source: sqlx::Error,
    },
}

/// Opens the file with one writing connection, checks it, and brings its schema up to date. A file that already has
/// data is copied to `<file>.v<version>.bak` before its first step.
///
/// # Errors
/// See [`OpenError`].
pub async fn open_sqlite(file: SqliteFile<'_>) -> Result<SqlitePool, OpenError> {
    let shown = file.path.display().to_string();
    let failed = |source| classify(&shown, source);
    let synchronous = match file.durability {
        Durability::Full => SqliteSynchronous::Full,
        Durability::Normal => SqliteSynchronous::Normal,
    };
    let options = SqliteConnectOptions::new()
        .filename(file.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        // What a statement may have to take back (sqlite.org/tempfiles.html section 2.3): as a file below /var/tmp it was
        // half of all writing of an hour's history, and a full /var/tmp failed the statement.
        .pragma("temp_store", "MEMORY");
    // A connection must never be closed and opened again behind our back: it holds the writer's place.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await
        .map_err(failed)?;
    migrate(&pool, &file, &shown).await?;
    Ok(pool)
}

async fn migrate(pool: &SqlitePool, file: &SqliteFile<'_>, shown: &str) -> Result<(), OpenError> {
    let failed = |source| classify(shown, source);
    let finding: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(pool).await.map_err(failed)?;
    if finding != "ok" {
        return Err(OpenError::Damaged { file: shown.to_owned(), finding });
    }
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await.map_err(failed)?;
    let known = i64::try_from(file.migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer { file: shown.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    if found > 0 {
        let backup = format!("{shown}.v{found}.bak");
        let _none_yet = std::fs::remove_file(&backup);
        sqlx::query("VACUUM INTO $1").bind(&backup).execute(pool).await.map_err(failed)?;
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (version, step) in (1i64..).zip(file.migrations.iter()).skip(done) {
        let mut transaction = pool.begin().await.map_err(failed)?;
        transaction.execute(sqlx::raw_sql(*step)).await.map_err(failed)?;
        let stamp = AssertSqlSafe(format!("PRAGMA user_version = {version}"));
        transaction.execute(sqlx::raw_sql(stamp)).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
    }
    Ok(())
}

fn classify(file: &str, source: sqlx::Error) -> OpenError {
    // SQLITE_CORRUPT (11) and SQLITE_NOTADB (26), sqlite.org/rescode.html; extended codes keep them in the low byte.
    let code = source.as_database_error().and_then(|error| error.code().and_then(|code| code.parse::<i64>().ok()));
    match code.map(|code| code & 0xff) {
        Some(11 | 26) => OpenError::Damaged { file: file.to_owned(), finding: source.to_string() },
        _ => OpenError::Failed { file: file.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: [&str; 1] = ["CREATE TABLE a (x INTEGER) STRICT"];
    const V2: [&str; 2] = ["CREATE TABLE a (x INTEGER) STRICT", "ALTER TABLE a ADD COLUMN y INTEGER"];

    fn file<'a>(path: &'a Path, migrations: &'a [&'static str]) -> SqliteFile<'a> {
        SqliteFile { path, durability: Durability::Full, migrations }
    }

    #[tokio::test]
    async fn a_schema_is_raised_after_a_backup_and_never_lowered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let pool = open_sqlite(file(&path, &V1)).await.unwrap();
        sqlx::query("INSERT INTO a VALUES (1)").execute(&pool).await.unwrap();
        pool.close().await;
        let pool = open_sqlite(file(&path, &V2)).await.unwrap();
        let (x, y): (i64, Option<i64>) = sqlx::query_as("SELECT x, y FROM a").fetch_one(&pool).await.unwrap();
        assert_eq!((x, y), (1, None));
        pool.close().await;
        assert!(folder.path().join("x.db.v1.bak").exists());
        let error = open_sqlite(file(&path, &V1)).await.unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("has schema version 2, newer than the 1 this program knows; run the newer program"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_damaged_file_is_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        std::fs::write(&path, vec![7u8; 8192]).unwrap();
        let error = open_sqlite(file(&path, &V1)).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    }
}
