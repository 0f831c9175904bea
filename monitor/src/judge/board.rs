//! Everything that is known now, of every service. Pure: news and time come in, effects go out; readers look at it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kit::clock::{Moment, Stamp};
use uuid::Uuid;

use super::check::{CheckState, Health};
use super::policy::{Policy, Severity};
use super::verdict::{CheckFacts, Runtime, ServiceFacts, Verdict, judge};
use super::workload::WorkloadState;
use crate::probe::{CheckId, Observation, Outcome};
use crate::schedule::Gap;
use crate::supervise::Event;

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
    fn count(&mut self, passed: bool, started: u64) {
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
    /// The verdict as of the last news or tick.
    pub verdict: Verdict,
    /// One line that says why.
    pub why: String,
    /// Since when.
    pub since: Stamp,
    /// The hard need that failed first, if that explains this service's own failure.
    pub blocked_by: Option<Arc<str>>,
    /// Whether it ever had a verdict other than unknown: its first one is no change.
    pub is_known: bool,
}

/// What follows from news.
#[derive(Debug, Default)]
pub struct Effects {
    /// Services whose verdict changed: index, before, after. The first verdict of a service comes without a before.
    pub verdicts: Vec<VerdictChange>,
    /// Checks whose health changed.
    pub healths: Vec<(CheckId, Health)>,
    /// Checks to ask at once.
    pub force: Vec<CheckId>,
    /// Checks whose state is worth writing down.
    pub changed_checks: Vec<CheckId>,
    /// Services whose ledger is worth writing down.
    pub changed_ledgers: Vec<Arc<str>>,
    /// Whether this is a turn of the clock: what depends on time alone is looked at too.
    pub time_passed: bool,
}

/// A service's verdict changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictChange {
    /// The service.
    pub service: Arc<str>,
    /// Before, if it had one.
    pub from: Option<Verdict>,
    /// After.
    pub to: Verdict,
    /// Why.
    pub why: String,
    /// When.
    pub at: Stamp,
}

/// The board. One writer; readers take it for moments.
#[derive(Debug, Default)]
pub struct Board {
    services: Vec<ServiceEntry>,
    /// Where each service stands in the list.
    places: HashMap<Arc<str>, usize>,
    sequence: u64,
}

impl Board {
    /// Starts with a sequence above every number that an earlier monitor gave out.
    pub fn starting_at(sequence: u64) -> Self {
        Self { sequence, ..Self::default() }
    }

    /// Returns the present sequence number: every probe start, run start and run end has one of its own.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Gives out the next sequence number.
    pub fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Returns every service, in file order.
    pub fn services(&self) -> &[ServiceEntry] {
        &self.services
    }

    /// Finds a service.
    pub fn service(&self, name: &str) -> Option<&ServiceEntry> {
        self.services.get(*self.places.get(name)?)
    }

    /// Finds a check.
    pub fn check(&self, id: &CheckId) -> Option<&CheckEntry> {
        self.service(&id.service)?.checks.iter().find(|check| check.id == *id)
    }

