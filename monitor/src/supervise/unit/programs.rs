//! The digests of units' programs, where systemd's files are ours too. A file that has not changed is not read again.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::supervise::digest::digest_of;

/// Reading 100 MB takes some 0.3 s; who takes longer would hold up the news of others, and is known by a later look.
const READ_PATIENCE: Duration = Duration::from_secs(2);
/// Programs that are remembered; with more of them all are read again.
const REMEMBERED: usize = 1000;
/// Files that are read at the same time, at most: one on a file system that hangs is never done.
const READ_AT_ONCE: usize = 4;
/// Where systemd looks for a program that has no path (systemd.service(5), "Command lines"), in its order.
const SEARCHED: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Device, inode, length and both times of change: who has all of them alike is the same file, unchanged.
type Stamp = (u64, u64, u64, i64, i64, i64);
type Known = (Stamp, String);

/// What is known of programs, and what is being read.
#[derive(Debug, Default)]
pub(super) struct Programs {
    known: HashMap<String, Known>,
    reading: HashMap<String, JoinHandle<Option<Known>>>,
}

impl Programs {
    /// Returns the digest of what a file holds now; none if it cannot be read, or not in time.
    ///
    /// # Cancel safety
    /// Safe: what is being read goes on, and is forgotten.
    pub(super) async fn digest(&mut self, path: &str) -> Option<String> {
        self.collect().await;
        // What goes on being read was waited for once.
        if self.reading.contains_key(path) || self.reading.len() >= READ_AT_ONCE {
            return None;
        }
        let mut task = self.read(path);
        let Ok(read) = timeout(READ_PATIENCE, &mut task).await else {
            self.reading.insert(path.to_owned(), task);
            return None;
        };
        let known = read.ok()??;
        let digest = known.1.clone();
        self.remember(path.to_owned(), known);
        Some(digest)
    }

    /// Remembers what was read meanwhile: whether that is still what is there, the next look finds out.
    async fn collect(&mut self) {
        let is_done = |(path, task): (&String, &JoinHandle<_>)| task.is_finished().then(|| path.clone());
        let done: Vec<String> = self.reading.iter().filter_map(is_done).collect();
        for path in done {
            let Some(task) = self.reading.remove(&path) else { continue };
            if let Ok(Some(known)) = task.await {
                self.remember(path, known);
            }
        }
    }

    fn remember(&mut self, path: String, known: Known) {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(path, known);
    }

    fn read(&self, path: &str) -> JoinHandle<Option<Known>> {
        let (program, known) = (path.to_owned(), self.known.get(path).cloned());
        spawn_blocking(move || {
            let file = found(&program)?;
            let stamp = stamp_of(&file)?;
            match known {
                Some((before, digest)) if before == stamp => Some((stamp, digest)),
                _ => Some((stamp, digest_of(&file).ok()?)),
            }
        })
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
    use std::fs::{Permissions, rename, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_replaced_program_is_another_and_what_is_no_program_is_none() {
        let place = tempfile::tempdir().unwrap();
        let (file, next) = (place.path().join("program"), place.path().join("next"));
        let path = file.to_str().unwrap();
        let mut programs = Programs::default();
        assert_eq!(programs.digest(path).await, None);
        write(&file, "one").unwrap();
        assert_eq!(programs.digest(path).await, None, "nobody may execute it: it is somebody's file");
        set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        let one = programs.digest(path).await.unwrap();
        assert_eq!(programs.digest(path).await.as_ref(), Some(&one));
        write(&next, "two").unwrap();
        set_permissions(&next, Permissions::from_mode(0o755)).unwrap();
        rename(&next, &file).unwrap();
        assert_ne!(programs.digest(path).await.unwrap(), one);
        assert!(programs.digest("sh").await.is_some());
        assert_eq!(programs.digest(place.path().to_str().unwrap()).await, None);
    }

    #[tokio::test]
    async fn what_is_still_being_read_is_not_waited_for_twice_and_not_read_twice() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let mut programs = Programs::default();
        let stuck = |stamp| {
            spawn_blocking(move || {
                let _until_it_is_let_go = held.recv();
                Some((stamp, "known".to_owned()))
            })
        };
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("stuck");
        write(&file, "late").unwrap();
        set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        let (path, stamp) = (file.to_str().unwrap(), stamp_of(&file).unwrap());
        programs.reading.insert(path.to_owned(), stuck(stamp));
        assert_eq!(programs.digest(path).await, None);
        assert!(programs.digest("sh").await.is_some(), "others are read meanwhile");
        drop(hold);
        while !programs.reading[path].is_finished() {
            tokio::task::yield_now().await;
        }
        assert_eq!(programs.digest(path).await.as_deref(), Some("known"), "it is the same file still");
        assert!(programs.reading.is_empty());
        write(&file, "another").unwrap();
        assert_eq!(
            programs.digest(path).await.map(|digest| digest.len()),
            Some(64),
            "what was read is of another file"
        );
    }
}
