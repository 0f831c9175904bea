//! Asking by another way before a restart: whom, about which fails, and what the answers are good for. Pure.
//!
//! Where what fails can be asked by another way too, a restart waits for the answer, at most as long as a probe may take. If
//! everything passes that way, only we cannot reach it; if not, or if we could not ask, there is no excuse.

use std::sync::Arc;
use std::time::Duration;

use kit::clock::Moment;
use uuid::Uuid;

use super::decide::Decision;
use super::hold::Hold;
use super::record::HealAction;
use crate::judge::{CheckEntry, Health, Phase, ServiceEntry};
use crate::probe::{Address, CheckId, Detour, Observation, Outcome};

/// An answer that licenses a restart is not older than this; the restart comes within [`super::ward`]'s jitter of it.
const FRESH_FOR: Duration = Duration::from_secs(15);
/// While it passes by the other way it is asked again this often.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// A pass holds so long: it is asked again before that, and must not hold for ever where that is put off.
const PASS_HOLDS_FOR: Duration = Duration::from_secs(60);
/// A probe ends in its time, and is heard of in the turn after that: this much later it is waited for no more.
const SLACK: Duration = Duration::from_secs(1);

/// Where a check connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The check's key.
    pub check: Arc<str>,
    /// Where.
    pub address: Address,
    /// How long one probe may take.
    pub timeout: Duration,
}

/// A service that is to be asked by another way. It comes back with what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// The service.
    pub service: Arc<str>,
    /// Everything that fails, each with its other way.
    pub checks: Vec<Inquired>,
    /// The run that is asked; what is heard of another one says nothing of it.
    run: Uuid,
    /// When.
    at: Moment,
    /// The longest timeout of its checks.
    patience: Duration,
}

/// One check that is to be asked by another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquired {
    /// The check.
    pub check: CheckId,
    /// The way.
    pub detour: Detour,
    /// When its streak of fails began: what is heard in one streak says nothing of another.
    failing_since: Moment,
}

/// What is known of a service by another way.
#[derive(Debug, Clone, Default)]
pub(super) struct Elsewhere {
    stops: Vec<Stop>,
    waiting: Option<Inquiry>,
    known: Option<Known>,
}

#[derive(Debug, Clone)]
struct Known {
    asked: Inquiry,
    at: Moment,
    /// What answered where; none if not everything did.
    works: Option<String>,
}

impl Inquiry {
    /// Returns what to ask of a service that fails; none if anything that fails cannot be asked by another way.
    pub(super) fn of(service: &ServiceEntry, stops: &[Stop], now: Moment) -> Option<Self> {
        let workload = service.workload.as_ref()?;
        let Phase::Running { run, .. } = workload.phase else { return None };
        let ways = &workload.described.ways;
        let mut patience = Duration::ZERO;
        let mut inquired = |check: &CheckEntry| {
            let stop = stops.iter().find(|stop| stop.check == check.id.check)?;
            let found = check.last.as_ref().and_then(|last| last.seen.address).map(|found| found.ip());
            let detour = Detour::around(&stop.address, found, ways.iter().map(|way| (way.outside, way.inside)))?;
            patience = patience.max(stop.timeout);
            Some(Inquired { check: check.id.clone(), detour, failing_since: check.failing_since? })
        };
        let failing = service.critical().filter(|check| check.health == Health::Down);
        let checks: Vec<Inquired> = failing.map(&mut inquired).collect::<Option<_>>()?;
        (!checks.is_empty()).then(|| Self { service: service.spec.name.clone(), checks, run, at: now, patience })
    }

    /// Returns whether both ask the same of the same run in the same streaks of fails.
    fn is_like(&self, other: &Self) -> bool {
        self.run == other.run && self.checks == other.checks
    }

    /// Says what answered where, if all of it did.
    fn works(&self, found: &[Observation]) -> Option<String> {
        let mut answers = Vec::new();
        let mut around: Vec<String> = Vec::new();
        for inquired in &self.checks {
            let passed = |one: &&Observation| one.check == inquired.check && one.outcome == Outcome::Pass;
            let address = found.iter().find(passed)?.seen.address?;
            answers.push(format!("{} answers at {address}", inquired.check.check));
            let from = inquired.detour.from().to_string();
            if !around.contains(&from) {
                around.push(from);
            }
        }
        let does = if around.len() == 1 { "the way by {} does not work" } else { "the ways by {} do not work" };
        let does = does.replace("{}", &around.join(" and "));
        Some(format!("{}, its own address; {does}", answers.join(", ")))
    }
}

