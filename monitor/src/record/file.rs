//! A SQLite file that is opened when it can be: a full or locked disk at the start delays it, it does not stop the daemon.

use std::ops::{Deref, DerefMut};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use kit::db::{CACHE_KIB, DamageCheck, Durability, OpenError, SqliteFile, open_sqlite};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{Sqlite, SqliteConnection};
use tokio::sync::OnceCell;

use super::folder::DAMAGED;
use super::store::StoreError;

/// Deadline of one question about the past.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(5);

/// The file and, once it could be opened, its pool.
#[derive(Debug)]
pub(super) struct LazyFile {
    path: PathBuf,
    durability: Durability,
    check: DamageCheck,
    migrations: &'static [&'static str],
    pool: OnceCell<SqlitePool>,
    readers: OnceCell<SqlitePool>,
    /// Device and inode of the file that was opened.
    identity: OnceCell<(u64, u64)>,
}

impl LazyFile {
    /// Tries to open the file. A damaged one is set aside and begun anew; one that cannot be opened now is tried again
    /// at every use.
    ///
    /// # Errors
    /// Only [`OpenError::Newer`]: going on would hide what a later program wrote.
    pub(super) async fn open(
        path: &Path,
        durability: Durability,
        check: DamageCheck,
        migrations: &'static [&'static str],
    ) -> Result<Self, OpenError> {
        let file = Self {
            path: path.to_owned(),
            durability,
            check,
            migrations,
            pool: OnceCell::new(),
            readers: OnceCell::new(),
            identity: OnceCell::new(),
        };
        match file.try_open().await {
            Ok(pool) => {
                let _only_we_set_it = file.pool.set(pool);
            }
            Err(error @ OpenError::Newer { .. }) => return Err(error),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(error = format!("{error:#}"), "this file cannot be used yet; going on in memory");
            }
        }
        Ok(file)
    }

    /// Returns the pool, opening the file if that did not work before.
    ///
    /// # Errors
    /// Why it still cannot be opened.
    pub(super) async fn pool(&self) -> Result<&SqlitePool, StoreError> {
        let opened = self.pool.get_or_try_init(|| self.try_open()).await;
        opened.map_err(|error| StoreError(format!("{:#}", anyhow::Error::from(error))))
    }

    /// Returns connections for reading: a long question must not hold up the one that writes (in WAL mode it does not,
    /// sqlite.org/wal.html section 2.2).
    ///
    /// # Errors
    /// Why the file cannot be opened.
    pub(super) async fn readers(&self) -> Result<&SqlitePool, StoreError> {
        self.pool().await?;
        let open = || async {
            let options =
                SqliteConnectOptions::new().filename(&self.path).busy_timeout(READ_DEADLINE).pragma("query_only", "ON");
            SqlitePoolOptions::new().max_connections(2).acquire_timeout(READ_DEADLINE).connect_with(options).await
        };
        Ok(self.readers.get_or_try_init(open).await?)
    }

    /// Has the file looked through from end to end when it is opened next: something in it turned out to be damaged. Where
    /// the disk does not even take the note, there will be another error, and another try.
    pub(super) fn distrust(&self) {
        if let Err(error) = std::fs::write(self.note(), "") {
            tracing::warn!(%error, file = %self.path.display(), "it cannot be noted that this file is damaged");
        }
    }

    /// The file that says so.
    fn note(&self) -> PathBuf {
        self.path.with_added_extension("suspect")
    }

    /// A file that was deleted or replaced under us would take every write and keep none.
    fn is_still_there(&self) -> Result<(), StoreError> {
        let found = std::fs::metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        let gone =
            || StoreError(format!("{} was removed or replaced while in use; restart the monitor", self.path.display()));
        let found = found.map_err(|_gone| gone())?;
        // The first look comes right after the file was opened.
        let known = *self.identity.get().unwrap_or(&found);
        let _only_the_first_counts = self.identity.set(found);
        if known == found { Ok(()) } else { Err(gone()) }
    }

    /// Closes every connection, so that nothing is open and the log is folded into the file.
    pub(super) async fn close(&self) {
        for pool in [self.readers.get(), self.pool.get()].into_iter().flatten() {
            pool.close().await;
        }
    }

    /// Begins to write.
    ///
    /// # Errors
    /// When the file cannot be opened, or another program writes and does not end.
    pub(super) async fn begin(&self) -> Result<Write, StoreError> {
        self.pool().await?;
        self.is_still_there()?;
        let mut write = Write { connection: self.pool().await?.acquire().await?, is_whole: false };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *write).await?;
        Ok(write)
    }

    async fn try_open(&self) -> Result<SqlitePool, OpenError> {
        let check = if self.note().exists() { DamageCheck::Always } else { self.check };
        let (durability, migrations) = (self.durability, self.migrations);
        let file = SqliteFile { path: &self.path, durability, check, migrations, cache_kib: CACHE_KIB };
        let pool = match open_sqlite(file).await {
            Err(OpenError::Damaged { file: shown, finding }) => {
                let aside = self.set_aside();
                tracing::error!(file = shown, finding, set_aside = aside, "damaged: set aside, begun anew");
                open_sqlite(file).await
            }
            other => other,
        }?;
        let _there_was_none = std::fs::remove_file(self.note());
        Ok(pool)
    }

    /// Renames the file and its companions, keeping everything for a person to look at.
    fn set_aside(&self) -> String {
        let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let aside = format!("{}{DAMAGED}{stamp}", self.path.display());
        for suffix in ["", "-wal", "-shm"] {
            let from = format!("{}{suffix}", self.path.display());
            let _may_not_exist = std::fs::rename(from, format!("{aside}{suffix}"));
        }
        aside
    }
}

