//! Class and facts give an action.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::action::{Action, Alarm, Decision, Reason};
use super::canary::Canary;
use super::class::Class;
use super::error_facts::ErrorFacts;
use super::facts::JobFacts;
use super::retry::Retry;
use super::rule::Rule;

/// Redrives of what is critical and ambiguous, at most: the second try is a person's.
const CRITICAL_AMBIGUOUS_TRIES: u32 = 1;

/// A failed job, as far as a decision needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its queue.
    pub queue: String,
    /// The job's name.
    pub name: String,
    /// What its failure says.
    pub error: ErrorFacts,
    /// How often its worker was not heard of again.
    pub stalls: u32,
    /// Whether other jobs wait for it.
    pub is_in_flow: bool,
    /// When it failed.
    pub failed_at: Timestamp,
    /// When this was seen for the first time.
    pub seen_at: Timestamp,
}

/// What is in the ledger of the same job already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// How often it was redriven without anybody's asking.
    pub redrives: u32,
    /// When it first failed.
    pub first_failed_at: Timestamp,
}

/// All that decides.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What is known of jobs.
    pub jobs: Vec<JobFacts>,
    /// In their order; the first that knows a failure counts.
    pub rules: Vec<Rule>,
    /// How classes are redriven.
    pub retries: BTreeMap<Class, Retry>,
    /// Which classes send canaries of what is parked.
    pub canaries: BTreeMap<Class, Canary>,
    /// What failed longer than this before it was first seen is no longer redriven without being asked for.
    pub max_age: Duration,
}

impl Policy {
    /// Decides on a letter at the time `now`, for a `random` number from 0 to 1.
    pub fn decide(&self, letter: &Letter, past: Past, now: Timestamp, random: f64) -> Decision {
        let facts = JobFacts::of(&self.jobs, &letter.queue, &letter.name);
        let rule = self.rule(letter, facts.idempotent == Some(true));
        let class = rule.map_or(Class::Unknown, |rule| rule.class);
        let decided = |action, reason, alarm| {
            let alarm = if facts.critical { raised(alarm) } else { alarm };
            Decision { rule: rule.map(|rule| rule.id.clone()), class, action, reason, alarm }
        };
        let by_class = |action, alarm| decided(action, Reason::Class, alarm);
        // No canary is sent of what belongs to a flow.
        let waits = if letter.is_in_flow { Reason::Flow } else { Reason::Class };
        let escalated_if_critical = if facts.critical { Action::Escalate } else { Action::Park };
        match class {
            Class::Poison => return by_class(Action::Quarantine, Alarm::Ticket),
            Class::Malformed => return by_class(escalated_if_critical, Alarm::Ticket),
            Class::Unknown => return decided(escalated_if_critical, waits, Alarm::Ticket),
            Class::Auth => return decided(Action::Park, self.doubted(letter, facts.idempotent, waits), Alarm::Ticket),
            Class::TransientAmbiguous if facts.idempotent != Some(true) => {
                return decided(Action::Escalate, Reason::MayBeDone, Alarm::Ticket);
            }
            Class::Transient | Class::TransientAmbiguous | Class::Throttled => {}
        }
        let Some(retry) = self.retries.get(&class) else { return by_class(Action::Park, Alarm::Ticket) };
        let is_delicate = facts.critical && class == Class::TransientAmbiguous;
        if let Some(reason) = self.held_back(letter, past, retry, is_delicate, now) {
            return decided(escalated_if_critical, reason, Alarm::Ticket);
        }
        let asked = letter.error.retry_after.unwrap_or_default().min(retry.within);
        // Of what is critical somebody hears when it comes back again, and at once if it may have been done.
        let is_told = facts.critical && (is_delicate || past.redrives >= 2);
        let alarm = if is_told { Alarm::Ticket } else { Alarm::None };
        let wait = retry.wait(past.redrives, random).max(asked);
        Decision { alarm, ..by_class(Action::Redrive(wait), Alarm::None) }
    }

    /// Why what was refused waits: with a sign that it may have been done it is no canary, unless twice does no harm.
    fn doubted(&self, letter: &Letter, idempotent: Option<bool>, otherwise: Reason) -> Reason {
        let knows = |rule: &Rule| rule.knows(&letter.queue, &letter.name, &letter.error, letter.stalls);
        let is_doubtful = self.rules.iter().any(|rule| rule.class == Class::TransientAmbiguous && knows(rule));
        if otherwise == Reason::Class && idempotent != Some(true) && is_doubtful {
            Reason::MayBeDone
        } else {
            otherwise
        }
    }

    /// Returns how letters of a class send canaries, if they do. Never where doing it twice may do harm: what nobody believed was
    /// not done, and of what no rule knows somebody must say that it does none.
    pub fn canary(&self, class: Class, queue: &str, name: &str) -> Option<&Canary> {
        let idempotent = JobFacts::of(&self.jobs, queue, name).idempotent;
        let is_harmless = if class == Class::Auth { idempotent != Some(false) } else { idempotent == Some(true) };
        self.canaries.get(&class).filter(|_| is_harmless)
    }

    /// The first that knows the failure. Where doing it twice may do harm, a sign that it may have been done counts more than one
    /// that it was not: a failure has often several in its words.
    fn rule(&self, letter: &Letter, is_idempotent: bool) -> Option<&Rule> {
        let knows = |rule: &&Rule| rule.knows(&letter.queue, &letter.name, &letter.error, letter.stalls);
        let first = self.rules.iter().find(knows)?;
        let is_redriven = matches!(first.class, Class::Transient | Class::Throttled);
        let doubt = self.rules.iter().filter(|rule| rule.class == Class::TransientAmbiguous).find(knows);
        Some(doubt.filter(|_| is_redriven && !is_idempotent).unwrap_or(first))
    }

    fn held_back(
        &self,
        letter: &Letter,
        past: Past,
        retry: &Retry,
        is_delicate: bool,
        now: Timestamp,
    ) -> Option<Reason> {
        let tries = if is_delicate { retry.tries.min(CRITICAL_AMBIGUOUS_TRIES) } else { retry.tries };
        let longer = |from: Timestamp, to: Timestamp, than: Duration| {
            Duration::try_from(to.duration_since(from)).is_ok_and(|passed| passed > than)
        };
        if letter.is_in_flow {
            Some(Reason::Flow)
        } else if longer(letter.failed_at, letter.seen_at, self.max_age) {
            Some(Reason::Old)
        } else if past.redrives >= tries {
            Some(Reason::TriesSpent)
        } else if longer(past.first_failed_at, now, retry.within) {
            Some(Reason::TimeSpent)
        } else {
            None
        }
    }
}

/// What is critical wakes somebody a step sooner.
fn raised(alarm: Alarm) -> Alarm {
    match alarm {
        Alarm::None => Alarm::Ticket,
        Alarm::Ticket | Alarm::Page => Alarm::Page,
    }
}
