//! The ledger of one service: every start and end, who did it and why, in a bounded list that no runtime resets.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::assessment::{self, Assessment};
use super::bucket::Policy;
use super::cause::{Cause, Exit};

/// Runs kept in memory; the oldest leave first. No verdict looks at more than a few dozen: a crash loop gives up after
/// eight exits, and then tries six times a day.
pub const RUNS_KEPT: usize = 256;

/// Who started or ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// This monitor, by its own decision: a restart after a delay, a half-open try, a heal.
    Us,
    /// The runtime, or the program itself: a crash, a restart policy.
    Runtime,
    /// Somebody who said so: a command to us, a deploy mark, a changed digest or configuration.
    Announced,
    /// Somebody who did not.
    Anonymous,
}

impl Who {
    /// Returns the word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Runtime => "runtime",
            Self::Announced => "announced",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Why an unplanned exit spends no budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excuse {
    /// Half of the host's workloads ended with it.
    HostEvent,
    /// Something it cannot do without was down.
    DependencyDown,
}

/// One life of a workload; `T` is [`Stamp`] in memory and a wall time in storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run<T = Stamp> {
    /// UUIDv7, made by whoever first wrote of this run.
    pub id: Uuid,
    /// When it began.
    pub started: T,
    /// Who began it.
    pub started_by: Who,
    /// How it ended, if it has.
    pub end: Option<End<T>>,
    /// SHA-256 of its program in hexadecimal, if it ran long enough to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether every critical check passed in it.
    #[serde(default)]
    pub worked: bool,
    /// The line of its output that says why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Whether runs before it may be missing, so that what is counted is the least.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_gap: bool,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End<T = Stamp> {
    /// When.
    pub at: T,
    /// Who ended it; a crash is the runtime's.
    pub by: Who,
    /// The bare fact.
    pub exit: Exit,
    /// What the fact and the evidence mean.
    pub cause: Cause,
    /// Announced, asked of us, or a one-shot that did its work.
    pub planned: bool,
    /// Why it spends no budget though nobody planned it.
    pub excuse: Option<Excuse>,
}

impl<T> End<T> {
    /// Returns whether this exit fills the bucket: nobody planned it, and nobody else explains it.
    ///
    /// Ends by an anonymous hand are counted in a bucket of their own ([`Assessment::anonymous_restarts`]).
    pub fn spends_budget(&self) -> bool {
        !self.planned && self.by != Who::Anonymous && self.excuse.is_none()
    }
}

impl Run {
    /// Returns how long it ran, up to `now` if it still does.
    pub fn duration(&self, now: Moment) -> Duration {
        self.end.as_ref().map_or(now, |end| end.at.at).since(self.started.at)
    }

    fn to_row(&self) -> Run<Timestamp> {
        self.map(|stamp| stamp.wall)
    }
}

impl<T> Run<T> {
    fn map<U>(&self, convert: impl Fn(&T) -> U) -> Run<U> {
        let end = self.end.as_ref().map(|end| End {
            at: convert(&end.at),
            by: end.by,
            exit: end.exit,
            cause: end.cause,
            planned: end.planned,
            excuse: end.excuse,
        });
        let (id, started, started_by) = (self.id, convert(&self.started), self.started_by);
        let (digest, worked, said, after_gap) = (self.digest.clone(), self.worked, self.said.clone(), self.after_gap);
        Run { id, started, started_by, end, digest, worked, said, after_gap }
    }
}

/// The runs of one service, oldest first, and what they add up to.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    policy: Policy,
    runs: VecDeque<Run>,
}

impl Ledger {
    /// Makes an empty ledger.
    pub fn new(policy: Policy) -> Self {
        Self { policy, runs: VecDeque::new() }
    }

    /// Rebuilds a ledger from stored rows, mapped onto this boot's clock as `now` sees it.
    pub fn restore(policy: Policy, rows: &[Run<Timestamp>], now: &Stamp) -> Self {
        let mut ledger = Self::new(policy);
        for row in rows {
            ledger.push(row.map(|wall| now.stamp_of(*wall)));
        }
        ledger
    }

