//! Reads what supervision needs from /proc: who is alive, since when, and who descends from whom.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process id.
    pub pid: i32,
    /// Clock ticks from boot to its start: field 22 of `/proc/PID/stat`, `proc_pid_stat(5)`. `exec` does not change it.
    pub start_time: u64,
}

impl ProcessId {
    /// Returns the identity of the process that now has the number `pid`; a zombie is no process any more.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        stat.is_alive().then_some(stat.id)
    }

    /// Returns the identity of a child that its parent has not waited for, alive or not.
    pub fn of_unreaped(pid: i32) -> Option<Self> {
        Stat::read(pid).map(|stat| stat.id)
    }

    /// Returns whether this very process still runs on this boot.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Returns the number for calls to the kernel.
    pub fn as_pid(self) -> Pid {
        Pid::from_raw(self.pid)
    }
}

/// Returns the random id of this boot (`/proc/sys/kernel/random/boot_id`, `random(4)`).
///
/// # Errors
/// When /proc is not mounted.
pub fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

/// Returns the living descendants of `ancestor`, children first.
///
/// /proc is no snapshot: a process that forks meanwhile may hide its child. Who must have them all asks again until
/// none is left.
pub fn descendants(ancestor: i32) -> Vec<ProcessId> {
    let table = all();
    let mut family = BTreeSet::from([ancestor]);
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for stat in &table {
            if family.contains(&stat.parent) && family.insert(stat.id.pid) && stat.is_alive() {
                found.push(stat.id);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Returns the living processes of session `leader` that are not older than it.
pub fn session(leader: ProcessId) -> Vec<ProcessId> {
    let member = |stat: &Stat| stat.session == leader.pid && stat.id.start_time >= leader.start_time;
    all().into_iter().filter(|stat| stat.is_alive() && member(stat)).map(|stat| stat.id).collect()
}

fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Stat::read).collect()
}

/// The fields of `/proc/PID/stat` that we use.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    id: ProcessId,
    state: char,
    parent: i32,
    session: i32,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Field 2 is the program's name in brackets and may itself hold blanks and brackets: the last `)` ends it.
    fn parse(pid: i32, line: &str) -> Option<Self> {
        let mut fields = line.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        let start_time = fields.nth(15)?.parse().ok()?;
        Some(Self { id: ProcessId { pid, start_time }, state, parent, session })
    }

    /// Z is a zombie, X and x are dead (`proc_pid_stat(5)`, field 3).
    const fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let line = "7 (a) b (c)) S 3 7 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 100";
        let expected = Stat { id: ProcessId { pid: 7, start_time: 4711 }, state: 'S', parent: 3, session: 5 };
        assert_eq!(Stat::parse(7, line), Some(expected));
        assert_eq!(Stat::parse(7, "7 (cut) S 3"), None);
    }

    #[test]
    fn this_process_is_alive_and_an_older_one_with_its_number_is_not() {
        let pid = nix::unistd::getpid().as_raw();
        let id = ProcessId::of(pid).unwrap();
        assert!(id.is_alive());
        assert!(!ProcessId { start_time: id.start_time - 1, ..id }.is_alive());
    }

    #[test]
    fn a_child_is_a_descendant_until_it_is_dead_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap();
        let ours = || descendants(nix::unistd::getpid().as_raw());
        assert!(ours().contains(&id));
        nix::sys::signal::kill(id.as_pid(), nix::sys::signal::Signal::SIGKILL).unwrap();
        while id.is_alive() {
            std::thread::yield_now();
        }
        assert!(!ours().contains(&id));
        child.wait().unwrap();
    }
}
