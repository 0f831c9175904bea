//! A folder for a moment, readable by its owner only: copies may hold secrets.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Goes with what is in it.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it.
    ///
    /// # Errors
    /// There is no place for it.
    pub(super) fn new() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("monitor-{}", uuid::Uuid::now_v7()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    /// Returns the folder itself.
    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// Returns where a file of this name is.
    pub(super) fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left_to_the_system = std::fs::remove_dir_all(&self.0);
    }
}
