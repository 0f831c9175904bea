//! How a service's workload stands: its ledger and phase, folded from runtime events. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kit::clock::{Moment, Stamp};
use kit::config::show_duration;
use uuid::Uuid;

use super::entry::ServiceSpec;
use super::run_lines::RunLines;
use super::verdict::Runtime;
use crate::supervise::cause::{Cause, Exit};
use crate::supervise::telltale::telling_line;
use crate::supervise::{Assessment, Described, End, Event, Ledger, Rest, Who};

/// After an unplanned end the service must serve again within this time, or it is down: time for the restart, and for
/// the probes that are forced at the exit and after the start (DESIGN section 5).
const BACK_AFTER_CRASH: Duration = Duration::from_secs(5);
/// A restart that waits longer than this is an outage from the exit on.
const QUICK_RESTART: Duration = Duration::from_secs(2);

/// What a workload is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// We have not started it yet.
    Pending,
    /// It runs.
    Running {
        /// The run's id.
        run: Uuid,
        /// Its process, if known.
        pid: Option<i32>,
        /// Since when.
        since: Stamp,
    },
    /// It ended and will be started after this delay.
    Waiting(Duration),
    /// It rests.
    Resting(Rest),
}

impl Phase {
    /// Returns whether it runs, or will without anybody's doing.
    pub const fn goes_on(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Waiting(_))
    }
}

/// State of one workload.
#[derive(Debug, Clone)]
pub struct WorkloadState {
    /// What it is doing.
    pub phase: Phase,
    /// Every start and end.
    pub ledger: Ledger,
    /// The last end in one sentence, such as "exited with code 1".
    pub last_end: Option<String>,
    /// That, with what the run itself said of it.
    pub last_told: Option<String>,
    /// The last lines of the newest runs that ended.
    pub lines: RunLines,
    /// SHA-256 of the program of the present or last run, in hexadecimal.
    pub digest: Option<String>,
    /// Sequence number of the present or last run's start.
    pub started_at: u64,
    /// Sequence number that is not above that of the last end's moment, 0 if none was told.
    ended_at: u64,
    /// Sequence number of the last unplanned end, 0 if none.
    pub unplanned_end_at: u64,
    /// That of the unplanned end before it.
    unplanned_end_before: u64,
    /// Why whoever runs it cannot be asked, if so: what is known of it may not be true any more.
    pub unseen: Option<String>,
    /// Since when that is so.
    pub unseen_since: Option<Moment>,
    /// When whoever runs it tries again, if it waits for that.
    pub next_try: Option<Moment>,
    /// What whoever runs it says of why it rests, if anything.
    pub rest_why: Option<String>,
    /// Why restarting it is given up, if so.
    pub given_up: Option<String>,
    /// What whoever runs it declares of it.
    pub described: Described,
    /// Critical checks that have passed in this run.
    passed: BTreeSet<Arc<str>>,
    /// All of them had passed once: from then on this run is judged by its checks alone.
    has_worked: bool,
    /// A critical check failed in this run: it did answer, wrongly.
    has_failed: bool,
}

impl Default for WorkloadState {
    fn default() -> Self {
        Self::restored(Ledger::default(), RunLines::default())
    }
}

/// What an event did to the runs of a workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// One began, or was found.
    pub(super) began: bool,
    /// One ended, be it that nobody told.
    pub(super) ended: bool,
    /// One ended, and nobody had planned that.
    pub(super) ended_unplanned: bool,
}

impl WorkloadState {
    /// Begins with the ledger that an earlier monitor left, and the last lines of its runs.
    pub fn restored(ledger: Ledger, lines: RunLines) -> Self {
        let ended = ledger.runs().rev().find_map(|run| Some((run, run.end.as_ref()?)));
        let last_end = ended.map(|(_, end)| end.cause.sentence(end.exit));
        let last_told = ended.map(|(run, end)| end.cause.told(end.exit, run.said.as_deref()));
        let last_crash =
            ledger.runs().rev().filter_map(|run| run.end.as_ref()).find(|end| !end.planned).map(|end| end.at.wall);
        Self {
            phase: Phase::Pending,
            ledger,
            last_end,
            last_told,
            lines,
            digest: None,
            started_at: 0,
            ended_at: 0,
            // Cursors of an earlier monitor are below the microseconds of any later moment: what ended unplanned before
            // this one started shuts them, and cannot shut those given out from now on.
            unplanned_end_at: last_crash.map_or(0, |at| u64::try_from(at.as_microsecond()).unwrap_or(0)),
            unplanned_end_before: 0,
            unseen: None,
            unseen_since: None,
            next_try: None,
            rest_why: None,
            given_up: None,
            described: Described::default(),
            passed: BTreeSet::new(),
            has_worked: false,
            has_failed: false,
        }
    }