impl Elsewhere {
    /// Takes where the checks connect to.
    pub(super) fn configure(&mut self, stops: Vec<Stop>) {
        self.stops = stops;
    }

    /// Waits for no answer, and knows none.
    pub(super) fn forget(&mut self) {
        (self.waiting, self.known) = (None, None);
    }

    /// Returns where everything that fails was found to work.
    pub(super) fn works(&self, service: &ServiceEntry, now: Moment) -> Option<String> {
        self.passed(&Inquiry::of(service, &self.stops, now)?, now).map(str::to_owned)
    }

    /// Returns whether a decision may be carried out: what can be asked by another way was, and fails that way too.
    pub(super) fn clears(&self, service: &ServiceEntry, decision: &Decision, now: Moment) -> bool {
        !is_restart(decision) || Inquiry::of(service, &self.stops, now).is_none_or(|inquiry| self.failed(&inquiry, now))
    }

    /// Returns what to ask now, before `decision` is carried out or while it holds; the answer is waited for.
    pub(super) fn inquire(&mut self, service: &ServiceEntry, decision: &Decision, now: Moment) -> Option<Inquiry> {
        let is_blamed = matches!(decision, Decision::Hold(Hold::OnlyWeCannotReach(_)));
        if self.waiting.is_some() || !(is_blamed || is_restart(decision)) {
            return None;
        }
        let inquiry = Inquiry::of(service, &self.stops, now)?;
        let is_old = |known: &Known| known.works.is_some() && now.since(known.at) >= ASK_AGAIN_AFTER;
        let is_due = if is_blamed { self.known(&inquiry).is_some_and(is_old) } else { !self.failed(&inquiry, now) };
        is_due.then(|| self.waiting.insert(inquiry).clone())
    }

    /// Returns whether an answer is waited for.
    pub(super) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes what was found; what was not waited for says nothing. Returns where it works, if everything passed.
    pub(super) fn answered(&mut self, inquiry: &Inquiry, found: &[Observation], now: Moment) -> Option<String> {
        let is_late = |known: &Known| known.asked == *inquiry && inquiry.works(found).is_some();
        let late = self.known.as_ref().filter(|known| is_late(known)).map(|known| known.asked.clone());
        // That it works after all is good news until somebody has acted on the silence.
        let asked = self.waiting.take_if(|waiting| waiting == inquiry).or(late)?;
        let works = asked.works(found);
        self.known.insert(Known { asked, at: now, works }).works.clone()
    }

    /// Waits no more for an answer that should be here: that we cannot ask is no excuse.
    pub(super) fn lapse(&mut self, now: Moment) {
        let is_late = |waiting: &mut Inquiry| now.since(waiting.at) > waiting.patience + SLACK;
        if let Some(asked) = self.waiting.take_if(is_late) {
            self.known = Some(Known { asked, at: now, works: None });
        }
    }

    fn passed(&self, inquiry: &Inquiry, now: Moment) -> Option<&str> {
        self.known(inquiry).filter(|known| now.since(known.at) < PASS_HOLDS_FOR)?.works.as_deref()
    }

    fn failed(&self, inquiry: &Inquiry, now: Moment) -> bool {
        self.known(inquiry).is_some_and(|known| known.works.is_none() && now.since(known.at) <= FRESH_FOR)
    }

    fn known(&self, inquiry: &Inquiry) -> Option<&Known> {
        self.known.as_ref().filter(|known| known.asked.is_like(inquiry))
    }
}

/// Only what runs is restarted; what ended is started, and its runtime told us itself that it did.
const fn is_restart(decision: &Decision) -> bool {
    matches!(decision, Decision::Act(HealAction::Restart, ..))
}

#[cfg(test)]
#[path = "elsewhere_tests.rs"]
mod tests;
