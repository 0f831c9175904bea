//! Secrets that stand in another tool's configuration are moved into files of their own.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where they go.
pub(super) struct Secrets<'a> {
    folder: &'a Path,
}

impl<'a> Secrets<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder }
    }

    /// Writes a secret into the file `name`; returns its path. A file that is there already is left as it is, if it says
    /// the same.
    ///
    /// # Errors
    /// One sentence without the secret.
    pub(super) fn keep(&self, name: &str, secret: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(name);
        let failed = |error: std::io::Error| format!("cannot write the secret file {}: {error}", path.display());
        if let Ok(known) = std::fs::read_to_string(&path) {
            let is_same = known.trim() == secret.trim();
            return if is_same {
                Ok(path)
            } else {
                Err(format!("{} holds another secret; move it away", path.display()))
            };
        }
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder).map_err(failed)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        writeln!(file, "{}", secret.trim()).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(path)
    }
}