    /// Takes a new configuration: services and checks that stay keep what is known of them, unless `restored` knows more
    /// of a check that is new.
    pub fn configure(
        &mut self,
        specs: Vec<ServiceSpec>,
        now: Stamp,
        mut restored: impl FnMut(&CheckId) -> Option<CheckState>,
    ) {
        let mut known: Vec<ServiceEntry> = std::mem::take(&mut self.services);
        for spec in specs {
            let before =
                known.iter().position(|service| service.spec.name == spec.name).map(|index| known.swap_remove(index));
            let (mut checks_before, workload, verdict, why, since, is_known) = match before {
                Some(entry) => (entry.checks, entry.workload, entry.verdict, entry.why, entry.since, entry.is_known),
                None => (Vec::new(), None, Verdict::Unknown, "not asked yet".to_owned(), now, false),
            };
            let checks = spec.checks.iter().map(|check| {
                let id = CheckId { service: spec.name.clone(), check: check.name.clone() };
                // Another question's answers say nothing: its state begins anew.
                let known = |entry: &CheckEntry| entry.id == id && entry.generation == check.generation;
                let kept = checks_before.iter().position(known).map(|index| checks_before.swap_remove(index));
                kept.map(|entry| CheckEntry { policy: check.policy, ..entry }).unwrap_or_else(|| {
                    let state = restored(&id).unwrap_or_default();
                    let health = state.health(&check.policy, now.at);
                    CheckEntry {
                        id,
                        policy: check.policy,
                        pushed: check.pushed,
                        generation: check.generation,
                        fresh_push: None,
                        state,
                        health,
                        since: now,
                        last: None,
                        failing_since: None,
                        blind_since: Some(now.at).filter(|_| matches!(health, Health::Unknown | Health::Stale)),
                        pass_starts: VecDeque::new(),
                    }
                })
            });
            let checks = checks.collect();
            let workload = if spec.start_grace.is_some() { Some(workload.unwrap_or_default()) } else { None };
            self.services.push(ServiceEntry {
                spec,
                checks,
                workload,
                verdict,
                why,
                since,
                blocked_by: None,
                is_known,
            });
        }
        let names = self.services.iter().map(|service| service.spec.name.clone());
        self.places = names.zip(0..).collect();
    }

    /// Gives what is known of a service to another name, before the configuration that names it so is taken.
    pub fn rename(&mut self, old: &str, new: &Arc<str>) {
        if self.places.contains_key(new) {
            return;
        }
        let Some(place) = self.places.remove(old) else { return };
        self.places.insert(new.clone(), place);
        if let Some(service) = self.services.get_mut(place) {
            service.spec.name = new.clone();
            for check in &mut service.checks {
                check.id.service = new.clone();
            }
        }
    }

    /// Gives a service the workload state (its ledger above all) that an earlier monitor left.
    pub fn restore_workload(&mut self, name: &str, state: WorkloadState) {
        if let Some(workload) = self.service_mut(name).and_then(|service| service.workload.as_mut()) {
            *workload = state;
        }
    }

    /// Gives a service the verdict that an earlier monitor last wrote, so that a restart is no change.
    pub fn restore_verdict(&mut self, name: &str, verdict: Verdict, why: String, since: Stamp) {
        if let Some(service) = self.service_mut(name) {
            (service.verdict, service.why, service.since, service.is_known) = (verdict, why, since, true);
        }
    }

    /// Takes an observation whose probe was started with sequence number `started`.
    pub fn observe(&mut self, observation: Arc<Observation>, started: u64, now: Stamp) -> Effects {
        let mut effects = Effects::default();
        let Some(service) = self.service_mut(&observation.check.service) else { return effects };
        if service.workload.as_ref().is_some_and(|workload| started < workload.started_at) {
            // It asked the run before this one.
            return effects;
        }
        let is_starting = service.is_starting(now.at);
        let critical: Vec<Arc<str>> = service.critical().map(|check| check.id.check.clone()).collect();
        let Some(check) = service.checks.iter_mut().find(|check| check.id == observation.check) else { return effects };
        let before = check.state;
        // Before the first pass after a start, fails move no check.
        let state = match &observation.outcome {
            Outcome::Fail(_) if is_starting => CheckState { heard_at: Some(now.at), ..before },
            outcome => before.step(outcome, !observation.soft.is_empty(), &check.policy, now.at).0,
        };
        check.state = state;
        check.count(observation.outcome == Outcome::Pass, started);
        if is_worth_writing(&before, &state, &check.policy) {
            effects.changed_checks.push(check.id.clone());
        }
        let verdict_on_it = match observation.outcome {
            Outcome::Pass => Some(true),
            Outcome::Fail(_) => Some(false),
            Outcome::Unknown(_) => None,
        };
        let name = check.id.check.clone();
        let is_critical = check.policy.severity == Severity::Critical;
        check.failing_since = match verdict_on_it {
            Some(true) => None,
            Some(false) => check.failing_since.or(Some(observation.started.at)),
            None => check.failing_since,
        };
        check.last = Some(observation);
        if let (true, Some(passed), Some(workload)) = (is_critical, verdict_on_it, &mut service.workload) {
            workload.heard(&name, passed, &critical);
        }
        // A dependant's first fail asks at once whether what it needs still works: the root cause comes first.
        let first_fail = state.fails == 1 && before.fails == 0;
        let needs = if first_fail { service.spec.hard_needs.clone() } else { Vec::new() };
        let service = service.spec.name.clone();
        for need in needs {
            effects.force.extend(self.critical_checks(&need));
        }
        self.refresh(&service, now, &mut effects);
        effects
    }

