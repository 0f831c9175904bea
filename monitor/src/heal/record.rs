//! What is kept of a service's heals: it is on the disk before anything is restarted, so that the next monitor knows.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Stamp, elapsed};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::trouble::{Diagnosis, diagnose, has_time};
use crate::judge::{Health, ServiceEntry};
use crate::supervise::bucket::Policy;
use crate::supervise::workload::Ordered;
use crate::supervise::{Command, Who};

/// Kind of the documents that records are kept as, by service.
pub const DOCUMENTS: &str = "heal";
/// Kind of the documents that pauses are kept as, by service: whoever pauses writes them, and never what was done.
pub const PAUSES: &str = "heal_pause";
/// Key of the pause of all healing; no service can have that name.
pub const EVERYBODY: &str = "*";
/// Heals kept of one service; the oldest leave first.
const HEALS_KEPT: usize = 50;
/// How far the clock of a runtime may be behind ours.
const CLOCKS_APART: Duration = Duration::from_secs(2);
/// Beyond its start grace, for the stop, the wait that its ledger earns, and the first probes.
const SETTLE_MARGIN: Duration = Duration::from_secs(360);
/// From a refusal until it is asked again, doubled with each one after it. Most are over soon (somebody was stopping it,
/// the engine was away); what is not allowed is not asked for every second.
const REFUSED_FOR: Duration = Duration::from_secs(60);
const REFUSED_FOR_AT_MOST: Duration = Duration::from_secs(3600);

/// What we did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealAction {
    /// Restarted it.
    Restart,
    /// Started it, as it had ended.
    Start,
    /// Stopped it, to be held.
    Quarantine,
}

impl HealAction {
    /// Returns the word used in JSON and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Quarantine => "quarantine",
        }
    }

    /// Returns what to order.
    pub const fn command(self) -> Command {
        match self {
            Self::Restart => Command::Heal,
            Self::Start => Command::Start(Who::Us),
            Self::Quarantine => Command::Stop(Who::Us),
        }
    }
}

/// What came of a heal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealResult {
    /// It has not shown yet.
    Pending,
    /// Every critical check passed in the new run.
    Worked,
    /// They did not, in the time that a start may take.
    Failed,
    /// They did, and it broke again before it had run well for ten minutes.
    Relapsed,
    /// Whoever runs it did not do it.
    Refused,
}

impl HealResult {
    /// Every result, for metrics.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Worked, Self::Failed, Self::Relapsed, Self::Refused];

    /// Returns the word used in metrics, JSON and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Worked => "worked",
            Self::Failed => "failed",
            Self::Relapsed => "relapsed",
            Self::Refused => "refused",
        }
    }
}

/// One heal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heal {
    /// UUIDv7.
    pub id: Uuid,
    /// When it was decided.
    pub at: Timestamp,
    /// What was done.
    pub action: HealAction,
    /// The name of the trouble it was against.
    pub trouble: String,
    /// What was wrong, in words.
    pub why: String,
    /// What came of it.
    pub result: HealResult,
    /// When that was clear.
    pub settled: Option<Timestamp>,
    /// Why it was not done, with what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// It counts no more: it worked for long enough since, or somebody changed something.
    #[serde(default)]
    pub forgiven: bool,
}

/// A person paused healing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub at: Timestamp,
    /// Until when; none: until somebody resumes it.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

impl Pause {
    /// Returns whether it holds at a time.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// The heals of one service, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealRecord {
    /// Set while a person does not want it healed. Kept in a document of its own.
    #[serde(skip)]
    pub paused: Option<Pause>,
    /// What was done.
    pub heals: VecDeque<Heal>,
}

impl HealRecord {
    /// Returns whether a person does not want it healed at a time.
    pub fn pause(&self, now: Timestamp) -> Option<&Pause> {
        self.paused.as_ref().filter(|pause| pause.holds(now))
    }

    /// Returns what was last ordered and not refused, for whoever watches the runtime.
    pub fn ordered(&self) -> Option<Ordered> {
        self.done().next().map(|heal| Ordered { at: heal.at, command: heal.action.command() })
    }

    /// Returns what was not refused, newest first.
    pub(super) fn done(&self) -> impl Iterator<Item = &Heal> {
        self.heals.iter().rev().filter(|heal| heal.result != HealResult::Refused)
    }

    /// Returns this record with what came after it.
    #[must_use]
    pub fn followed_by(mut self, newer: Self) -> Self {
        self.heals.retain(|heal| !newer.heals.iter().any(|own| own.id == heal.id));
        newer.heals.into_iter().for_each(|heal| self.add(heal));
        Self { paused: newer.paused.or(self.paused), heals: self.heals }
    }

    /// Adds a heal that is about to be ordered.
    pub fn add(&mut self, heal: Heal) {
        if self.heals.len() == HEALS_KEPT {
            self.heals.pop_front();
        }
        self.heals.push_back(heal);
    }

    /// Takes back a heal that was decided and not ordered, and returns it.
    pub fn withdraw(&mut self, action: HealAction) -> Option<Heal> {
        self.heals.pop_back_if(|heal| heal.result == HealResult::Pending && heal.action == action)
    }

    /// Returns how many of the latest heals that were done, all against this trouble, did not help.
    pub fn in_vain(&self, trouble: &str) -> usize {
        let is_in_vain = |heal: &&Heal| {
            !heal.forgiven
                && is_like(&heal.trouble, trouble)
                && matches!(heal.result, HealResult::Failed | HealResult::Relapsed)
        };
        self.done().take_while(is_in_vain).count()
    }

