//! What follows from what a runtime says of a run, whoever the runtime is: who began and ended it, and how it rests. Pure.

use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Stamp, elapsed};

use super::cause::Cause;
use super::ledger::{Ledger, Who};
use super::message::{Command, Rest};
use super::workload::Ordered;

/// Its clock and ours may be another machine's each.
const CLOCKS_APART: Duration = Duration::from_secs(2);
/// What somebody stopped, or what is gone, may be a restart or a new version of it: those take less than a second.
const SETTLES_AFTER: Duration = Duration::from_secs(2);

/// What was told last of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Running,
    Ended,
    Waiting,
    Resting(Rest),
}

impl Told {
    /// Returns whether its run has ended, and it is not known yet that it rests.
    pub(super) fn is_between(self) -> bool {
        matches!(self, Self::Ended | Self::Waiting)
    }
}

/// Whether it has been like this for long enough to believe it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settling(Option<Stamp>);

impl Settling {
    /// Returns when to look again.
    pub(super) fn at(self) -> Option<Stamp> {
        self.0
    }

    /// It is like this from now on.
    pub(super) fn begin(&mut self, now: Stamp) {
        self.0 = Some(Stamp { at: now.at + SETTLES_AFTER, wall: kit::clock::later(now.wall, SETTLES_AFTER) });
    }

    /// Nothing is to be waited for.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Returns whether the time is over; it begins with the first question.
    pub(super) fn is_over(&mut self, now: Stamp) -> bool {
        if self.0.is_none() {
            self.begin(now);
        }
        self.0.is_some_and(|settles| now.at >= settles.at)
    }
}

/// What we asked its runtime for last, until it has been done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OpenOrder(Option<Ordered>);

impl OpenOrder {
    /// Begins with what an earlier monitor asked for; the latest run that is known began then.
    pub(super) fn left(ordered: Option<Ordered>, latest_began: Option<Timestamp>) -> Self {
        let is_open =
            |ordered: &Ordered| latest_began.is_none_or(|began| began < ordered.at || is_on_its_way(ordered, began));
        Self(ordered.filter(is_open))
    }

    /// Notes what we are about to ask for.
    pub(super) fn note(&mut self, command: Command, now: Stamp) {
        self.0 = Some(Ordered { at: now.wall, command });
    }

    /// Notes that a run began, which is what was ordered or ends the wait for it.
    pub(super) fn begun(&mut self, began: Timestamp) {
        self.0.take_if(|ordered| !is_on_its_way(ordered, began));
    }

    /// Returns whether it is a stop that comes after a run that began then.
    pub(super) fn stops_what_began(self, began: Timestamp) -> bool {
        self.0.is_some_and(|ordered| is_on_its_way(&ordered, began))
    }

    /// Takes back what was not done, and returns when it was asked for.
    pub(super) fn refused(&mut self, command: Command) -> Option<Timestamp> {
        self.0.take_if(|ordered| ordered.command == command).map(|ordered| ordered.at)
    }

    /// Returns what we had asked for at most `within` before something happened that may have followed from it.
    pub(super) fn behind(self, at: Timestamp, within: Duration) -> Option<Command> {
        let ordered = self.0.filter(|ordered| elapsed(ordered.at, at) <= within)?;
        (at + CLOCKS_APART >= ordered.at).then_some(ordered.command)
    }

    /// Returns whether it is to be held by our own decision.
    fn holds(self) -> bool {
        matches!(self.0, Some(Ordered { command: Command::Stop(Who::Us), .. }))
    }
}

/// Returns whether an order may still be done after a run began: a stop reaches what loops a moment after its next start.
fn is_on_its_way(ordered: &Ordered, began: Timestamp) -> bool {
    matches!(ordered.command, Command::Stop(_)) && elapsed(ordered.at, began) <= CLOCKS_APART
}

/// Returns who began a run because of what we had asked for.
pub(super) fn began_by(ordered: Option<Command>) -> Option<Who> {
    match ordered {
        Some(Command::Start(by) | Command::Restart(by)) => Some(by),
        Some(Command::Heal) => Some(Who::Us),
        _ => None,
    }
}

/// Returns who ended a run, and whether that was planned: it was asked to end, by us or by somebody else, or not at all;
/// `comes_back` says that its runtime starts it again after a clean end too.
pub(super) fn ended_by(asked: bool, ordered: Option<Command>, cause: Cause, comes_back: bool) -> (Who, bool) {
    match ordered {
        _ if !asked => (Who::Runtime, cause == Cause::Clean && !comes_back),
        Some(Command::Stop(by) | Command::Restart(by)) => (by, true),
        Some(Command::Heal) => (Who::Us, false),
        _ => (Who::Anonymous, false),
    }
}

/// Returns how it rests that somebody stopped: what we stopped by our own decision is held.
pub(super) fn rest_of_the_stopped(ledger: &Ledger, order: OpenOrder) -> Rest {
    let end = ledger.last().and_then(|run| run.end.as_ref());
    let is_ours = order.holds() || end.is_some_and(|end| end.by == Who::Us && end.planned);
    if is_ours { Rest::Quarantined } else { Rest::Stopped }
}

/// Returns how it rests that its runtime does not know any more.
pub(super) fn rest_of_the_absent(ledger: &Ledger, order: OpenOrder) -> Rest {
    match ledger.last().and_then(|run| run.end.as_ref()) {
        Some(end) if end.by == Who::Runtime && end.planned => Rest::Completed,
        Some(end) if end.by != Who::Runtime => rest_of_the_stopped(ledger, order),
        _ => Rest::Gone,
    }
}
