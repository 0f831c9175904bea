//! A run's own cgroup, in a real tree: who is in it, and that nobody gets out of it by leaving his session.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use monitor::supervise::cause::Cause;
use monitor::supervise::ledger::Who;
use monitor::supervise::memory_kills::MemoryKills;
use monitor::supervise::message::Command;
use monitor::supervise::process::read_ending;
use monitor::supervise::process_table::ProcessId;
use monitor::supervise::run_files::RunFolder;
use monitor::supervise::run_record::{ExitRecord, StopReason};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use uuid::Uuid;

use crate::kept::{Kept, MONITOR, eventually, order};
use crate::watched::{Place, begin_with, send, settings};

/// A daemon that says its number, in a session of its own.
const DAEMON: &str = "(setsid sh -c 'echo daemon $$; exec sleep 1000' &)";

/// A group as systemd makes it for a unit with `Delegate=yes`, beside this test's own.
struct Delegated {
    path: PathBuf,
    /// The monitor's binary, started in the group as systemd would.
    program: PathBuf,
    _place: TempDir,
}

impl Delegated {
    fn new() -> Self {
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let mount = mounts.into_iter().find(|mount| mount.join("cgroup.controllers").exists());
        let mount = mount.expect("cgroup v2 is mounted, be it beside version 1");
        let path = mount.join(own_group()).join(format!("delegated-{}", Uuid::now_v7()));
        fs::create_dir(&path).expect("root may make a group");
        rustix::fs::setxattr(&path, "trusted.delegate", b"1", rustix::fs::XattrFlags::empty()).unwrap();
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join("monitor");
        let enter = format!("echo $$ > {}/cgroup.procs", path.display());
        fs::write(&program, format!("#!/bin/sh\n{enter} && exec {MONITOR} \"$@\"\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        Self { path, program, _place: place }
    }

    fn runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).unwrap().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // What a failed test left in it keeps it.
        let _ = fs::remove_dir(&self.path);
    }
}

fn own_group() -> String {
    group_of("self")
}