    /// Returns why the latest heal was refused, and how long it is until it may be asked for again.
    pub(super) fn refusal(&self, now: Timestamp) -> Option<(&str, Duration)> {
        let is_refused = |heal: &&Heal| heal.result == HealResult::Refused && !heal.forgiven;
        let last = self.heals.back().filter(is_refused)?;
        let before = self.heals.iter().rev().skip(1).take_while(is_refused).count();
        let doublings = u32::try_from(before).unwrap_or(u32::MAX).min(16);
        let wait = REFUSED_FOR.saturating_mul(1 << doublings).min(REFUSED_FOR_AT_MOST);
        let left = wait.saturating_sub(elapsed(last.settled.unwrap_or(last.at), now));
        (!left.is_zero()).then(|| (last.refusal.as_deref().unwrap_or_default(), left))
    }

    /// Lets a person's word, or a new version, begin anew.
    pub fn forgive(&mut self) {
        self.heals.iter_mut().for_each(|heal| heal.forgiven = true);
    }

    /// Notes that whoever runs it did not do what was ordered last; returns whether that was news.
    pub fn refused(&mut self, command: Command, why: &str, now: Timestamp) -> Option<HealResult> {
        let is_it = |heal: &&mut Heal| heal.result == HealResult::Pending && heal.action.command() == command;
        let heal = self.heals.back_mut().filter(is_it)?;
        heal.refusal = Some(why.to_owned());
        Some(heal.settle(HealResult::Refused, now))
    }

    /// Looks what came of the latest heal; returns a result that is news.
    pub fn verify(&mut self, service: &ServiceEntry, now: Stamp) -> Option<HealResult> {
        let (workload, grace) = (service.workload.as_ref()?, service.spec.start_grace.unwrap_or_default());
        let stable_for = workload.ledger.policy().stable_for;
        let is_down = service.critical().any(|check| check.health == Health::Down);
        let run = workload.ledger.last();
        let announced = run.filter(|run| run.started_by == Who::Announced).map(|run| run.started.wall);
        let heal = self.heals.back_mut()?;
        if announced.is_some_and(|at| at > heal.at) {
            // Somebody restarted it on purpose: what we tried before says nothing of what runs now.
            let was_pending = heal.result == HealResult::Pending;
            let news = was_pending.then(|| heal.settle(HealResult::Failed, now.wall));
            self.forgive();
            return news;
        }
        match heal.result {
            HealResult::Pending if heal.action == HealAction::Quarantine => {
                let is_held = matches!(workload.phase, crate::judge::Phase::Resting(_));
                is_held.then(|| heal.settle(HealResult::Worked, now.wall))
            }
            HealResult::Pending => {
                // Its runtime's clock may be another one than ours.
                let run = run.filter(|run| run.started.wall + CLOCKS_APART >= heal.at);
                let is_over = run.is_some_and(|run| run.end.as_ref().is_some_and(|end| !end.planned));
                // A monitor that has just started knows the run from its record, and not yet from whoever runs it.
                let is_running = matches!(workload.phase, crate::judge::Phase::Running { .. });
                let is_late = elapsed(heal.at, now.wall) > grace + SETTLE_MARGIN;
                match run {
                    Some(_) if service.is_ready() && !is_down => Some(heal.settle(HealResult::Worked, now.wall)),
                    Some(_) if is_over || is_running && is_down && !has_time(service, now.at) => {
                        Some(heal.settle(HealResult::Failed, now.wall))
                    }
                    _ if is_late => Some(heal.settle(HealResult::Failed, now.wall)),
                    _ => None,
                }
            }
            HealResult::Worked | HealResult::Failed | HealResult::Relapsed | HealResult::Refused => {
                let since = heal.settled.unwrap_or(heal.at);
                let broke = matches!(diagnose(service, now.at), Diagnosis::Trouble(..));
                if heal.result == HealResult::Worked && broke && !heal.forgiven {
                    let is_soon = elapsed(since, now.wall) < stable_for;
                    return is_soon.then(|| heal.settle(HealResult::Relapsed, now.wall));
                }
                let works = service.is_ready() && !is_down && now.at.since(service.since.at) >= stable_for;
                if works && !heal.forgiven && elapsed(since, now.wall) >= stable_for {
                    self.forgive();
                }
                None
            }
        }
    }

    /// Returns how long it is until the next restart against this trouble may be tried, and whether it is given up.
    pub(super) fn wait(&self, trouble: &str, level: f64, policy: &Policy, now: Timestamp) -> (Duration, bool) {
        let Some(last) = self.done().next() else { return (Duration::ZERO, false) };
        let in_vain = self.in_vain(trouble);
        let (wait, from, gave_up) = match u32::try_from(in_vain).unwrap_or(u32::MAX) {
            0 if last.forgiven => return (Duration::ZERO, false),
            0 | 1 => (policy.base.mul_f64(level.exp2()).min(policy.cap), last.at, false),
            tries => (policy.try_wait(tries - 2), last.settled.unwrap_or(last.at), true),
        };
        (wait.saturating_sub(elapsed(from, now)), gave_up)
    }
}

/// A program that refuses and hangs in turn has one trouble.
fn is_like(one: &str, other: &str) -> bool {
    let is_deaf = |name: &str| name == "hang" || name == "refused";
    one == other || is_deaf(one) && is_deaf(other)
}

impl Heal {
    fn settle(&mut self, result: HealResult, now: Timestamp) -> HealResult {
        self.result = result;
        self.settled = Some(now);
        result
    }
}
