//! SQLite files: WAL, one writer, a schema version that is raised one step at a time and never lowered.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor};
use tokio::time::Instant;

/// How much a commit may lose when the power fails (sqlite.org/pragma.html#pragma_synchronous).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: `synchronous=FULL`.
    Full,
    /// The last commits: `synchronous=NORMAL`. Never a damaged file in WAL mode.
    Normal,
}

/// When a file is read from end to end to look for damage (`PRAGMA quick_check`) before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageCheck {
    /// Always.
    Always,
    /// If whoever had it last did not close it, or if it is small. Damage in a large one that was closed shows when that
    /// part of it is read.
    InDoubt,
}

/// Read in about 30 ms if the system has it in memory: 0.5 ms a megabyte (measured with a history of 918 MB).
const SMALL_BYTES: u64 = 64 << 20;

/// How long another program that holds a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same, where what is waited for is a step of the schema, with a copy of the file before it: one of 918 MB takes about
/// 10 s on a slow disk of 100 MB/s.
const STEP_PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries where SQLite itself does not wait: a new file is turned to WAL within a few milliseconds.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// What SQLite itself keeps of a file (sqlite.org/pragma.html#pragma_cache_size), in KiB.
pub const CACHE_KIB: u32 = 2000;

/// Pages that are written to the log before they are folded into the file: four times what SQLite does itself. Large batches
/// write the same pages again and again.
const LOG_PAGES: &str = "4000";

/// What to open.
#[derive(Debug, Clone, Copy)]
pub struct SqliteFile<'a> {
    /// The file; made if missing.
    pub path: &'a Path,
    /// What a commit promises.
    pub durability: Durability,
    /// When to look for damage.
    pub check: DamageCheck,
    /// Schema steps: step `n` leads from version `n` to `n + 1` (`PRAGMA user_version`).
    pub migrations: &'a [&'a str],
    /// Pages of it that are kept in memory, at most, in KiB; [`CACHE_KIB`] for small ones.
    pub cache_kib: u32,
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

/// Opens the file with one writing connection, checks it as [`DamageCheck`] says, and brings its schema up to date. A file that
/// already has data is copied to `<file>.v<version>.bak` before its first step.
///
/// # Errors
/// See [`OpenError`].
pub async fn open_sqlite(file: SqliteFile<'_>) -> Result<SqlitePool, OpenError> {
    let shown = file.path.display().to_string();
    let failed = |source| classify(&shown, source);
    let is_checked = file.check == DamageCheck::Always || is_small(file.path) || was_left_open(file.path);
    let synchronous = match file.durability {
        Durability::Full => SqliteSynchronous::Full,
        Durability::Normal => SqliteSynchronous::Normal,
    };
    let options = SqliteConnectOptions::new()
        .filename(file.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(PATIENCE)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        // What a statement may have to take back (sqlite.org/tempfiles.html section 2.3): as a file below /var/tmp it was
        // half of all writing of an hour's history, and a full /var/tmp failed the statement.
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", format!("-{}", file.cache_kib))
        .pragma("wal_autocheckpoint", LOG_PAGES);
    let pool = connect(options).await.map_err(failed)?;
    if is_checked {
        look_through(&pool, &shown).await?;
    }
    migrate(&pool, &file, &shown).await?;
    Ok(pool)
}

async fn connect(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    // A connection must never be closed and opened again behind our back: it holds the writer's place. But where one was cut off
    // sqlx 0.9 may count on a transaction for ever that SQLite has ended, and would refuse every other (measured: within a few).
    let one = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(2 * PATIENCE)
        .before_acquire(|connection, _| {
            let is_sound = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_sound) })
        });
    let deadline = Instant::now() + PATIENCE;
    loop {
        match one.clone().connect_with(options.clone()).await {
            // Of several that turn a new file to WAL at once, SQLite refuses some without a wait: each has a lock that
            // the others need (sqlite.org/c3ref/busy_handler.html).
            Err(error) if is_locked(&error) && Instant::now() < deadline => tokio::time::sleep(TRY_AGAIN).await,
            connected => return connected,
        }
    }
}

async fn look_through(pool: &SqlitePool, shown: &str) -> Result<(), OpenError> {
    let found = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(pool).await;
    let finding: String = found.map_err(|source| classify(shown, source))?;
    if finding == "ok" { Ok(()) } else { Err(OpenError::Damaged { file: shown.to_owned(), finding }) }
}

fn is_small(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= SMALL_BYTES)
}

/// The last connection to close folds the log into the file and removes it (sqlite.org/wal.html, section 3).
fn was_left_open(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0)
}

