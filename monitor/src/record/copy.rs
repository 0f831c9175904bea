//! Backup and restore: copies that are whole, also while a monitor writes.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

use super::lock::FolderLock;

/// The files of a monitor's data folder that hold what must not be lost.
const FILES: [&str; 2] = ["state.db", "history.db"];

/// Copies both files into `to`, which must not hold them yet. A running monitor is not disturbed.
///
/// # Errors
/// What could not be read or written.
pub async fn backup(data: &Path, to: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut made = Vec::new();
    for name in FILES {
        let (from, copy) = (data.join(name), to.join(name));
        if copy.exists() {
            bail!("{} is there already; choose an empty folder", copy.display());
        }
        let mut connection = open(&from).await?;
        // One statement, one snapshot (sqlite.org/lang_vacuum.html, "VACUUM with an INTO clause").
        let path = copy.display().to_string();
        let done = sqlx::query("VACUUM INTO $1").bind(&path).execute(&mut connection).await;
        done.with_context(|| format!("cannot copy {} to {path}", from.display()))?;
        made.push(copy);
    }
    Ok(made)
}

/// Puts a backup back. What is there is kept aside, and no monitor may be working in the folder.
///
/// # Errors
/// Before anything is touched: a running monitor, a missing or damaged copy. Later: what could not be moved.
pub async fn restore(data: &Path, from: &Path) -> anyhow::Result<PathBuf> {
    let _lock = FolderLock::take(data)?;
    for name in FILES {
        check(&from.join(name)).await?;
    }
    let aside = data.join(format!("before-restore-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ")));
    std::fs::create_dir(&aside).with_context(|| format!("cannot make {}", aside.display()))?;
    for name in FILES {
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{name}{suffix}");
            if data.join(&file).exists() {
                std::fs::rename(data.join(&file), aside.join(&file))
                    .with_context(|| format!("cannot set {file} aside"))?;
            }
        }
        std::fs::copy(from.join(name), data.join(name)).with_context(|| format!("cannot copy {name} back"))?;
    }
    Ok(aside)
}

async fn open(file: &Path) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(false).read_only(true);
    options.connect().await.with_context(|| format!("cannot open {}", file.display()))
}

async fn check(file: &Path) -> anyhow::Result<()> {
    let mut connection = open(file).await?;
    let finding: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(&mut connection)
        .await
        .with_context(|| format!("cannot check {}", file.display()))?;
    if finding != "ok" {
        bail!("{} is damaged: {finding}", file.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{StateBatch, Stores};
    use super::*;

    async fn remember(data: &Path, value: &str) {
        let stores = Stores::open(data).await.unwrap();
        let batch = StateBatch {
            documents: [(("check", "a/b".to_owned()), Some(value.to_owned()))].into(),
            transitions: Vec::new(),
        };
        stores.state.store().save(&batch).await.unwrap();
    }

    #[tokio::test]
    async fn a_backup_of_a_running_monitor_comes_back_and_what_was_there_is_kept() {
        let (data, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lock = FolderLock::take(data.path()).unwrap();
        remember(data.path(), "old").await;
        backup(data.path(), to.path()).await.unwrap();
        assert!(backup(data.path(), to.path()).await.unwrap_err().to_string().contains("is there already"));
        remember(data.path(), "new").await;
        let refused = restore(data.path(), to.path()).await.unwrap_err().to_string();
        assert!(refused.starts_with("another monitor"), "{refused}");
        drop(lock);
        let aside = restore(data.path(), to.path()).await.unwrap();
        let stores = Stores::open(data.path()).await.unwrap();
        assert_eq!(stores.state.store().documents("check").await.unwrap()["a/b"], "old");
        assert!(aside.join("state.db").exists());
    }

    #[tokio::test]
    async fn a_damaged_backup_changes_nothing() {
        let (data, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        remember(data.path(), "mine").await;
        for name in FILES {
            std::fs::write(from.path().join(name), vec![9u8; 4096]).unwrap();
        }
        assert!(restore(data.path(), from.path()).await.is_err());
        let stores = Stores::open(data.path()).await.unwrap();
        assert_eq!(stores.state.store().documents("check").await.unwrap()["a/b"], "mine");
    }
}
