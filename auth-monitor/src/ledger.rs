//! Which accounts there are that a check made: a file each, written before the account is asked for and removed when it is
//! deleted, so that what kill -9 leaves is known to the next start.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::Credentials;
use crate::folder::{self, Folder};

/// The folder within the daemon's data folder.
const FOLDER: &str = "accounts";
/// A registration that nobody waits for any more may still be carried out within this; platform-services answers within 20 s.
const STILL_UNDER_WAY: Duration = Duration::from_secs(60);

/// All accounts that are known. Cheap to clone.
#[derive(Clone, Default)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    folder: Folder,
    entries: Mutex<BTreeMap<Uuid, Entry>>,
    swept: AtomicU64,
}

struct Entry {
    account: Account,
    in_use: bool,
    /// True if its registration was answered: it is no longer under way.
    is_answered: bool,
}

/// An account that some check made.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    /// The check that made it.
    check: String,
    pub(crate) credentials: Credentials,
    made: Timestamp,
}

/// An account as a file.
#[derive(Serialize, Deserialize)]
struct Written {
    check: String,
    email: String,
    password: String,
    made: Timestamp,
}

/// An account that is in use; when this is dropped and the account is still there, it is left.
pub(crate) struct InUse {
    ledger: Ledger,
    pub(crate) account: Account,
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(entry) = self.ledger.entries().get_mut(&self.account.id) {
            entry.in_use = false;
        }
    }
}

impl Ledger {
    /// Reads what an earlier daemon left in its data folder; from now on accounts are written there.
    ///
    /// # Errors
    /// When there is a folder that cannot be read. A file that cannot be understood is left where it is and logged.
    pub fn open(&self, data: &Path) -> io::Result<()> {
        let folder = data.join(FOLDER);
        self.shared.folder.open(folder.clone());
        let files = match std::fs::read_dir(&folder) {
            Ok(files) => files,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for file in files {
            let file = file?.path();
            match read(&file) {
                Ok(account) => self.keep(account, false),
                Err(error) => tracing::warn!(file = %file.display(), %error, "not an account; the file is left"),
            }
        }
        Ok(())
    }

    /// Writes an account down that a check is about to make.
    ///
    /// # Errors
    /// When it is not on the disk: then it must not be made.
    pub(crate) async fn begin(&self, check: &str, credentials: Credentials) -> io::Result<InUse> {
        let account = Account { id: Uuid::now_v7(), check: check.to_owned(), credentials, made: Timestamp::now() };
        let (file, written) = (self.file(account.id), account.written()?);
        let writing = tokio::task::spawn_blocking(move || folder::write(&file, &written));
        writing.await.map_err(io::Error::other)??;
        self.keep(account.clone(), true);
        Ok(InUse { ledger: self.clone(), account })
    }

    fn keep(&self, account: Account, in_use: bool) {
        self.entries().insert(account.id, Entry { account, in_use, is_answered: false });
    }

    /// Returns accounts that a check made and that are left, oldest first and no more than `most`; they are in use now.
    pub(crate) fn take_left(&self, check: &str, most: usize) -> Vec<InUse> {
        let mut entries = self.entries();
        let left = entries.values_mut().filter(|entry| !entry.in_use && entry.account.check == check);
        let taken = left.take(most).map(|entry| {
            entry.in_use = true;
            InUse { ledger: self.clone(), account: entry.account.clone() }
        });
        taken.collect()
    }

    /// Returns how many accounts of a check are left.
    pub(crate) fn left_of(&self, check: &str) -> usize {
        self.entries().values().filter(|entry| !entry.in_use && entry.account.check == check).count()
    }

    /// Returns how many accounts are left that no check uses.
    pub fn left(&self) -> usize {
        self.entries().values().filter(|entry| !entry.in_use).count()
    }

    /// Returns how many left accounts were deleted later, since the start.
    pub fn swept(&self) -> u64 {
        self.shared.swept.load(Ordering::Relaxed)
    }

    fn file(&self, id: Uuid) -> PathBuf {
        self.shared.folder.file(&format!("{id}.json"))
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Uuid, Entry>> {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InUse {
    /// Notes that the registration was answered, whatever the answer was.
    pub(crate) fn note_answer(&self) {
        if let Some(entry) = self.ledger.entries().get_mut(&self.account.id) {
            entry.is_answered = true;
        }
    }

    /// Returns whether its registration may still be carried out though nobody waits for it any more.
    pub(crate) fn may_be_under_way(&self, now: Timestamp) -> bool {
        let is_answered = self.ledger.entries().get(&self.account.id).is_some_and(|entry| entry.is_answered);
        !is_answered && kit::clock::elapsed(self.account.made, now) <= STILL_UNDER_WAY
    }

    /// Strikes the account out: it is deleted, or was never made.
    pub(crate) async fn strike(&self) {
        let file = self.ledger.file(self.account.id);
        let removing = tokio::task::spawn_blocking(move || std::fs::remove_file(&file));
        match removing.await {
            Ok(Err(error)) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, "a deleted account cannot be struck out; it is looked for again");
                return;
            }
            Ok(_) => {}
            Err(_ending) => return,
        }
        self.ledger.entries().remove(&self.account.id);
    }

    /// Counts the account as one that was left and deleted later.
    pub(crate) fn count_as_swept(&self) {
        self.ledger.shared.swept.fetch_add(1, Ordering::Relaxed);
    }
}

fn read(file: &Path) -> io::Result<Account> {
    let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let id = Uuid::parse_str(name).map_err(io::Error::other)?;
    let written: Written = serde_json::from_str(&kit::config::read_secret_file(file)?).map_err(io::Error::other)?;
    let credentials = Credentials { email: written.email, password: SecretString::from(written.password) };
    Ok(Account { id, check: written.check, credentials, made: written.made })
}

impl Account {
    /// What its file holds.
    fn written(&self) -> io::Result<Vec<u8>> {
        let written = Written {
            check: self.check.clone(),
            email: self.credentials.email.clone(),
            password: self.credentials.password.expose_secret().to_owned(),
            made: self.made,
        };
        Ok(serde_json::to_vec(&written)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn an_account_is_on_the_disk_until_it_is_struck_out_and_the_next_start_knows_it() {
        let data = tempfile::tempdir().unwrap();
        let ledger = Ledger::default();
        ledger.open(data.path()).unwrap();
        let account = ledger.begin("a/b", Credentials::fresh("x")).await.unwrap();
        let gone = ledger.begin("a/b", Credentials::fresh("x")).await.unwrap();
        assert_eq!((ledger.left(), ledger.take_left("a/b", 9).len()), (0, 0), "both are in use");
        gone.strike().await;
        let files: Vec<_> = std::fs::read_dir(data.path().join(FOLDER)).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);

        let next = Ledger::default();
        std::fs::write(data.path().join(FOLDER).join("note.txt"), "?").unwrap();
        next.open(data.path()).unwrap();
        assert_eq!((next.left(), next.left_of("a/c")), (1, 0));
        let left = next.take_left("a/b", 9);
        let (known, found) = (&account.account.credentials, &left[0].account.credentials);
        assert_eq!((&known.email, known.password.expose_secret()), (&found.email, found.password.expose_secret()));
        drop(left);
        assert_eq!(next.left(), 1, "it is left again");
    }

    #[tokio::test]
    async fn what_cannot_be_written_down_is_not_made() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(FOLDER), "in the way").unwrap();
        let ledger = Ledger::default();
        assert!(ledger.open(data.path()).is_err());
        assert!(ledger.begin("a/b", Credentials::fresh("x")).await.is_err());
        assert_eq!(ledger.left(), 0);
    }
}
