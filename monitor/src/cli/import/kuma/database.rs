//! The database of an Uptime Kuma, which may be running: a copy is read, so that nothing is left beside the original and
//! nobody is kept waiting.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};

use super::super::super::scratch::Scratch;
use super::tables::{Tables, WANTED};

/// How often a copy is tried while the original changes under it.
const TRIES: usize = 10;
/// Columns that are asked for at once: a function of SQLite takes 127 arguments at most by default
/// (sqlite.org/limits.html, item 6).
const COLUMNS: usize = 100;
/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Reads every table that is wanted.
///
/// # Errors
/// It cannot be copied, or is the database of something else.
pub(super) async fn read(file: &Path) -> Result<Tables, String> {
    let copy = Copy::of(file)?;
    let failed = |error: sqlx::Error| format!("cannot read {}: {error}", file.display());
    let options = SqliteConnectOptions::new().filename(copy.path()).create_if_missing(false).busy_timeout(DEADLINE);
    let mut connection = options.connect().await.map_err(failed)?;
    let mut tables = Tables::default();
    for table in WANTED {
        let columns = columns(&mut connection, table).await.map_err(failed)?;
        if columns.is_empty() && table == "monitor" {
            let what = "this is no database of Uptime Kuma, it has no table \"monitor\"; give its kuma.db";
            return Err(format!("{}: {what}", file.display()));
        }
        for row in rows(&mut connection, table, &columns).await.map_err(failed)? {
            tables.add(table, row);
        }
    }
    Ok(tables)
}

async fn columns(connection: &mut SqliteConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT name FROM pragma_table_info(?) ORDER BY cid").bind(table).fetch_all(connection).await
}

/// Returns each row as a mapping, whichever columns this version has.
async fn rows(connection: &mut SqliteConnection, table: &str, columns: &[String]) -> Result<Vec<Value>, sqlx::Error> {
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for chunk in columns.chunks(COLUMNS) {
        let list: Vec<String> = chunk.iter().map(|column| format!("\"{}\"", column.replace('"', "\"\""))).collect();
        let sql = format!("SELECT json_array({}) FROM \"{table}\" ORDER BY rowid", list.join(", "));
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
        rows.resize_with(found.len(), Map::new);
        for (row, text) in rows.iter_mut().zip(found) {
            let values: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
            row.extend(chunk.iter().cloned().zip(values));
        }
    }
    Ok(rows.into_iter().map(Value::Object).collect())
}

/// A copy with its journals, which is thrown away.
struct Copy(Scratch);

impl Copy {
    /// Copies until the original did not change meanwhile: what a running Kuma writes goes to the log beside it, whose
    /// beginning stays true.
    fn of(file: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot copy {}: {error}", file.display());
        let copy = Self(Scratch::new().map_err(failed)?);
        for _ in 0..TRIES {
            let before = std::fs::metadata(file).map_err(failed)?;
            std::fs::copy(file, copy.path()).map_err(failed)?;
            for journal in ["-wal", "-journal"] {
                copy.journal(file, journal).map_err(failed)?;
            }
            let after = std::fs::metadata(file).map_err(failed)?;
            if stamp(&before) == stamp(&after) {
                return Ok(copy);
            }
        }
        Err(format!("{} changes all the time; stop Uptime Kuma, or give a backup of the file", file.display()))
    }

    fn journal(&self, file: &Path, suffix: &str) -> std::io::Result<()> {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        match std::fs::copy(with(file), with(&self.path())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // One of an earlier try would be of another state.
                match std::fs::remove_file(with(&self.path())) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                }
            }
            copied => copied.map(|_bytes| ()),
        }
    }

    fn path(&self) -> PathBuf {
        self.0.file("kuma.db")
    }
}

fn stamp(metadata: &Metadata) -> (u64, Option<SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}