/// Returns a process's group in the tree of version 2, without the slash in front.
fn group_of(pid: &str) -> String {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default().to_owned()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Returns the daemon's number, once it has said it.
fn daemon(lines: &[String]) -> Option<ProcessId> {
    ProcessId::of(lines.iter().find_map(|line| line.strip_prefix("daemon "))?.parse().ok()?)
}

#[test]
fn what_descends_from_a_child_is_in_a_group_that_goes_with_it() {
    let delegated = Delegated::new();
    let script = format!("{DAEMON}; echo ready; exec sleep 1000");
    let mut kept = Kept::start_as(&delegated.program, order(&script));
    kept.wait_for_line("ready");
    let mut found = None;
    eventually("the daemon says its number", || {
        found = daemon(&kept.folder.last_lines(9, 1 << 10).unwrap());
        found.is_some()
    });
    let run = format!("monitor-run-tested-{}", kept.order.run);
    for pid in [kept.child().pid, found.unwrap().pid] {
        let group = group_of(&pid.to_string());
        assert!(group.ends_with(&format!("{}/{run}", name(&delegated.path))), "{group}");
    }
    assert!(group_of(&kept.keeper.id().to_string()).ends_with(name(&delegated.path)), "the keeper is not in it");
    kept.tell("stop");
    kept.end();
    assert_eq!(delegated.runs(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_daemon_whose_keeper_was_killed_ends_before_the_next_run_begins() {
    let delegated = Delegated::new();
    let data = Place::new();
    let mut watched = begin_with(&data, &delegated.program, settings(&format!("{DAEMON}; exec sleep 1000"))).await;
    let (run, _, _) = watched.started().await;
    let folder = data.folder(run);
    let mut found = None;
    eventually("the daemon says its number", || {
        found = daemon(&folder.last_lines(9, 1 << 10).unwrap());
        found.is_some()
    });
    send(folder.read_run().unwrap().keeper.pid, Signal::SIGKILL);
    watched.ended().await;
    assert!(!found.unwrap().is_alive(), "it would hold its port");
    let (next, _, _) = watched.started().await;
    let groups = delegated.runs();
    let groups: Vec<&str> = groups.iter().map(|path| name(path)).collect();
    assert_eq!(groups, [format!("monitor-run-web-{next}")]);
    watched.tell(Command::Stop(Who::Us)).await;
    watched.ended().await;
    watched.close().await;
}

/// Which of the kernel's numbers rises does not matter, and one of a group without controllers is in reach here: whether
/// somebody is in it.
#[tokio::test]
async fn what_the_kernel_counted_just_now_is_told_from_what_it_counted_before_or_never() {
    let delegated = Delegated::new();
    let events = delegated.path.join("cgroup.events");
    let (long, short) = (Duration::from_secs(3600), Duration::from_millis(1));
    let watch = |recent| MemoryKills::of(&events, "populated", recent).unwrap();
    let (kills, forgetful) = (watch(long), watch(short));
    assert!(!kills.was_now() && !forgetful.was_now());
    let mut kept = Kept::start_as(&delegated.program, order("echo ready; exec sleep 1000"));
    kept.wait_for_line("ready");
    assert!(kills.was_now());
    assert!(!watch(long).was_now(), "what was counted before the start");
    // The kernel tells of it, so it has a time, and becomes old.
    eventually("it is no news any more", || !forgetful.was_now());
    assert!(kills.was_now());
    kept.tell("stop");
    kept.end();
    assert!(MemoryKills::of(&events, "oom_kill", long).is_none(), "nobody counts that there");
}

#[tokio::test]
async fn a_kill_for_want_of_memory_is_the_cause_of_a_kill_and_of_no_other_end() {
    let kept = Kept::start(order("kill -9 $$")).end();
    let cause = async |record: ExitRecord| {
        let place = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(place.path().to_owned());
        folder.write_exit(&record).unwrap();
        read_ending(folder, None).await.cause
    };
    let counted = ExitRecord { memory_kill: true, ..kept.clone() };
    assert_eq!(cause(counted.clone()).await, Cause::Oom);
    assert_eq!(cause(kept).await, Cause::Killed { signal: 9 });
    assert_eq!(cause(ExitRecord { signal: Some(15), ..counted.clone() }).await, Cause::Killed { signal: 15 });
    assert_eq!(cause(ExitRecord { stopped: Some(StopReason::Asked), ..counted }).await, Cause::Killed { signal: 9 });
}

/// A group with 30 MB of memory: of version 1 where that has the controller, as beside systemd's "hybrid" groups.
struct Narrow(PathBuf);

impl Narrow {
    fn new() -> Self {
        let (tree, limit) = match Path::new("/sys/fs/cgroup/memory") {
            first if first.is_dir() => (first, "memory.limit_in_bytes"),
            _ => (Path::new("/sys/fs/cgroup"), "memory.max"),
        };
        let path = tree.join(format!("narrow-{}", Uuid::now_v7()));
        fs::create_dir(&path).expect("root may make a group");
        fs::write(path.join(limit), "30000000").expect("the memory controller is on");
        Self(path)
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn a_child_for_which_memory_runs_out_says_so_and_one_that_somebody_kills_does_not() {
    let narrow = Narrow::new();
    let eat =
        format!("echo $$ > {}/cgroup.procs; exec perl -e 'push @all, \"x\" x 1048576 while 1'", narrow.0.display());
    for (script, expected) in [(eat.as_str(), Cause::Oom), ("kill -9 $$", Cause::Killed { signal: 9 })] {
        let mut kept = Kept::start(order(script));
        let child = kept.child();
        kept.end();
        let ending = read_ending(RunFolder::at(kept.folder.path().to_owned()), Some(child)).await;
        assert_eq!(ending.cause, expected, "{ending:?}");
    }
}
