//! Asks the cgroup around a child whether memory just ran out in it: what even those may ask who cannot read the kernel's
//! log.
//!
//! `memory.events` counts the kernel's kills in a group and those below it (`oom_kill`, admin-guide/cgroup-v2.rst), before
//! the victim hears its signal. Where several children share the group, the count does not say whose process it was: then
//! only a kill just before a child's end is taken for its cause.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::run_group;

/// A process with much memory takes this long, and no longer, from the count to its end.
const RECENT: Duration = Duration::from_secs(2);
/// The kernel's kills in `memory.events`.
const OOM_KILL: &str = "oom_kill";

/// Counts the kernel's kills around this process from [`MemoryKills::watch`] on.
#[derive(Debug)]
pub struct MemoryKills {
    counter: Counter,
    seen: Arc<Mutex<Seen>>,
    recent: Duration,
}

/// A number in a flat keyed file of a cgroup.
#[derive(Debug, Clone)]
struct Counter {
    file: PathBuf,
    key: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    count: u64,
    risen: Option<Instant>,
}

impl MemoryKills {
    /// Starts to watch the nearest group that counts; none without cgroup v2 and its memory controller.
    pub fn watch() -> Option<Self> {
        let own = run_group::own()?;
        let events = own.ancestors().map(|group| group.join("memory.events")).find(|events| events.exists())?;
        Self::of(&events, OOM_KILL, RECENT)
    }

    /// Starts to watch one number of a file of which the kernel tells changes; what rose is news for as long as `recent`.
    pub fn of(file: &Path, key: &'static str, recent: Duration) -> Option<Self> {
        let counter = Counter { file: file.to_owned(), key };
        let seen = Arc::new(Mutex::new(Seen { count: counter.read()?, risen: None }));
        let (watched, shared) = (counter.clone(), Arc::clone(&seen));
        let follow = move || {
            watched.follow(&shared);
            // Nobody looks any more: what rises from now on has no time.
            shared.lock().unwrap_or_else(PoisonError::into_inner).count = u64::MAX;
        };
        thread::Builder::new().spawn(follow).ok()?;
        Some(Self { counter, seen, recent })
    }

    /// Returns whether memory ran out just now.
    pub fn was_now(&self) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The kernel tells of a change at most every 10 ms; what it has not told of yet is recent.
        let is_untold = self.counter.read().is_some_and(|count| count > seen.count);
        is_untold || seen.risen.is_some_and(|risen| risen.elapsed() < self.recent)
    }
}

impl Counter {
    fn read(&self) -> Option<u64> {
        number_in(&fs::read_to_string(&self.file).ok()?, self.key)
    }

    /// Waits for changes, of which the kernel tells as of an exceptional condition (POLLPRI, admin-guide/cgroup-v2.rst);
    /// returns when that does not work.
    fn follow(&self, seen: &Mutex<Seen>) {
        let Ok(mut file) = File::open(&self.file) else { return };
        loop {
            match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLPRI)], PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            // Only what is read through this very file is not told of again.
            let mut events = String::new();
            if file.rewind().and_then(|()| file.read_to_string(&mut events)).is_err() {
                return;
            }
            let Some(count) = number_in(&events, self.key) else { return };
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if count > seen.count {
                *seen = Seen { count, risen: Some(Instant::now()) };
            }
        }
    }
}

/// Reads a number out of a flat keyed file.
fn number_in(events: &str, key: &str) -> Option<u64> {
    events.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // As Linux 6.1 writes it.
    #[test]
    fn kills_are_told_from_other_troubles_with_memory() {
        let kills = |events: &str| number_in(events, OOM_KILL);
        assert_eq!(kills("low 0\nhigh 7\nmax 12\noom 4\noom_kill 3\noom_group_kill 9\n"), Some(3));
        assert_eq!(kills("low 0\nhigh 0\n"), None);
        assert_eq!(kills("oom_kill many\n"), None);
    }
}