    /// Returns what stays true of its runs where it is looked for anew, by another name or in another way.
    pub fn anew(&self) -> Self {
        Self { unplanned_end_at: self.unplanned_end_at, ..Self::restored(self.ledger.clone(), self.lines.clone()) }
    }

    /// Takes an event; returns what that did to its runs.
    pub(super) fn take(&mut self, event: &Event, sequence: u64) -> Change {
        let mut change = Change::default();
        match event {
            Event::Started { run, pid, by, adopted, stamp, .. } => {
                let is_known = *adopted && self.ledger.last().is_some_and(|last| last.id == *run);
                if !is_known {
                    change.ended_unplanned = self.end_unseen(sequence);
                    // A new version was announced by itself, and so was the end of the old one.
                    if *by == Who::Announced && self.ledger.record_replaced() {
                        self.unplanned_end_at = self.unplanned_end_before;
                    }
                    self.ledger.record_start(*run, *stamp, *by);
                }
                self.phase = Phase::Running { run: *run, pid: *pid, since: *stamp };
                // What is found running may have begun before any cursor, but not before the end of the one before it.
                self.started_at = match *adopted {
                    false => sequence,
                    true if is_known => self.started_at,
                    true => self.ended_at,
                };
                // Of what is found again the digest is known, and is not told again by all.
                self.digest = self.ledger.last().and_then(|run| run.digest.clone());
                self.passed.clear();
                self.has_worked = false;
                self.has_failed = false;
                change.began = true;
            }
            Event::Ended { run, by, planned, ending, .. } => {
                let end = End {
                    at: ending.at,
                    by: *by,
                    exit: ending.exit,
                    cause: ending.cause,
                    planned: *planned,
                    excuse: None,
                };
                let said = telling_line(&ending.last_lines);
                self.ledger.record_end(*run, end);
                self.ledger.record_said(*run, said.clone());
                self.last_end = Some(ending.cause.sentence(ending.exit));
                self.last_told = Some(ending.cause.told(ending.exit, said.as_deref()));
                self.lines.add(*run, &ending.last_lines);
                change.ended = true;
                // It may be told late, and cursors are below the microseconds of any later moment.
                self.ended_at = sequence.min(u64::try_from(ending.at.wall.as_microsecond()).unwrap_or(0));
                if !planned {
                    change.ended_unplanned = true;
                    (self.unplanned_end_before, self.unplanned_end_at) = (self.unplanned_end_at, sequence);
                }
                self.phase = Phase::Waiting(Duration::ZERO);
            }
            Event::Waiting { delay, .. } => {
                // Before the first start it waits for nothing that went wrong.
                if self.phase != Phase::Pending {
                    self.phase = Phase::Waiting(*delay);
                }
            }
            Event::Resting { rest, why, .. } => {
                self.phase = Phase::Resting(*rest);
                self.rest_why.clone_from(why);
            }
            Event::Identified { run, digest, .. } => self.learned(*run, digest.clone()),
            Event::Missed { run, .. } => self.ledger.record_gap(*run),
            Event::Sight { lost, .. } => self.unseen.clone_from(lost),
            Event::Described { described, .. } => self.described = (**described).clone(),
            Event::Refused { .. } => {}
        }
        change.ended |= change.ended_unplanned;
        change
    }

    /// Notes that the run which was believed to go on has ended, for another one begins; returns whether there was one.
    fn end_unseen(&mut self, sequence: u64) -> bool {
        let Some(open) = self.ledger.last().filter(|run| run.end.is_none()).map(|run| run.id) else { return false };
        let how = Cause::Lost.sentence(Exit::Lost);
        (self.last_end, self.last_told) = (Some(how.clone()), Some(how));
        self.lines.add(open, &[]);
        (self.unplanned_end_before, self.unplanned_end_at) = (self.unplanned_end_at, sequence);
        true
    }

    /// Notes the digest of the program that `run` runs.
    pub(super) fn learned(&mut self, of: Uuid, digest: String) {
        if matches!(self.phase, Phase::Running { run, .. } if run == of) {
            self.ledger.record_digest(of, digest.clone());
            self.digest = Some(digest);
        }
    }

