//! Room that is kept for the moment the disk is full: a file that is given up so that what must not be lost can be written.

use std::fs::{File, OpenOptions};
use std::io::Result;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

/// Size of the file, in bytes: some hundred thousand rows of incidents and deliveries (DESIGN section 8).
const BYTES: u64 = 16 * 1024 * 1024;
/// The file is only made where it leaves at least so much of the disk free, in times its own size.
const LEAVE_FREE: u64 = 4;

/// The file, if there is room for it.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    folder: PathBuf,
}

impl Ballast {
    /// Makes the file in `folder`, unless the disk is too small or too full for it.
    pub(super) fn load(folder: &Path) -> Self {
        let ballast = Self { path: folder.join("ballast"), folder: folder.to_owned() };
        if let Err(error) = ballast.fill() {
            tracing::warn!(%error, "no room is kept for a full disk");
        }
        ballast
    }

    /// Makes the file if it is gone and there is room again; returns whether it did.
    pub(super) fn renew(&self) -> bool {
        !self.path.exists() && self.fill().is_ok()
    }

    fn fill(&self) -> Result<()> {
        if self.path.exists() {
            return Ok(());
        }
        let disk = statvfs(&self.folder)?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free < BYTES * LEAVE_FREE {
            return Err(std::io::Error::other(format!("{free} bytes are free")));
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        let filled = allocate(&file);
        if filled.is_err() {
            std::fs::remove_file(&self.path)?;
        }
        filled
    }

    /// Gives the file up; returns whether there was one.
    pub(super) fn drop_it(&self) -> bool {
        std::fs::remove_file(&self.path).is_ok()
    }
}

fn allocate(file: &File) -> Result<()> {
    let length = i64::try_from(BYTES).unwrap_or(i64::MAX);
    posix_fallocate(file, 0, length)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_room_that_is_given_up_once() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::load(folder.path());
        assert_eq!(std::fs::metadata(folder.path().join("ballast")).unwrap().len(), BYTES);
        assert!(ballast.drop_it());
        assert!(!ballast.drop_it());
        Ballast::load(folder.path());
        assert!(folder.path().join("ballast").exists(), "the next start keeps room again");
    }
}
