//! The folder that the stores lie in: room is kept for a full disk, and what was set aside as damaged is noticed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::ballast::Ballast;

/// What stands in the name of a file that was set aside.
pub(super) const DAMAGED: &str = ".damaged-";
/// Files of which the names are told, at most.
const MAX_NAMED: usize = 8;

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    ballast: Ballast,
    damaged: Mutex<Vec<String>>,
}

impl Folder {
    /// Makes the ballast, where there is room for it.
    pub(super) fn load(path: &Path) -> Self {
        let folder = Self { path: path.to_owned(), ballast: Ballast::load(path), damaged: Mutex::default() };
        folder.look();
        folder
    }

    /// Gives the ballast up; returns whether there was one.
    pub(super) fn give_up_ballast(&self) -> bool {
        self.ballast.drop_it()
    }

    /// Makes the ballast anew once there is room for it again, and looks for damaged files. Blocks.
    pub(super) fn tend(&self) {
        if self.ballast.renew() {
            tracing::info!("room is kept for a full disk again");
        }
        self.look();
    }

    /// Returns the names of damaged files that were set aside and are still there.
    pub(super) fn damaged(&self) -> Vec<String> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look(&self) {
        // A folder that cannot be read is said by whoever has to write there.
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        // The write-ahead log and the index are parts of the file that they stand beside.
        let is_one = |name: &String| name.contains(DAMAGED) && !name.ends_with("-wal") && !name.ends_with("-shm");
        let mut found: Vec<String> = names.filter(is_one).collect();
        found.sort_unstable();
        found.truncate(MAX_NAMED);
        *self.damaged.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_named_until_somebody_takes_them_away_and_the_ballast_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str| place.path().join(name);
        let folder = Folder::load(place.path());
        assert!(folder.damaged().is_empty());
        for name in ["state.db", "state.db.damaged-20261125T020000Z", "state.db.damaged-20261125T020000Z-wal"] {
            std::fs::write(file(name), "x").unwrap();
        }
        assert!(folder.give_up_ballast());
        folder.tend();
        assert_eq!(folder.damaged(), ["state.db.damaged-20261125T020000Z"]);
        assert!(file("ballast").exists());
        std::fs::remove_file(file("state.db.damaged-20261125T020000Z")).unwrap();
        folder.tend();
        assert!(folder.damaged().is_empty());
    }
}