    /// Notes how a critical check ended in this run; `critical` are all of them. Returns whether it is the first time that
    /// all of them have passed.
    pub(super) fn heard(&mut self, check: &Arc<str>, passed: bool, critical: &[Arc<str>]) -> bool {
        if !matches!(self.phase, Phase::Running { .. }) {
            return false;
        }
        let before = self.has_worked;
        if passed {
            self.passed.insert(check.clone());
            if !self.has_worked && critical.iter().all(|name| self.passed.contains(name)) {
                self.has_worked = true;
                self.ledger.record_worked();
            }
        } else {
            self.has_failed = true;
        }
        self.has_worked && !before
    }

    /// Returns what its runs add up to.
    pub fn assessment(&self, now: Moment) -> Assessment {
        self.ledger.assess(now)
    }

    /// Returns true once every critical check has passed in the present run. Checks that a reload adds later are judged
    /// by themselves.
    pub fn is_ready(&self, critical: &[&str]) -> bool {
        matches!(self.phase, Phase::Running { .. }) && (self.has_worked || critical.is_empty())
    }

    /// Returns true while fails move no check: it was started, nothing has passed yet, and its time is not over.
    pub(super) fn is_starting(&self, critical: &[&str], grace: Duration, now: Moment) -> bool {
        match &self.phase {
            _ if self.unseen.is_some() => false,
            Phase::Pending => true,
            Phase::Running { since, .. } => !self.is_ready(critical) && now.since(since.at) < self.grace(grace),
            // A crash that is over before anybody could ask is a ledger entry, not an outage.
            Phase::Waiting(delay) => *delay <= QUICK_RESTART && self.ended_within(BACK_AFTER_CRASH, now),
            Phase::Resting(_) => false,
        }
    }

    /// Returns how it counts in the verdict; `reason` is the newest fail of a critical check.
    pub(super) fn runtime(&self, spec: &ServiceSpec, critical: &[&str], reason: Option<&str>, now: Moment) -> Runtime {
        let grace = spec.start_grace.unwrap_or_default();
        let cause = || self.last_told.clone().unwrap_or_else(|| "not started yet".to_owned());
        if let Phase::Resting(rest) = self.phase {
            return match rest {
                Rest::Stopped => Runtime::Stopped,
                Rest::Completed => Runtime::Completed,
                Rest::Gone => Runtime::Gone { why: self.rest_why.clone() },
                Rest::GaveUp => Runtime::GaveUp { cause: format!("{}; it is not started again", cause()) },
                Rest::Quarantined => Runtime::GaveUp { cause: format!("{}; stopped and held in quarantine", cause()) },
                Rest::Failed => {
                    Runtime::Broken { cause: format!("{}; its settings say not to start it again", cause()) }
                }
            };
        }
        // What rests stays so; of everything else only its checks still tell.
        if let Some(cause) = &self.unseen {
            return Runtime::Unknown { cause: cause.clone() };
        }
        if let Some(why) = &self.given_up {
            let reason = reason.map(|reason| format!("{reason}; ")).unwrap_or_default();
            return Runtime::GaveUp { cause: format!("{reason}{why}") };
        }
        let assessment = self.assessment(now);
        // A runtime that tries for ever gives nothing up.
        if assessment.gave_up && spec.runtime.is_none() {
            let tries = assessment.failed_tries;
            return Runtime::GaveUp { cause: format!("{}; {tries} slow tries since giving up", cause()) };
        }
        if assessment.crash_looping {
            return Runtime::CrashLooping {
                cause: format!("{}; {} exits in 10 min", cause(), assessment.counted_exits()),
            };
        }
        if self.is_starting(critical, grace, now) {
            return Runtime::Starting;
        }
        match &self.phase {
            // What nobody could ask is not broken: its checks say that they are unknown.
            Phase::Running { .. } if self.is_ready(critical) || !self.has_failed => Runtime::Running,
            Phase::Running { .. } => {
                let within = show_duration(self.grace(grace));
                let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                Runtime::Broken { cause: format!("did not work within {within} of its start{reason}") }
            }
            _ => Runtime::Broken { cause: cause() },
        }
    }

    /// A first start may take its whole grace; after a crash people are waiting.
    fn grace(&self, grace: Duration) -> Duration {
        if self.follows_a_crash() { BACK_AFTER_CRASH } else { grace }
    }

    /// True if the run before the present one ended by itself: whom somebody restarts may take its time.
    fn follows_a_crash(&self) -> bool {
        let before = self.ledger.runs().rev().nth(1);
        before.and_then(|run| run.end.as_ref()).is_some_and(|end| !end.planned && end.by == Who::Runtime)
    }

    fn ended_within(&self, length: Duration, now: Moment) -> bool {
        let end = self.ledger.last().and_then(|run| run.end.as_ref());
        end.is_some_and(|end| now.since(end.at.at) < length)
    }
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