async fn migrate(pool: &SqlitePool, file: &SqliteFile<'_>, shown: &str) -> Result<(), OpenError> {
    let failed = |source| classify(shown, source);
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await.map_err(failed)?;
    let known = i64::try_from(file.migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer { file: shown.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    // What a step sorts may be as large as the file: on the disk, not in memory.
    pool.execute("PRAGMA temp_store = FILE").await.map_err(failed)?;
    for (version, step) in (1i64..).zip(file.migrations.iter()) {
        // Looked at again under the lock: another program may have taken the step meanwhile.
        let mut transaction = begin_step(pool).await.map_err(failed)?;
        let now: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await.map_err(failed)?;
        if now >= version {
            transaction.rollback().await.map_err(failed)?;
            continue;
        }
        if now == found && found > 0 {
            copy_whole(file.path, found).await.map_err(failed)?;
        }
        transaction.execute(sqlx::raw_sql(AssertSqlSafe((*step).to_owned()))).await.map_err(failed)?;
        let stamp = AssertSqlSafe(format!("PRAGMA user_version = {version}"));
        transaction.execute(sqlx::raw_sql(stamp)).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
    }
    pool.execute("PRAGMA temp_store = MEMORY").await.map_err(failed)?;
    Ok(())
}

/// Begins to write, and waits longer than usual: another program may be copying the whole file under its lock.
async fn begin_step(pool: &SqlitePool) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, sqlx::Error> {
    let deadline = Instant::now() + STEP_PATIENCE;
    loop {
        match pool.begin_with("BEGIN IMMEDIATE").await {
            Err(error) if is_locked(&error) && Instant::now() < deadline => {}
            begun => return begun,
        }
    }
}

/// Copies what was committed to `<file>.v<version>.bak`. The caller holds the writer's lock, so no other program does.
async fn copy_whole(path: &Path, version: i64) -> Result<(), sqlx::Error> {
    let copy = format!("{}.v{version}.bak", path.display());
    let part = format!("{copy}.part");
    // Half a copy is none, and may be what fills the disk.
    let remove_part = || {
        for suffix in ["", "-journal"] {
            let _may_not_exist = std::fs::remove_file(format!("{part}{suffix}"));
        }
    };
    remove_part();
    let mut connection = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).connect().await?;
    let copied = sqlx::query("VACUUM INTO $1").bind(&part).execute(&mut connection).await;
    connection.close().await?;
    let kept = copied.and_then(|_done| Ok(std::fs::rename(&part, copy)?));
    kept.inspect_err(|_error| remove_part())
}

/// Says what SQLite's error means for the file.
pub(crate) fn classify(file: &str, source: sqlx::Error) -> OpenError {
    // SQLITE_CORRUPT and SQLITE_NOTADB.
    match result_code(&source) {
        Some(11 | 26) => OpenError::Damaged { file: file.to_owned(), finding: source.to_string() },
        _ => OpenError::Failed { file: file.to_owned(), source },
    }
}

/// SQLITE_BUSY and SQLITE_LOCKED.
fn is_locked(error: &sqlx::Error) -> bool {
    matches!(result_code(error), Some(5 | 6))
}

/// SQLite's primary result code: the low byte of the extended one (sqlite.org/rescode.html).
fn result_code(error: &sqlx::Error) -> Option<i64> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i64>().ok().map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write as _};

    use super::*;

    const V1: [&str; 1] = ["CREATE TABLE a (x INTEGER) STRICT"];
    const V2: [&str; 2] = ["CREATE TABLE a (x INTEGER) STRICT", "ALTER TABLE a ADD COLUMN y INTEGER"];

    fn file<'a>(path: &'a Path, migrations: &'a [&'a str]) -> SqliteFile<'a> {
        SqliteFile { path, durability: Durability::Full, check: DamageCheck::Always, migrations, cache_kib: CACHE_KIB }
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

    #[tokio::test(flavor = "multi_thread")]
    async fn several_that_start_at_once_leave_one_backup_of_what_was_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        open_sqlite(file(&path, &V1)).await.unwrap().close().await;
        let opened = futures_util::future::join_all((0..4).map(|_| open_sqlite(file(&path, &V2)))).await;
        for pool in opened {
            pool.unwrap().close().await;
        }
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["x.db", "x.db.v1.bak"]);
        open_sqlite(file(&folder.path().join("x.db.v1.bak"), &V1)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn several_that_make_a_new_file_at_once_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let path = folder.path().join(format!("{round}.db"));
            let opened = futures_util::future::join_all((0..6).map(|_| open_sqlite(file(&path, &V2)))).await;
            for pool in opened {
                pool.unwrap().close().await;
            }
        }
    }

    #[tokio::test]
    async fn a_step_that_fails_leaves_what_was_before_and_one_backup_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        open_sqlite(file(&path, &V1)).await.unwrap().close().await;
        let wrong = ["CREATE TABLE a (x INTEGER) STRICT", "ALTER TABLE missing ADD COLUMN y INTEGER"];
        // What a program left that was killed while it copied.
        std::fs::write(folder.path().join("x.db.v1.bak.part"), "half a copy").unwrap();
        for _ in 0..2 {
            let error = open_sqlite(file(&path, &wrong)).await.unwrap_err();
            assert!(matches!(error, OpenError::Failed { .. }), "{error:?}");
        }
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
        names.sort();
        assert_eq!(names, ["x.db", "x.db.v1.bak"]);
        open_sqlite(file(&path, &V1)).await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_file_is_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        std::fs::write(&path, vec![7u8; 8192]).unwrap();
        let error = open_sqlite(file(&path, &V1)).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    }

    /// Larger than [`SMALL_BYTES`], with damage in its middle; as after a clean end.
    fn large_and_damaged(path: &Path) {
        let page = [7u8; 4096];
        let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(SMALL_BYTES / 2)).unwrap();
        file.write_all(&page).unwrap();
    }

    #[tokio::test]
    async fn a_large_file_that_was_closed_is_opened_without_a_check_and_one_left_open_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let late = SqliteFile { check: DamageCheck::InDoubt, ..file(&path, &V1) };
        let pool = open_sqlite(late).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!(
            "CREATE TABLE b (x BLOB); WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {})
             INSERT INTO b SELECT zeroblob(1 << 20) FROM n;",
            SMALL_BYTES >> 20
        )))
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;
        large_and_damaged(&path);
        let error = open_sqlite(SqliteFile { check: DamageCheck::Always, ..late }).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        let pool = open_sqlite(late).await.unwrap();
        // A connection that is not closed leaves its log.
        sqlx::query("INSERT INTO a VALUES (1)").execute(&pool).await.unwrap();
        let left = folder.path().join("left.db");
        std::fs::copy(&path, &left).unwrap();
        std::fs::copy(folder.path().join("x.db-wal"), folder.path().join("left.db-wal")).unwrap();
        let error = open_sqlite(SqliteFile { path: &left, ..late }).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    }
}
