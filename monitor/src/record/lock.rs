//! One monitor a data folder: a file lock that the kernel lets go when the process ends, however it ends.

use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
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
        // The folder itself is locked: that works on a disk that turned read-only, where watching must go on.
        let handle = File::open(folder).map_err(unusable)?;
        let note = folder.join("pid");
        match Flock::lock(handle, FlockArg::LockExclusiveNonblock) {
            Ok(held) => {
                let _for_people_only = std::fs::write(note, std::process::id().to_string());
                Ok(Self { _held: held })
            }
            Err((_, Errno::EWOULDBLOCK)) => {
                let holder = std::fs::read_to_string(note).unwrap_or_default();
                Err(LockError::Held { folder: shown, holder: holder.trim().to_owned() })
            }
            Err((_, errno)) => Err(unusable(errno.into())),
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
