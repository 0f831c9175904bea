//! Everything that is known now, of every service. Pure: news and time come in, effects go out; readers look at it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kit::clock::{Moment, Stamp};
use uuid::Uuid;

use super::announcement::Announcement;
use super::check::{CheckState, Health};
use super::discrepancy::Discrepancy;
use super::entry::{CheckEntry, ServiceEntry};
use super::policy::Policy;
use super::verdict::{Runtime, Verdict, judge};
use crate::probe::{CheckId, Observation, Outcome};
use crate::schedule::Gap;
use crate::supervise::{Event, Excuse};

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
    /// Services of which a run has ended: what it wrote is worth writing down.
    pub ended: Vec<Arc<str>>,
    /// Exits that turned out not to be the service's fault: whoever restarts it must know.
    pub excused: Vec<(Arc<str>, Uuid, Excuse)>,
    /// Whether this is a turn of the clock: what depends on time alone is looked at too.
    pub time_passed: bool,
}

impl Effects {
    /// Adds what follows from something else at the same time.
    pub fn add(&mut self, other: Self) {
        self.verdicts.extend(other.verdicts);
        self.healths.extend(other.healths);
        self.force.extend(other.force);
        self.changed_checks.extend(other.changed_checks);
        self.changed_ledgers.extend(other.changed_ledgers);
        self.ended.extend(other.ended);
        self.excused.extend(other.excused);
        self.time_passed |= other.time_passed;
    }
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
    pub(super) services: Vec<ServiceEntry>,
    /// Where each service stands in the list.
    pub(super) places: HashMap<Arc<str>, usize>,
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

    /// Takes an observation whose probe was started with sequence number `started`.
    pub fn observe(&mut self, observation: Arc<Observation>, started: u64, now: Stamp) -> Effects {
        let mut effects = Effects::default();
        let Some(service) = self.service_mut(&observation.check.service) else { return effects };
        if service.workload.as_ref().is_some_and(|workload| started < workload.started_at) {
            // It asked the run before this one.
            return effects;
        }
        let is_starting = service.is_starting(now.at);
        let deciding: Vec<Arc<str>> = service.deciding().map(|check| check.id.check.clone()).collect();
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
        check.failing_since = match verdict_on_it {
            Some(true) => None,
            Some(false) => check.failing_since.or(Some(observation.started.at)),
            None => check.failing_since,
        };
        check.version.learn(&observation);
        check.last = Some(observation);
        if let (true, Some(passed), Some(workload)) = (deciding.contains(&name), verdict_on_it, &mut service.workload)
            && workload.heard(&name, passed, &deciding)
        {
            effects.changed_ledgers.push(service.spec.name.clone());
        }
        // A dependant's first fail asks at once whether what it needs still works: the root cause comes first.
        let first_fail = state.fails == 1 && before.fails == 0;
        let needs = if first_fail { service.spec.hard_needs.clone() } else { Vec::new() };
        let service = service.spec.name.clone();
        for need in needs {
            effects.force.extend(self.critical_checks(&need));
        }
        if verdict_on_it == Some(true) && deciding.contains(&name) {
            self.heard_of_whole(&service, &name, started, now, &mut effects);
        }
        self.refresh(&service, now, &mut effects);
        effects
    }

    /// Notes that a service as a whole passed a check: that is all that is heard of replicas which nothing asks by itself.
    fn heard_of_whole(&mut self, whole: &str, check: &Arc<str>, started: u64, now: Stamp, effects: &mut Effects) {
        for name in self.replicas_of(whole) {
            let Some(replica) = self.service_mut(&name) else { continue };
            let with = replica.spec.replica_of.as_ref().and_then(|one| one.asked_with.clone());
            let (Some(with), Some(workload)) = (with, &mut replica.workload) else { continue };
            if started >= workload.started_at && workload.heard(check, true, &with) {
                effects.changed_ledgers.push(name.clone());
                self.refresh_alone(&name, now, effects);
            }
        }
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
        let event = &service.announced.as_ref().map_or_else(|| event.clone(), |announced| announced.explain(event));
        let change = workload.take(event, sequence);
        match event {
            Event::Waiting { delay, .. } => workload.next_try = Some(now.at + *delay),
            Event::Started { .. } | Event::Resting { .. } => workload.next_try = None,
            _ => {}
        }
        workload.unseen_since = workload.unseen.as_ref().map(|_| workload.unseen_since.unwrap_or(now.at));
        if change.began {
            for check in &mut service.checks {
                check.state = check.state.restarted();
                check.pass_starts.clear();
            }
        }
        if matches!(
            event,
            Event::Started { .. } | Event::Ended { .. } | Event::Identified { .. } | Event::Missed { .. }
        ) {
            effects.changed_ledgers.push(name.clone());
        }
        if change.ended {
            effects.ended.push(name.clone());
        }
        if change.ended_unplanned {
            self.excuse_by_need(&name, now, &mut effects);
            self.excuse_by_host(now, &mut effects);
        }
        // An exit or a start decides at once what the next turn would have found out.
        if matches!(event, Event::Started { .. } | Event::Ended { .. } | Event::Resting { .. }) {
            let whole = self.service(&name).map(|service| service.whole().clone()).filter(|whole| *whole != name);
            let asked = [Some(name.clone()), whole].into_iter().flatten().filter_map(|name| self.service(&name));
            effects.force = asked.flat_map(ServiceEntry::critical).map(|check| check.id.clone()).collect();
        }
        self.refresh(&name, now, &mut effects);
        effects
    }