/// One transaction on the writing connection.
///
/// After a full disk or an I/O error nobody knows what is left open on a connection: later commits could look good and
/// land nowhere. So whatever does not end in a commit closes its connection, and the next one begins on a new one.
pub(super) struct Write {
    connection: PoolConnection<Sqlite>,
    is_whole: bool,
}

impl Write {
    /// Makes everything since [`LazyFile::begin`] last.
    ///
    /// # Errors
    /// When nothing of it does.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query("COMMIT").execute(&mut *self).await?;
        self.is_whole = true;
        Ok(())
    }
}

impl Deref for Write {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if !self.is_whole {
            self.connection.close_on_drop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_damaged_file_is_kept_aside_and_a_new_one_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        std::fs::write(&path, vec![7u8; 8192]).unwrap();
        let file = LazyFile::open(&path, Durability::Full, DamageCheck::Always, &["CREATE TABLE a (x INTEGER) STRICT"])
            .await
            .unwrap();
        assert!(file.pool().await.is_ok());
        let kept = std::fs::read_dir(folder.path()).unwrap().filter_map(Result::ok);
        assert!(
            kept.map(|entry| entry.file_name().into_string().unwrap()).any(|name| name.starts_with("x.db.damaged-"))
        );
    }

    #[tokio::test]
    async fn a_file_that_is_deleted_under_us_takes_no_more_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let file = LazyFile::open(&path, Durability::Full, DamageCheck::Always, &["CREATE TABLE a (x INTEGER) STRICT"])
            .await
            .unwrap();
        file.begin().await.unwrap().commit().await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let Err(error) = file.begin().await else { panic!("it is gone") };
        assert!(error.0.ends_with("was removed or replaced while in use; restart the monitor"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_opened_now_is_tried_again_at_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later").join("x.db");
        let file = LazyFile::open(&path, Durability::Full, DamageCheck::Always, &["CREATE TABLE a (x INTEGER) STRICT"])
            .await
            .unwrap();
        assert!(file.pool().await.unwrap_err().0.contains("cannot open"));
        std::fs::create_dir(folder.path().join("later")).unwrap();
        assert!(file.pool().await.is_ok());
    }
}