    /// Notes that a job pushed to a check.
    pub fn push(&mut self, id: &CheckId) {
        let sequence = self.next_sequence();
        let check =
            self.service_mut(&id.service).and_then(|service| service.checks.iter_mut().find(|check| check.id == *id));
        if let Some(check) = check {
            check.fresh_push = Some(sequence);
        }
    }

    /// Takes an event of a workload.
    pub fn runtime(&mut self, event: &Event, now: Stamp) -> Effects {
        let mut effects = Effects::default();
        let sequence = self.next_sequence();
        let name: Arc<str> = event.service().into();
        let Some(service) = self.service_mut(&name) else { return effects };
        let Some(workload) = &mut service.workload else { return effects };
        let is_new_run = workload.take(event, sequence);
        if is_new_run {
            for check in &mut service.checks {
                check.state = check.state.restarted();
                check.pass_starts.clear();
            }
        }
        effects.changed_ledgers.push(name.clone());
        // An exit or a start decides at once what the next turn would have found out.
        effects.force = self.critical_checks(&name);
        self.refresh(&name, now, &mut effects);
        effects
    }

    /// Notes the digest of the program that a service's run runs.
    pub fn learn_digest(&mut self, service: &str, run: Uuid, digest: String) {
        if let Some(workload) = self.service_mut(service).and_then(|service| service.workload.as_mut()) {
            workload.learned(run, digest);
        }
    }

    /// Lets time pass: news grows old, graces end.
    pub fn tick(&mut self, now: Stamp) -> Effects {
        let mut effects = Effects::default();
        let names: Vec<Arc<str>> = self.services.iter().map(|service| service.spec.name.clone()).collect();
        for name in names {
            self.refresh(&name, now, &mut effects);
        }
        effects
    }

    /// Tells that nobody looked for a while.
    pub fn gap(&mut self, gap: Gap) {
        for check in self.services.iter_mut().flat_map(|service| &mut service.checks) {
            check.state = check.state.after_gap(gap.to);
            check.pass_starts.clear();
            check.blind_since = check.blind_since.map(|_| gap.to);
        }
    }

    fn service_mut(&mut self, name: &str) -> Option<&mut ServiceEntry> {
        self.services.get_mut(*self.places.get(name)?)
    }

    /// Returns the checks that tell whether a service works, and whether what it needs does.
    pub fn checks_behind(&self, service: &str) -> Vec<CheckId> {
        let needs = self.service(service).into_iter().flat_map(|service| &service.spec.hard_needs);
        let names = needs.map(|need| &**need).chain([service]);
        names.flat_map(|name| self.critical_checks(name)).collect()
    }

    fn critical_checks(&self, service: &str) -> Vec<CheckId> {
        self.service(service).into_iter().flat_map(ServiceEntry::critical).map(|check| check.id.clone()).collect()
    }

