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
/// What systemd writes on the group of a unit with `Delegate=yes`, the second so that nobody but root could have
/// ("Control Group APIs and Delegation", systemd.io).
const MARKS: [&str; 2] = ["user.delegate", "trusted.delegate"];
/// How the group of a run begins, so that none can be taken for a file of the kernel's.
const PREFIX: &str = "run-";
/// How long the killed may take to leave; the keeper has waited for them already, as long as that is worth it.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The cgroup of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunGroup {
    path: PathBuf,
}

impl RunGroup {
    /// Makes the group of `run`; none where no group was delegated to us.
    pub fn make(service: &str, run: Uuid) -> Option<Self> {
        let path = delegated()?.join(format!("{PREFIX}{service}-{run}"));
        fs::create_dir(&path).ok()?;
        Some(Self { path })
    }

    /// Returns the group that is on record at `path`; none if that is not where a run's group can be.
    pub fn at(path: &Path) -> Option<Self> {
        let is_ours = path.file_name()?.to_str()?.starts_with(PREFIX) && is_plain(path);
        (is_ours && MOUNTS.iter().any(|mount| path.starts_with(mount))).then(|| Self { path: path.to_owned() })
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves this process into it, and with it all that it starts from now on.
    ///
    /// # Errors
    /// When the kernel says no.
    pub fn enter(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// Ends all that is in it at once, so that nobody can fork away (`cgroup.kill`, Linux 5.14).
    pub fn kill(&self) {
        if fs::write(self.path.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        for pid in self.processes() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    /// Ends what is in it, waits until that is gone, and removes it; what does not die keeps its group.
    pub fn end(&self) {
        let start = Instant::now();
        while self.path.exists() && fs::remove_dir(&self.path).is_err() && start.elapsed() < LEAVE_PATIENCE {
            self.kill();
            sleep(LOOK_EVERY);
        }
    }

    fn processes(&self) -> Vec<Pid> {
        let listed = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        // 0 is a process of another pid namespace; as a target it would mean ourselves.
        listed.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).map(Pid::from_raw).collect()
    }
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
            ("/sys/fs/cgroup/system.slice/monitor.service/run-web-1", true),
            ("/sys/fs/cgroup/unified/system.slice/monitor.service/run-web.2-1", true),
            ("/sys/fs/cgroup/system.slice/monitor.service", false),
            ("/sys/fs/cgroup/system.slice/../run-web-1", false),
            ("/home/run-web-1", false),
        ] {
            assert_eq!(RunGroup::at(Path::new(path)).is_some(), expected, "{path}");
        }
    }

    #[test]
    fn what_systemd_did_not_delegate_is_left_alone() {
        // Nobody starts tests in a delegated group.
        assert_eq!(RunGroup::make("web", Uuid::now_v7()), None);
    }
}
