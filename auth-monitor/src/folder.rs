//! Where this daemon keeps what must outlive it.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A folder within the daemon's data folder, which is known once the configuration is. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folder(Arc<OnceLock<PathBuf>>);

impl Folder {
    /// It is there from now on; the data folder of a daemon never changes.
    pub(crate) fn open(&self, path: PathBuf) {
        _ = self.0.set(path);
    }

    /// Returns the file of this name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.get().map(|folder| folder.join(name)).unwrap_or_default()
    }

    /// Returns the file of a check.
    pub(crate) fn file_of(&self, check: &str) -> PathBuf {
        self.file(&check.replace('/', "."))
    }
}

/// Puts a file in its place, and makes the folder if there is none. Blocks.
///
/// # Errors
/// As [`kit::private_file::replace`].
pub(crate) fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    kit::private_file::replace(file, bytes)
}
