//! The cgroup of one run, where the monitor may make some: whatever descends from a child is in it, and ends with it.
//!
//! It groups and kills, and limits nothing: a controller that is on in a group forbids processes in it (cgroups(7), "no
//! internal processes"), and systemd starts the next monitor in the very group that it delegated.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uuid::Uuid;

/// Where cgroup v2 is mounted: alone, or beside the groups of version 1 (systemd's "unified" and "hybrid").
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// What systemd writes on the group of a unit with `Delegate=yes`: either, of which only root can write the second
/// ("Control Group APIs and Delegation", systemd.io).
const MARKS: [&str; 2] = ["user.delegate", "trusted.delegate"];
/// How the group of a run begins: as no file of the kernel's does, and no unit of systemd's.
const PREFIX: &str = "monitor-run-";
/// How deep a child may have made groups of its own that are removed with it.
const DEPTH: usize = 16;
/// How long the killed may take to leave; the keeper has waited for them already, as long as that is worth it.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The cgroup of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunGroup {
    path: PathBuf,
}

impl RunGroup {
    /// Makes the group of `run`; none where no group was delegated to us.
    pub(crate) fn make(service: &str, run: Uuid) -> Option<Self> {
        let path = delegated()?.join(format!("{PREFIX}{service}-{run}"));
        fs::create_dir(&path).ok()?;
        Some(Self { path })
    }

    /// Returns the group that is on record at `path`; none if no run's group can be there.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        (can_be_of_a_run(path) && is_marked(path.parent()?)).then(|| Self { path: path.to_owned() })
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves this process into it, and with it all that it starts from now on.
    ///
    /// # Errors
    /// When the kernel says no.
    pub(crate) fn enter(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// Ends all that is in it at once, so that nobody can fork away (`cgroup.kill`, Linux 5.14).
    pub(crate) fn kill(&self) {
        if fs::write(self.path.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        for pid in processes(&self.path, DEPTH) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    /// Ends what is in it, waits until that is gone, and removes it; what does not die keeps its group.
    pub(crate) fn end(&self) {
        let start = Instant::now();
        while self.path.exists() && !remove(&self.path, DEPTH) && start.elapsed() < LEAVE_PATIENCE {
            self.kill();
            sleep(LOOK_EVERY);
        }
    }
}

/// Lists who is in a group and in those below it.
fn processes(group: &Path, depth: usize) -> Vec<Pid> {
    let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process of another pid namespace; as a target it would mean ourselves.
    let pids = listed.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0);
    let mut found: Vec<Pid> = pids.map(Pid::from_raw).collect();
    if depth > 0 {
        found.extend(groups_below(group).iter().flat_map(|group| processes(group, depth - 1)));
    }
    found
}

fn groups_below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Returns the group that this process is in.
pub(super) fn own() -> Option<PathBuf> {
    let mount = MOUNTS.iter().map(Path::new).find(|mount| mount.join("cgroup.controllers").exists())?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = mount.join(groups.lines().find_map(|line| line.strip_prefix("0::/"))?);
    (is_plain(&own) && own.is_dir()).then_some(own)
}

/// Returns the group that systemd left to our unit, and not to itself: two who write to one get in each other's way. It is
/// our own, or has us in a group below it (`DelegateSubgroup=`); further up are units of others, such as a user's manager.
fn delegated() -> Option<PathBuf> {
    own()?.ancestors().take(2).find(|group| is_marked(group)).map(Path::to_owned)
}

fn is_marked(group: &Path) -> bool {
    MARKS.iter().any(|mark| {
        let mut value = [0; 8];
        rustix::fs::getxattr(group, *mark, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
    })
}

/// Removes a group with those that the child made below it, which has to be done from below; returns whether that is done.
fn remove(group: &Path, depth: usize) -> bool {
    if depth > 0 {
        for group in groups_below(group) {
            remove(&group, depth - 1);
        }
    }
    fs::remove_dir(group).is_ok()
}

fn can_be_of_a_run(path: &Path) -> bool {
    let is_ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
    is_ours && is_plain(path) && MOUNTS.iter().any(|mount| path.starts_with(mount))
}

/// A group outside of our namespace is told with `..` in front (cgroup_namespaces(7)).
fn is_plain(path: &Path) -> bool {
    path.components().all(|part| !matches!(part, std::path::Component::ParentDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_group_of_a_run_is_taken_from_a_record() {
        for (path, expected) in [
            ("/sys/fs/cgroup/system.slice/monitor.service/monitor-run-web-1", true),
            ("/sys/fs/cgroup/unified/system.slice/monitor.service/monitor-run-web.2-1", true),
            ("/sys/fs/cgroup/system.slice/monitor.service", false),
            ("/sys/fs/cgroup/system.slice/run-r12.scope", false),
            ("/sys/fs/cgroup/system.slice/../monitor-run-web-1", false),
            ("/home/monitor-run-web-1", false),
        ] {
            assert_eq!(can_be_of_a_run(Path::new(path)), expected, "{path}");
            assert_eq!(RunGroup::at(Path::new(path)), None, "nobody delegated it");
        }
    }

    #[test]
    fn what_systemd_did_not_delegate_is_left_alone() {
        // Nobody starts tests in a delegated group.
        assert_eq!(RunGroup::make("web", Uuid::now_v7()), None);
    }
}