    /// Notes the digest of the program that a service's run runs.
    pub fn learn_digest(&mut self, service: &Arc<str>, run: Uuid, digest: String) -> Effects {
        let mut effects = Effects::default();
        if let Some(workload) = self.service_mut(service).and_then(|service| service.workload.as_mut()) {
            workload.learned(run, digest);
            effects.changed_ledgers.push(service.clone());
        }
        effects
    }

    /// Notes that a change to a service and all of its replicas is announced, or not any more; false if there is no such
    /// service.
    pub fn announce(&mut self, service: &str, announcement: Option<Announcement>) -> bool {
        let Some(entry) = self.service_mut(service) else { return false };
        entry.announced.clone_from(&announcement);
        for replica in self.replicas_of(service) {
            self.announce(&replica, announcement.clone());
        }
        true
    }

    /// Notes why restarting a service is given up, or that it is not any more.
    pub fn give_up(&mut self, service: &Arc<str>, why: Option<String>, now: Stamp) -> Effects {
        let mut effects = Effects::default();
        if let Some(workload) = self.service_mut(service).and_then(|service| service.workload.as_mut()) {
            workload.given_up = why;
            self.refresh(service, now, &mut effects);
        }
        effects
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

    pub(super) fn service_mut(&mut self, name: &str) -> Option<&mut ServiceEntry> {
        self.services.get_mut(*self.places.get(name)?)
    }

    /// Returns the checks that tell whether a service works, and whether what it needs does.
    pub fn checks_behind(&self, service: &str) -> Vec<CheckId> {
        let needs = self.service(service).into_iter().flat_map(|service| &service.spec.hard_needs);
        let names = needs.map(|need| &**need).chain([service]);
        names.flat_map(|name| self.critical_checks(name)).collect()
    }

    fn critical_checks(&self, service: &str) -> Vec<CheckId> {
        let service = self.service(service).into_iter();
        let asked = service.flat_map(|service| [service].into_iter().chain(self.replicas(service)));
        asked.flat_map(ServiceEntry::critical).map(|check| check.id.clone()).collect()
    }

    /// Works out health and verdict of one service anew, and of the one that it is a replica of.
    fn refresh(&mut self, name: &str, now: Stamp, effects: &mut Effects) {
        self.refresh_alone(name, now, effects);
        let whole = self.service(name).filter(|service| service.is_replica()).map(|replica| replica.whole().clone());
        if let Some(whole) = whole {
            self.refresh_alone(&whole, now, effects);
        }
    }

    fn refresh_alone(&mut self, name: &str, now: Stamp, effects: &mut Effects) {
        let blocked_by = self.blocker(name);
        let together = self.together(name);
        let Some(service) = self.service_mut(name) else { return };
        // Too few of its replicas ran on: what its checks found before is of others.
        if together == Some(Runtime::Starting) && service.together != Some(Runtime::Starting) {
            for check in &mut service.checks {
                check.state = check.state.restarted();
                check.pass_starts.clear();
            }
        }
        service.together = together;
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
        let turned_bad = verdict.is_bad() && !service.verdict.is_bad();
        service.verdict = verdict;
        service.why = why;
        let discrepancy = Discrepancy::of(service, now.at);
        if discrepancy != service.discrepancy.map(|(known, _)| known) {
            service.discrepancy = discrepancy.map(|kind| (kind, now));
        }
        service.blocked_by = if verdict.is_bad() { blocked_by } else { None };
        if turned_bad {
            self.excuse_dependants(name, now, effects);
        }
    }

    /// Returns the hard need, direct or through others, that is bad and was so first.
    pub(super) fn blocker(&self, name: &str) -> Option<Arc<str>> {
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

/// Long streaks of the same are not news; everything that decides the next transition is.
fn is_worth_writing(before: &CheckState, after: &CheckState, policy: &Policy) -> bool {
    let enough = policy.recover_after.get();
    (before.established, before.fails, before.passes.min(enough))
        != (after.established, after.fails, after.passes.min(enough))
        || before.flap.is_flapping() != after.flap.is_flapping()
}

#[cfg(test)]
#[path = "board_tests.rs"]
pub(super) mod tests;
