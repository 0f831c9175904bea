//! What is known of each service and check, one entry each. Pure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kit::clock::{Moment, Stamp};

use super::announcement::Announcement;
use super::check::{CheckState, Health};
use super::discrepancy::Discrepancy;
use super::policy::{Policy, Severity};
use super::replicas::{ReplicaOf, Replicas, Standing};
use super::verdict::{Asked, CheckFacts, Runtime, ServiceFacts, Verdict};
use super::workload::{Phase, WorkloadState};
use crate::probe::{CheckId, Observation, Outcome};
use crate::supervise::diagnosis::{Diagnosis, Outside, why_healthy, why_looping, why_unchecked, why_unhealthy};

/// Passes in a row whose start is remembered for the gate; nobody may ask for more `stable` ones.
pub const STREAK_KEPT: usize = 32;

/// What the board must know of a service's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpec {
    /// Its key.
    pub name: Arc<str>,
    /// Services whose failure explains its own.
    pub hard_needs: Vec<Arc<str>>,
    /// Checks in file order.
    pub checks: Vec<CheckSpec>,
    /// If we run it: how long a start may take until it is judged by its checks.
    pub start_grace: Option<Duration>,
    /// The check whose first pass ends its start; none: the first pass of every critical one.
    pub ready: Option<Arc<str>>,
    /// Where the runtime is reached that runs it, which never gives it up by itself; none if we run it.
    pub runtime: Option<Arc<str>>,
    /// The services on the board that are it together, if it runs more than once.
    pub replicas: Option<Replicas>,
    /// The service that it is a replica of.
    pub replica_of: Option<ReplicaOf>,
}

/// What the board must know of a check's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckSpec {
    /// Its key.
    pub name: Arc<str>,
    /// How it is judged.
    pub policy: Policy,
    /// Whether a job pushes to it, so that looking twice at one push proves nothing.
    pub pushed: bool,
    /// Stands for what is asked and expected: a check with another one is another check.
    pub generation: u64,
}

/// One check as it stands.
#[derive(Debug, Clone)]
pub struct CheckEntry {
    /// Its id.
    pub id: CheckId,
    /// How it is judged.
    pub policy: Policy,
    /// Whether a job pushes to it.
    pub pushed: bool,
    /// Stands for what is asked and expected.
    pub generation: u64,
    /// Sequence number of the newest push that no observation has counted yet.
    pub fresh_push: Option<u64>,
    /// Streaks and the established health.
    pub state: CheckState,
    /// Health as of the last news or tick.
    pub health: Health,
    /// Since when it is that.
    pub since: Stamp,
    /// The newest observation.
    pub last: Option<Arc<Observation>>,
    /// When the first probe of the present streak of fails began.
    pub failing_since: Option<Moment>,
    /// Since when it is unknown or stale without a break.
    pub blind_since: Option<Moment>,
    /// The sequence numbers at which the passes of the present streak began, oldest first.
    pub pass_starts: VecDeque<u64>,
    /// The version that the target says it has.
    pub version: Versions,
}

/// The version that a target says it has, and the last change of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// The newest that was seen.
    pub seen: Option<String>,
    /// The last change.
    pub changed: Option<VersionChange>,
}

/// A target says that it has another version than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionChange {
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
    /// When the first probe that saw it began.
    pub at: Moment,
}

impl Versions {
    pub(super) fn learn(&mut self, observation: &Observation) {
        let Some(version) = &observation.seen.version else { return };
        let before = self.seen.replace(version.clone());
        if let Some(from) = before.filter(|before| before != version) {
            self.changed = Some(VersionChange { from, to: version.clone(), at: observation.started.at });
        }
    }
}

impl CheckEntry {
    /// Returns the reason behind the newest observation: a fail, an unknown, or a broken soft limit.
    pub fn reason(&self) -> Option<&str> {
        let last = self.last.as_ref()?;
        match &last.outcome {
            Outcome::Fail(reason) | Outcome::Unknown(reason) => Some(&reason.text),
            Outcome::Pass => last.soft.first().map(|reason| reason.text.as_str()),
        }
    }

    /// Counts a pass for the gate, or ends the streak. Of a pushed check every push counts once, however often it is
    /// looked at.
    pub(super) fn count(&mut self, passed: bool, started: u64) {
        let counts_as = if self.pushed { self.fresh_push.take() } else { Some(started) };
        match (passed, counts_as) {
            (true, Some(sequence)) => self.pass_starts.push_back(sequence),
            (true, None) => {}
            (false, _) => self.pass_starts.clear(),
        }
        if self.pass_starts.len() > STREAK_KEPT {
            self.pass_starts.pop_front();
        }
    }

    /// Returns whether we have been blind for longer than the policy allows.
    pub fn is_blind(&self, now: Moment) -> bool {
        self.blind_since.is_some_and(|since| now.since(since) > self.policy.blind_after())
    }
}

/// One service as it stands.
#[derive(Debug, Clone)]
pub struct ServiceEntry {
    /// Its configuration.
    pub spec: ServiceSpec,
    /// Its checks, in file order.
    pub checks: Vec<CheckEntry>,
    /// How its workload stands, if we run it.
    pub workload: Option<WorkloadState>,
    /// How its replicas stand together, if it has any, as of the last news or tick.
    pub together: Option<Runtime>,
    /// The verdict as of the last news or tick.
    pub verdict: Verdict,
    /// One line that says why.
    pub why: String,
    /// Since when.
    pub since: Stamp,
    /// The hard need that failed first, if that explains this service's own failure.
    pub blocked_by: Option<Arc<str>>,
    /// A change to it that somebody announced, or had.
    pub announced: Option<Announcement>,
    /// Where its runtime and its checks disagree, and since when.
    pub discrepancy: Option<(Discrepancy, Stamp)>,
    /// Whether it ever had a verdict other than unknown: its first one is no change.
    pub is_known: bool,
}

