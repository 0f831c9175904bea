//! Looks whether the ledger can be opened, without making it or bringing it up to date: a daemon may be at work on it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::chain::Chain;
use kit::db::{Source, open_postgres};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::{Finding, Mark};
use crate::ledger::VERSION;

/// Longest wait for a server.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) async fn look(ledger: &Source) -> Finding {
    let looked = match ledger {
        Source::Sqlite(path) if path.exists() => look_into(path).await,
        Source::Sqlite(path) => look_at_place(path),
        Source::Postgres(url) => match open_postgres(url, 1, DEADLINE).await {
            Ok(pool) => {
                pool.close().await;
                Ok("its server answers".to_owned())
            }
            Err(error) => Err(format!("{}; see that the server runs, and what ledger says", Chain(&error))),
        },
    };
    match looked {
        Ok(finding) => Finding::new(Mark::Fine, "ledger", None, &finding),
        Err(finding) => Finding::new(Mark::Wrong, "ledger", None, &finding),
    }
}

/// A file that is there is read and nothing else.
async fn look_into(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let cannot = |error: sqlx::Error| {
        format!("{shown} cannot be read: {}; see whose it is, and that the disk is well", Chain(&error))
    };
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(DEADLINE);
    let mut connection = options.connect().await.map_err(cannot)?;
    let found = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await;
    let closed = connection.close().await;
    let version: i64 = found.map_err(cannot)?;
    closed.map_err(cannot)?;
    match usize::try_from(version) {
        Ok(version) if version <= VERSION => Ok(format!("{shown} can be read")),
        _ => Err(format!("{shown} is of version {version}, and this program knows {VERSION}; run the newer program")),
    }
}

/// One that is not there yet must be one that can be made.
fn look_at_place(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let folders =
        path.ancestors().skip(1).map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let folder = folders.into_iter().find(|folder| folder.exists()).map(PathBuf::from).unwrap_or_default();
    let trial = folder.join(format!(".dlq-processor-doctor-{}", std::process::id()));
    let made = File::create_new(&trial).and_then(|_file| std::fs::remove_file(&trial));
    match made {
        Ok(()) => Ok(format!("{shown} is made at the first start")),
        Err(error) => Err(format!("{shown} cannot be made: {error}; see whose {} is", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ledger_of_a_newer_program_is_found_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let place = look(&Source::Sqlite(path.clone())).await;
        assert!(place.mark == Mark::Fine && place.finding.ends_with("is made at the first start"), "{place:?}");
        let mut made = SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
        for (version, mark, expected) in [
            (VERSION, Mark::Fine, "ledger.db can be read"),
            (99, Mark::Wrong, "is of version 99, and this program knows"),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}")))
                .execute(&mut made)
                .await
                .unwrap();
            let found = look(&Source::Sqlite(path.clone())).await;
            assert!(found.mark == mark && found.finding.contains(expected), "{found:?}");
        }
        let below_a_file = look(&Source::Sqlite(path.join("ledger.db"))).await;
        assert!(
            below_a_file.mark == Mark::Wrong && below_a_file.finding.contains("cannot be made"),
            "{below_a_file:?}"
        );
    }
}
