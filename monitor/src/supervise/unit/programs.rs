//! The digests of units' programs, where systemd's files are ours too. A file that has not changed is not read again.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::supervise::digest::digest_of;

/// Reading 100 MB takes some 0.3 s; who takes longer holds up the news of others, and stays unknown.
const READ_PATIENCE: Duration = Duration::from_secs(2);
/// Programs that are remembered; with more of them all are read again.
const REMEMBERED: usize = 1000;

/// Where systemd looks for a program that has no path (systemd.service(5), "Command lines"), in its order.
const SEARCHED: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Device, inode, length and both times of change: who has all of them alike is the same file, unchanged.
type Stamp = (u64, u64, u64, i64, i64, i64);

/// What is known of programs.
#[derive(Debug, Default)]
pub(super) struct Programs(HashMap<String, (Stamp, String)>);

impl Programs {
    /// Returns the digest of what a file holds now; none if it cannot be read in time.
    pub(super) async fn digest(&mut self, path: &str) -> Option<String> {
        let program = path.to_owned();
        let known = self.0.get(path).cloned();
        let read = spawn_blocking(move || {
            let file = found(&program)?;
            let stamp = stamp_of(&file)?;
            match known {
                Some((before, digest)) if before == stamp => Some((stamp, digest)),
                _ => Some((stamp, digest_of(&file).ok()?)),
            }
        });
        let (stamp, digest) = timeout(READ_PATIENCE, read).await.ok()?.ok()??;
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(path.to_owned(), (stamp, digest.clone()));
        Some(digest)
    }
}

/// Returns where a program is that may be told by its bare name.
fn found(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(program.into());
    }
    SEARCHED.iter().map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
}

fn stamp_of(file: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(file).ok()?;
    Some((file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replaced_program_is_another_and_what_is_no_file_is_none() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("program");
        let path = file.to_str().unwrap();
        let mut programs = Programs::default();
        assert_eq!(programs.digest(path).await, None);
        std::fs::write(&file, "one").unwrap();
        let one = programs.digest(path).await.unwrap();
        assert_eq!(programs.digest(path).await.as_ref(), Some(&one));
        std::fs::write(place.path().join("next"), "two").unwrap();
        std::fs::rename(place.path().join("next"), &file).unwrap();
        assert_ne!(programs.digest(path).await.unwrap(), one);
        assert!(programs.digest("sh").await.is_some());
        assert_eq!(programs.digest(place.path().to_str().unwrap()).await, None);
    }
}