    /// Returns the rows to store, oldest first.
    pub fn rows(&self) -> Vec<Run<Timestamp>> {
        self.runs.iter().map(Run::to_row).collect()
    }

    /// Returns the numbers this ledger judges by.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the runs, oldest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.iter()
    }

    /// Returns how many of the runs ended unplanned; ends by an anonymous hand are counted by themselves.
    pub fn unplanned_ends(&self) -> usize {
        let counts = |end: &End| !end.planned && end.by != Who::Anonymous;
        self.runs().filter(|run| run.end.as_ref().is_some_and(counts)).count()
    }

    /// Returns whether runs may have left the list that were within `window`.
    pub(super) fn begins_within(&self, window: Duration, now: Moment) -> bool {
        let first = self.runs.front().filter(|_| self.runs.len() == RUNS_KEPT);
        first.is_some_and(|run| now.since(run.started.at) <= window)
    }

    /// Returns the latest run.
    pub fn last(&self) -> Option<&Run> {
        self.runs.back()
    }

    /// Notes that run `id` began; a run before it whose end nobody saw is closed as lost at this moment.
    pub fn record_start(&mut self, id: Uuid, started: Stamp, started_by: Who) {
        if let Some(before) = self.runs.back_mut()
            && before.end.is_none()
        {
            let (exit, cause) = (Exit::Lost, Cause::Lost);
            before.end = Some(End { at: started, by: Who::Runtime, exit, cause, planned: false, excuse: None });
        }
        self.push(Run {
            id,
            started,
            started_by,
            end: None,
            digest: None,
            worked: false,
            said: None,
            after_gap: false,
        });
    }

    /// Notes that what an unknown hand ended last was ended to put something new in its place; returns whether that is so.
    pub fn record_replaced(&mut self) -> bool {
        let end = self.runs.back_mut().and_then(|run| run.end.as_mut());
        let Some(end) = end.filter(|end| end.by == Who::Anonymous && !end.planned) else { return false };
        (end.by, end.planned) = (Who::Announced, true);
        true
    }

    /// Notes how run `id` ended, and returns whether that was news: unknown runs and second ends change nothing.
    pub fn record_end(&mut self, id: Uuid, end: End) -> bool {
        let Some(run) = self.runs.iter_mut().rev().find(|run| run.id == id && run.end.is_none()) else { return false };
        run.end = Some(end);
        true
    }

    /// Notes the digest of the program that run `id` runs.
    pub fn record_digest(&mut self, id: Uuid, digest: String) {
        if let Some(run) = self.runs.iter_mut().rev().find(|run| run.id == id) {
            run.digest = Some(digest);
        }
    }

    /// Notes what run `id` said of its end.
    pub fn record_said(&mut self, id: Uuid, said: Option<String>) {
        if let Some(run) = self.runs.iter_mut().rev().find(|run| run.id == id) {
            run.said = said;
        }
    }

    /// Notes that runs before run `id` may be missing.
    pub fn record_gap(&mut self, id: Uuid) {
        if let Some(run) = self.runs.iter_mut().rev().find(|run| run.id == id) {
            run.after_gap = true;
        }
    }

    /// Notes that the latest run has worked.
    pub fn record_worked(&mut self) {
        if let Some(run) = self.runs.back_mut() {
            run.worked = true;
        }
    }

    /// Takes the exit of run `id` off the budget, as it became clear only later that it was not the service's fault.
    pub fn excuse(&mut self, id: Uuid, excuse: Excuse) -> bool {
        let end = self.runs.iter_mut().rev().find(|run| run.id == id).and_then(|run| run.end.as_mut());
        let Some(end) = end else { return false };
        end.excuse = Some(excuse);
        true
    }

    /// Returns what the runs add up to at `now`.
    pub fn assess(&self, now: Moment) -> Assessment {
        assessment::assess(self, now)
    }

    fn push(&mut self, run: Run) {
        if self.runs.len() == RUNS_KEPT {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
    }
}
