//! When each key that signs was first seen, kept over restarts: whether keys follow one another cannot be seen at once.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use crate::folder::{self, Folder};

/// The folder within the daemon's data folder.
const FOLDER: &str = "keys";
/// Keys of one check that are remembered, at most: those that are there, and no others.
const MOST: usize = 100;

/// What is known of keys, by the check that reads them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sightings {
    folder: Folder,
}

/// By key: when it was first seen, in seconds since the epoch.
type Seen = BTreeMap<String, i64>;

impl Sightings {
    /// From now on what is seen is kept in this data folder.
    pub(crate) fn open(&self, data: &Path) {
        self.folder.open(data.join(FOLDER));
    }

    /// Notes the keys that are there, and returns when the newest of them was first seen.
    ///
    /// # Errors
    /// It cannot be kept.
    pub(crate) async fn note(&self, check: &str, keys: &[String], now: Timestamp) -> io::Result<Timestamp> {
        let (file, keys) = (self.folder.file_of(check), keys.to_vec());
        let noted = tokio::task::spawn_blocking(move || note(&file, &keys, now.as_second())).await;
        let newest = noted.map_err(io::Error::other)??;
        Ok(Timestamp::from_second(newest).unwrap_or(now))
    }
}

fn note(file: &Path, keys: &[String], now_secs: i64) -> io::Result<i64> {
    let before = read(file);
    let seen = merged(&before, keys, now_secs);
    if seen != before {
        folder::write(file, &serde_json::to_vec(&seen)?)?;
    }
    Ok(seen.values().copied().max().unwrap_or(now_secs))
}

/// Returns the keys that are there, each with when it was first seen.
fn merged(before: &Seen, keys: &[String], now_secs: i64) -> Seen {
    let first = |key: &String| before.get(key).copied().unwrap_or(now_secs).min(now_secs);
    keys.iter().take(MOST).map(|key| (key.clone(), first(key))).collect()
}

/// What cannot be read was never seen: then a key counts as new once more.
fn read(file: &Path) -> Seen {
    std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_old_as_its_first_sighting_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys/platform.keys");
        let keys = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(note(&file, &keys("a"), 100).unwrap(), 100);
        assert_eq!(note(&file, &keys("a"), 200).unwrap(), 100);
        assert_eq!(note(&file, &keys("a b"), 300).unwrap(), 300);
        assert_eq!(note(&file, &keys("a b"), 400).unwrap(), 300);
        assert_eq!(note(&file, &keys("b"), 500).unwrap(), 300, "an old one that goes is no news");
        assert_eq!(note(&file, &keys("a"), 50).unwrap(), 50, "the clock was set back");
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(note(&file, &keys("a"), 600).unwrap(), 600);
    }
}
