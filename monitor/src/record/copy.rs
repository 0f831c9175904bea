//! Backup and restore: copies that are whole, also while a monitor writes, and are there wholly or not at all.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

use super::lock::FolderLock;
use super::{history, state};

/// The files of a monitor's data folder that hold what must not be lost, and the newest schema that we know of each.
const FILES: [(&str, usize); 2] = [("state.db", state::MIGRATIONS.len()), ("history.db", history::MIGRATIONS.len())];

/// Copies both files into `to`, which must not hold them yet; only their owner may read them. A running monitor is not
/// disturbed.
///
/// # Errors
/// What could not be read or written; copies that were made are removed.
pub async fn backup(data: &Path, to: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(to);
    folder.with_context(|| format!("cannot make {}", to.display()))?;
    let mut made = Vec::new();
    for (name, _) in FILES {
        let copy = to.join(name);
        if copy.exists() {
            bail!("{} is there already; choose an empty folder", copy.display());
        }
        made.push(copy);
    }
    for copy in &made {
        if let Err(error) = copy_out(data, copy).await {
            for copy in &made {
                let _not_made_yet = std::fs::remove_file(copy);
            }
            return Err(error);
        }
    }
    sync_folder(to)?;
    Ok(made)
}

async fn copy_out(data: &Path, copy: &Path) -> anyhow::Result<()> {
    let from = data.join(copy.file_name().unwrap_or_default());
    let cannot = || format!("cannot copy {} to {}", from.display(), copy.display());
    let mut connection = open(&from).await?;
    // SQLite fills an empty file and keeps its mode.
    let file = create_private(copy).with_context(cannot)?;
    // One statement, one snapshot (sqlite.org/lang_vacuum.html, "VACUUM with an INTO clause"); that it reaches the disk
    // is left to us.
    let path = copy.display().to_string();
    sqlx::query("VACUUM INTO $1").bind(&path).execute(&mut connection).await.with_context(cannot)?;
    file.sync_all().with_context(cannot)
}

/// Puts a backup back. What is there is kept aside, and no monitor may be working in the folder.
///
/// # Errors
/// Before anything is touched: a running monitor, a missing or damaged copy, one of a newer monitor, a full disk.
/// Later: what could not be moved.
pub async fn restore(data: &Path, from: &Path) -> anyhow::Result<PathBuf> {
    let _lock = FolderLock::take(data)?;
    for (name, known) in FILES {
        check(&from.join(name), known).await?;
    }
    for (name, _) in FILES {
        let draft = draft(data, name);
        let _left_by_a_crash = std::fs::remove_file(&draft);
        if let Err(error) = copy_in(&from.join(name), &draft) {
            for (name, _) in FILES {
                let _not_made_yet = std::fs::remove_file(self::draft(data, name));
            }
            return Err(error).with_context(|| format!("cannot copy {name} back"));
        }
    }
    sync_folder(data)?;
    let aside = make_aside(data)?;
    // From here on there are only renames, which neither need space nor leave half a file.
    for (name, _) in FILES {
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{name}{suffix}");
            if data.join(&file).exists() {
                std::fs::rename(data.join(&file), aside.join(&file))
                    .with_context(|| format!("cannot set {file} aside"))?;
            }
        }
        let placed = std::fs::rename(draft(data, name), data.join(name));
        placed.with_context(|| format!("cannot put {name} back; what was there is in {}", aside.display()))?;
    }
    sync_folder(&aside)?;
    sync_folder(data)?;
    Ok(aside)
}

fn draft(data: &Path, name: &str) -> PathBuf {
    data.join(format!(".restore-{name}"))
}

fn make_aside(data: &Path) -> anyhow::Result<PathBuf> {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let names = std::iter::once(now.clone()).chain((2..100).map(|count| format!("{now}-{count}")));
    for name in names {
        let aside = data.join(format!("before-restore-{name}"));
        match std::fs::DirBuilder::new().mode(0o700).create(&aside) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", aside.display())),
        }
    }
    bail!("a hundred restores within this second; wait for the next")
}

