//! One monitor a data folder: a file lock that the kernel lets go when the process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

/// The held lock; dropping it lets the next monitor in.
#[derive(Debug)]
pub struct FolderLock {
    _held: Flock<File>,
}

/// Why the folder is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another monitor works here.
    #[error("another monitor (pid {holder}) already works in {folder}; stop it or choose another data_dir")]
    Held {
        /// The folder.
        folder: String,
        /// Its pid, as it wrote it.
        holder: String,
    },
    /// The folder cannot be used.
    #[error("cannot use the data folder {folder}")]
    Unusable {
        /// The folder.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl FolderLock {
    /// Makes the folder (only its owner may read it) if needed and takes its lock.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let shown = folder.display().to_string();
        let unusable = |source| LockError::Unusable { folder: shown.clone(), source };
        make_private_folder(folder).map_err(unusable)?;
        let path = folder.join("lock");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(unusable)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut held) => {
                held.set_len(0).and_then(|()| held.seek(SeekFrom::Start(0))).map_err(unusable)?;
                write!(held, "{}", std::process::id()).map_err(unusable)?;
                Ok(Self { _held: held })
            }
            Err((mut file, _busy)) => {
                let mut holder = String::new();
                let _unreadable = file.read_to_string(&mut holder);
                Err(LockError::Held { folder: shown, holder: holder.trim().to_owned() })
            }
        }
    }
}

fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_monitor_is_told_who_holds_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path()).unwrap();
        let error = FolderLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("another monitor (pid {})", std::process::id())), "{error}");
        drop(held);
        assert!(FolderLock::take(folder.path()).is_ok());
    }
}
