//! Holds a child to its end and clears away all that descends from it: SIGTERM, grace, SIGKILL, until none is left.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::getpid;

use super::control::{Ended, News};
use crate::supervise::memory_kills::MemoryKills;
use crate::supervise::process_table::{self, ProcessId};
use crate::supervise::run_group::RunGroup;
use crate::supervise::run_record::StopReason;

/// What a dead child's family gets between SIGTERM and SIGKILL: long enough to close a file, short enough that the
/// news of a crash, and with it the restart, is not late.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How long SIGKILL may take. A process in uninterruptible sleep (`proc_pid_stat(5)`, state D) cannot die, and nobody
/// would be served by a keeper that waits for it.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at /proc.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// All that happened to a child and its family.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Nothing if the end went unseen.
    pub(super) ended: Option<Ended>,
    pub(super) stopped: Option<StopReason>,
    pub(super) leftovers_killed: usize,
    pub(super) leftovers_alive: usize,
    pub(super) memory_kill: bool,
}

/// What the kernel's groups give a keeper, each where they do.
#[derive(Debug)]
pub(super) struct Reach {
    /// All that descends from the child is in it.
    pub(super) group: Option<RunGroup>,
    /// Tells whether memory ran out.
    pub(super) memory_kills: Option<MemoryKills>,
}

/// Waits for the end of `child`, ends it when the news ask for it, and returns when nothing of it is left.
pub(super) fn hold_to_the_end(child: ProcessId, stop_grace: Duration, reach: &Reach, news: &Receiver<News>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut deadline = None;
    while outcome.ended.is_none() {
        match next(news, deadline) {
            Heard::News(News::Stop(reason)) if outcome.stopped.is_none() => {
                outcome.stopped = Some(reason);
                deadline = Instant::now().checked_add(stop_grace);
                terminate(child);
            }
            Heard::News(News::Stop(_)) => {}
            Heard::News(News::Kill) => {
                outcome.stopped.get_or_insert(StopReason::Asked);
                deadline = Some(Instant::now());
            }
            Heard::News(News::Ended(ended)) => {
                outcome.memory_kill = reach.memory_kills.as_ref().is_some_and(MemoryKills::was_now);
                outcome.ended = Some(ended);
            }
            Heard::News(News::NoneLeft) | Heard::Silence => return outcome,
            Heard::Deadline => break,
        }
    }
    let now = Instant::now();
    let kill_from = match &outcome.ended {
        Some(_) => deadline.unwrap_or(now).max(now + LEFTOVER_GRACE),
        None => now,
    };
    clear(child, kill_from, reach.group.as_ref(), news, &mut outcome);
    outcome
}

enum Heard {
    News(News),
    Deadline,
    Silence,
}

fn next(news: &Receiver<News>, deadline: Option<Instant>) -> Heard {
    let Some(deadline) = deadline else { return news.recv().map_or(Heard::Silence, Heard::News) };
    match news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(news) => Heard::News(news),
        Err(RecvTimeoutError::Timeout) => Heard::Deadline,
        Err(RecvTimeoutError::Disconnected) => Heard::Silence,
    }
}

/// Asks the child's group to end; a stopped process must be continued to hear it (`signal(7)`).
fn terminate(child: ProcessId) {
    for signal in [Signal::SIGTERM, Signal::SIGCONT] {
        if killpg(child.as_pid(), signal).is_err() {
            // In its first milliseconds the child does not lead its group yet.
            let _ = kill(child.as_pid(), signal);
        }
    }
}

/// Ends every descendant, also those that left the group or daemonized: SIGTERM once, SIGKILL from `kill_from` on.
///
/// The first look comes after a pause, so that what was dying anyway is not counted.
fn clear(
    child: ProcessId,
    mut kill_from: Instant,
    group: Option<&RunGroup>,
    news: &Receiver<News>,
    outcome: &mut Outcome,
) {
    let own = getpid().as_raw();
    let mut signalled = BTreeSet::new();
    loop {
        match news.recv_timeout(LOOK_EVERY) {
            Ok(News::Ended(ended)) => outcome.ended = Some(ended),
            Ok(News::Kill) => kill_from = Instant::now(),
            Ok(News::NoneLeft) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(News::Stop(_)) | Err(RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        let left = process_table::descendants(own);
        if now >= kill_from + KILL_PATIENCE {
            outcome.leftovers_alive = left.len();
            break;
        }
        if now >= kill_from {
            group.iter().for_each(|group| group.kill());
        }
        for process in left {
            let new = signalled.insert(process);
            let signals: &[Signal] = match (now >= kill_from, new) {
                (true, _) => &[Signal::SIGKILL],
                (false, true) => &[Signal::SIGTERM, Signal::SIGCONT],
                (false, false) => &[],
            };
            for signal in signals {
                let _ = kill(process.as_pid(), *signal);
            }
        }
    }
    signalled.remove(&child);
    outcome.leftovers_killed = signalled.len().saturating_sub(outcome.leftovers_alive);
}