fn copy_in(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut file = create_private(to)?;
    std::io::copy(&mut File::open(from)?, &mut file)?;
    file.sync_all()
}

fn create_private(file: &Path) -> std::io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(file)
}

/// Makes renames and new names last (fsync(2), NOTES).
fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot write {} to the disk", folder.display()))
}

async fn open(file: &Path) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(false).read_only(true);
    options.connect().await.with_context(|| format!("cannot open {}", file.display()))
}

async fn check(file: &Path, known: usize) -> anyhow::Result<()> {
    let mut connection = open(file).await?;
    let finding: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(&mut connection)
        .await
        .with_context(|| format!("cannot check {}", file.display()))?;
    if finding != "ok" {
        bail!("{} is damaged: {finding}", file.display());
    }
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
    if usize::try_from(version).is_ok_and(|version| version > known) {
        bail!(
            "{} has schema version {version}, newer than the {known} this program knows; run the newer program",
            file.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{StateBatch, Stores};
    use super::*;

    async fn remember(data: &Path, value: &str) {
        let stores = Stores::open(data).await.unwrap();
        let batch = StateBatch {
            documents: [(("check", "a/b".to_owned()), Some(value.to_owned()))].into(),
            ..StateBatch::default()
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
        for (name, _) in FILES {
            std::fs::write(from.path().join(name), vec![9u8; 4096]).unwrap();
        }
        assert!(restore(data.path(), from.path()).await.is_err());
        let stores = Stores::open(data.path()).await.unwrap();
        assert_eq!(stores.state.store().documents("check").await.unwrap()["a/b"], "mine");
    }

    fn mode(file: &Path) -> u32 {
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_the_owner_may_read_a_backup_and_what_comes_of_it() {
        let (data, parent) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        remember(data.path(), "mine").await;
        let to = parent.path().join("new");
        backup(data.path(), &to).await.unwrap();
        assert_eq!((mode(&to), mode(&to.join("state.db")), mode(&to.join("history.db"))), (0o700, 0o600, 0o600));
        let first = restore(data.path(), &to).await.unwrap();
        let second = restore(data.path(), &to).await.unwrap();
        assert_ne!(first, second);
        assert_eq!((mode(&first), mode(&data.path().join("state.db"))), (0o700, 0o600));
        let names = std::fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with(".restore")));
    }

    #[tokio::test]
    async fn a_backup_of_a_newer_monitor_changes_nothing() {
        let (data, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        remember(data.path(), "mine").await;
        backup(data.path(), to.path()).await.unwrap();
        let options = SqliteConnectOptions::new().filename(to.path().join("history.db"));
        let mut newer = options.connect().await.unwrap();
        sqlx::query("PRAGMA user_version = 99").execute(&mut newer).await.unwrap();
        drop(newer);
        let error = restore(data.path(), to.path()).await.unwrap_err().to_string();
        assert!(error.contains("history.db has schema version 99, newer than the"), "{error}");
        let stores = Stores::open(data.path()).await.unwrap();
        assert_eq!(stores.state.store().documents("check").await.unwrap()["a/b"], "mine");
    }

    #[tokio::test]
    async fn what_a_crashed_restore_left_is_no_hindrance() {
        let (data, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        remember(data.path(), "old").await;
        backup(data.path(), to.path()).await.unwrap();
        remember(data.path(), "new").await;
        std::fs::write(draft(data.path(), "state.db"), "half").unwrap();
        restore(data.path(), to.path()).await.unwrap();
        let stores = Stores::open(data.path()).await.unwrap();
        assert_eq!(stores.state.store().documents("check").await.unwrap()["a/b"], "old");
    }

    #[tokio::test]
    async fn a_backup_that_fails_leaves_no_half_copy() {
        let (data, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, _) in FILES {
            std::fs::write(data.path().join(name), "not a database").unwrap();
        }
        assert!(backup(data.path(), to.path()).await.is_err());
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
    }
}