impl ServiceEntry {
    /// Returns what the verdict is made of.
    pub fn facts(&self, now: Moment) -> ServiceFacts<'_> {
        let failing = self.critical().find_map(CheckEntry::reason);
        let names = self.deciding_names();
        let own = self.workload.as_ref().map(|workload| workload.runtime(&self.spec, &names, failing, now));
        let runtime = own.or_else(|| self.together.clone()).unwrap_or(Runtime::None);
        let checks = self.checks.iter().map(|check| CheckFacts {
            name: &check.id.check,
            health: check.health,
            severity: check.policy.severity,
            reason: check.reason(),
        });
        ServiceFacts { runtime, checks: checks.collect(), asked: self.asked() }
    }

    /// Returns the service that people know: itself, or the one that it is a replica of.
    pub fn whole(&self) -> &Arc<str> {
        self.spec.replica_of.as_ref().map_or(&self.spec.name, |one| &one.whole)
    }

    /// Returns whether it is one of several that are a service together.
    pub fn is_replica(&self) -> bool {
        self.spec.replica_of.is_some()
    }

    /// Returns true while fails move no check: the workload was started, and its time to come up is not over.
    pub fn is_starting(&self, now: Moment) -> bool {
        let grace = self.spec.start_grace.unwrap_or_default();
        self.together == Some(Runtime::Starting)
            || self.workload.as_ref().is_some_and(|workload| workload.is_starting(&self.deciding_names(), grace, now))
    }

    /// Returns how it counts among the replicas of its service. Of one that nothing asks by itself, all that can be said is
    /// that it runs: whether it works is for the checks of the service.
    pub(super) fn as_replica(&self) -> Standing<'_> {
        let (verdict, why) = if self.only_runs() { (Verdict::Up, "") } else { (self.verdict, &*self.why) };
        Standing { name: &self.spec.name, verdict, why }
    }

    /// Returns whether it is a replica that runs, and that nothing asks by itself.
    pub fn only_runs(&self) -> bool {
        let runs =
            |workload: &WorkloadState| workload.unseen.is_none() && matches!(workload.phase, Phase::Running { .. });
        self.asked() == Asked::Whole && self.verdict == Verdict::Unknown && self.workload.as_ref().is_some_and(runs)
    }

    fn asked(&self) -> Asked {
        let is_asked_with = self.spec.replica_of.as_ref().is_some_and(|one| one.asked_with.is_some());
        match &self.spec.replicas {
            _ if is_asked_with => Asked::Whole,
            Some(replicas) if replicas.are_checked => Asked::Replicas,
            _ => Asked::Itself,
        }
    }

    /// Returns the checks that can make it down.
    pub fn critical(&self) -> impl Iterator<Item = &CheckEntry> {
        self.checks.iter().filter(|check| check.policy.severity == Severity::Critical)
    }

    /// Returns the checks whose first passes end a start.
    pub(super) fn deciding(&self) -> impl Iterator<Item = &CheckEntry> {
        let decides = |check: &&CheckEntry| match &self.spec.ready {
            Some(ready) => check.id.check == *ready,
            None => check.policy.severity == Severity::Critical,
        };
        self.checks.iter().filter(decides)
    }

    /// Returns their names; of a replica that is asked only with its service, those of the service's.
    fn deciding_names(&self) -> Vec<&str> {
        let with = self.spec.replica_of.iter().flat_map(|one| &one.asked_with).flatten();
        self.deciding().map(|check| &*check.id.check).chain(with.map(|name| &**name)).collect()
    }

    /// Returns true once the checks that decide on that have passed in the present run of its workload.
    pub fn is_ready(&self) -> bool {
        self.workload.as_ref().is_some_and(|workload| workload.is_ready(&self.deciding_names()))
    }

    /// Says why its runtime and its checks disagree, and what to write instead; `target` is what its first critical check
    /// asks.
    pub fn diagnosis(&self, target: Option<&str>) -> Option<Diagnosis> {
        let (discrepancy, _) = self.discrepancy?;
        let workload = self.workload.as_ref()?;
        let described = &workload.described;
        match (discrepancy, &described.health) {
            (Discrepancy::ActiveButLooping, _) => {
                Some(why_looping(workload.last_told.as_deref().unwrap_or("how is not known")))
            }
            (Discrepancy::RunningUnchecked, _) => Some(why_unchecked(&described.ports)),
            (Discrepancy::HealthyButFailing, Some(health)) => Some(why_healthy(health)),
            (Discrepancy::UnhealthyButServing, Some(health)) => {
                let serves_since = matches!(self.verdict, Verdict::Up | Verdict::Degraded).then_some(self.since.wall);
                Some(why_unhealthy(health, &Outside { target, ports: &described.ports, serves_since }))
            }
            _ => None,
        }
    }

    /// Returns true if it runs but nothing functional checks it: the discrepancy `running_unchecked`. A replica's service
    /// answers for it.
    pub fn is_unchecked(&self) -> bool {
        self.critical().next().is_none() && self.asked() == Asked::Itself
    }
}
