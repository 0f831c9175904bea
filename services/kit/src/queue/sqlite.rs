//! The tables in a SQLite file. Times are milliseconds since the epoch; the view `dead_jobs`, which others read, shows
//! them as RFC 3339.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{ConnectOptions as _, Connection as _};

use super::QueueError;
use super::error::check_version;
use crate::db::{CACHE_KIB, DamageCheck, Durability, SqliteFile, classify, open_sqlite};

const MIGRATIONS: [&str; 4] = [
    "
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, queue TEXT NOT NULL, name TEXT NOT NULL, payload TEXT NOT NULL, key TEXT,
    priority INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0, max_attempts INTEGER NOT NULL,
    run_at_ms INTEGER NOT NULL, created_at_ms INTEGER NOT NULL,
    owner TEXT, epoch INTEGER NOT NULL DEFAULT 0, until_ms INTEGER,
    reason TEXT, failed_at_ms INTEGER, first_failed_at_ms INTEGER) STRICT;
CREATE INDEX jobs_due ON jobs (queue, priority DESC, run_at_ms, id) WHERE state = 'waiting';
CREATE INDEX jobs_leases ON jobs (queue, until_ms) WHERE state = 'running';
CREATE INDEX jobs_dead ON jobs (queue, id) WHERE state = 'dead';
CREATE UNIQUE INDEX jobs_keys ON jobs (queue, key) WHERE key IS NOT NULL AND state <> 'dead';
CREATE VIEW dead_jobs AS SELECT id, epoch, queue, name, payload, attempts, max_attempts, reason,
    strftime('%Y-%m-%dT%H:%M:%fZ', failed_at_ms / 1000.0, 'unixepoch') AS failed_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at_ms / 1000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', first_failed_at_ms / 1000.0, 'unixepoch') AS first_failed_at
    FROM jobs WHERE state = 'dead';
",
    "ALTER TABLE jobs ADD COLUMN traceparent TEXT;",
    "
CREATE INDEX jobs_died ON jobs (queue, failed_at_ms, id) WHERE state = 'dead';
CREATE TABLE job_orders (id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;
CREATE INDEX job_orders_age ON job_orders (at_ms);
",
    "ALTER TABLE jobs ADD COLUMN tracestate TEXT;",
];

/// Between two tries to get the lock: opening takes some milliseconds.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// How long another program that holds a lock is waited for, as [`open_sqlite`] does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the file, making it and its folder (only its owner may read it) if needed. One program at a time, so that
/// two that start together do not both make the tables.
pub(super) async fn open(path: &Path) -> Result<SqlitePool, QueueError> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable(folder))?;
    }
    let lock_path = path.with_added_extension("lock");
    let lock = File::create(&lock_path).map_err(unusable(&lock_path))?;
    while let Err(error) = lock.try_lock() {
        match error {
            TryLockError::WouldBlock => tokio::time::sleep(LOCK_RETRY).await,
            TryLockError::Error(source) => return Err(unusable(&lock_path)(source)),
        }
    }
    let file = SqliteFile {
        path,
        durability: Durability::Full,
        check: DamageCheck::Always,
        migrations: &MIGRATIONS,
        cache_kib: CACHE_KIB,
    };
    Ok(open_sqlite(file).await?)
}

/// Opens the file if it has the tables of this program's version: makes nothing and changes nothing.
pub(super) async fn open_existing(path: &Path) -> Result<SqlitePool, QueueError> {
    let place = path.display().to_string();
    if !path.try_exists().map_err(unusable(path))? {
        return Err(QueueError::Missing(place));
    }
    let failed = |source| classify(&place, source);
    // By a look of its own first: what opens files makes them, and brings their tables up to date.
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false).busy_timeout(PATIENCE);
    let mut connection = options.connect().await.map_err(failed)?;
    let found = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await;
    connection.close().await.map_err(failed)?;
    check_version(place.clone(), found.map_err(failed)?, MIGRATIONS.len())?;
    let check = DamageCheck::InDoubt;
    Ok(open_sqlite(SqliteFile {
        path,
        durability: Durability::Full,
        check,
        migrations: &MIGRATIONS,
        cache_kib: CACHE_KIB,
    })
    .await?)
}

fn unusable(path: &Path) -> impl FnOnce(std::io::Error) -> QueueError + use<> {
    let file = path.display().to_string();
    move |source| QueueError::File { file, source }
}