    /// Works out health and verdict of one service anew.
    fn refresh(&mut self, name: &str, now: Stamp, effects: &mut Effects) {
        let blocked_by = self.blocker(name);
        let Some(service) = self.service_mut(name) else { return };
        for check in &mut service.checks {
            let health = check.state.health(&check.policy, now.at);
            let is_blind = matches!(health, Health::Unknown | Health::Stale);
            check.blind_since = if is_blind { check.blind_since.or(Some(now.at)) } else { None };
            if health != check.health {
                check.health = health;
                check.since = now;
                effects.healths.push((check.id.clone(), health));
            }
        }
        let (verdict, why) = judge(&service.facts(now.at));
        if verdict != service.verdict {
            let from = Some(service.verdict).filter(|_| service.is_known);
            let change =
                VerdictChange { service: service.spec.name.clone(), from, to: verdict, why: why.clone(), at: now };
            effects.verdicts.push(change);
            service.since = now;
            service.is_known = true;
        }
        service.verdict = verdict;
        service.why = why;
        service.blocked_by = if verdict.is_bad() { blocked_by } else { None };
    }

    /// Returns the hard need, direct or through others, that is bad and was so first.
    fn blocker(&self, name: &str) -> Option<Arc<str>> {
        let own = self.service(name)?;
        let own_since = if own.verdict.is_bad() { own.since.at } else { Moment::from_ms(i64::MAX) };
        let mut to_see = own.spec.hard_needs.clone();
        let mut seen: Vec<Arc<str>> = Vec::new();
        let mut root: Option<&ServiceEntry> = None;
        while let Some(need) = to_see.pop() {
            if seen.contains(&need) {
                continue;
            }
            seen.push(need.clone());
            let Some(service) = self.service(&need) else { continue };
            to_see.extend(service.spec.hard_needs.iter().cloned());
            // The need may be found down a little after its dependant: both belong to one failure.
            let is_earlier = service.since.at <= own_since + Duration::from_secs(10);
            if service.verdict.is_bad() && is_earlier && root.is_none_or(|root| service.since.at < root.since.at) {
                root = Some(service);
            }
        }
        root.map(|service| service.spec.name.clone())
    }
}

impl ServiceEntry {
    /// Returns what the verdict is made of.
    pub fn facts(&self, now: Moment) -> ServiceFacts<'_> {
        let grace = self.spec.start_grace.unwrap_or_default();
        let failing = self.critical().find_map(CheckEntry::reason);
        let names = self.critical_names();
        let runtime =
            self.workload.as_ref().map_or(Runtime::None, |workload| workload.runtime(&names, grace, failing, now));
        let checks = self.checks.iter().map(|check| CheckFacts {
            name: &check.id.check,
            health: check.health,
            severity: check.policy.severity,
            reason: check.reason(),
        });
        ServiceFacts { runtime, checks: checks.collect() }
    }

    /// Returns true while fails move no check: the workload was started, and its time to come up is not over.
    pub fn is_starting(&self, now: Moment) -> bool {
        let grace = self.spec.start_grace.unwrap_or_default();
        self.workload.as_ref().is_some_and(|workload| workload.is_starting(&self.critical_names(), grace, now))
    }

    /// Returns the checks that can make it down.
    pub fn critical(&self) -> impl Iterator<Item = &CheckEntry> {
        self.checks.iter().filter(|check| check.policy.severity == Severity::Critical)
    }

    fn critical_names(&self) -> Vec<&str> {
        self.critical().map(|check| &*check.id.check).collect()
    }

    /// Returns true once every critical check has passed in the present run of its workload.
    pub fn is_ready(&self) -> bool {
        self.workload.as_ref().is_some_and(|workload| workload.is_ready(&self.critical_names()))
    }

    /// Returns true if it runs but nothing functional checks it: the discrepancy `running_unchecked`.
    pub fn is_unchecked(&self) -> bool {
        self.critical().next().is_none()
    }
}

/// Long streaks of the same are not news; everything that decides the next transition is.
fn is_worth_writing(before: &CheckState, after: &CheckState, policy: &Policy) -> bool {
    let enough = policy.recover_after.get();
    (before.established, before.fails, before.passes.min(enough))
        != (after.established, after.fails, after.passes.min(enough))
        || before.flap.is_flapping() != after.flap.is_flapping()
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
