//! What is wrong, by what is so now and was so before. Pure: facts and time come in, conditions go out.
//!
//! A condition holds once it has been so for long enough. It is over only when that is known: what nobody has looked at since
//! the start, or what is so again and not for long enough, stays as it was told before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kit::alert::Severity;

use super::fullness::LedgerFacts;
use super::lately::Lately;
use super::subject::{Subject, short};
use super::waiting::WaitingFacts;
use super::wrong::Wrong;
use crate::engine::SourceFacts;

/// Conditions that are told of at once, at most: with more there is one cause.
const MOST: usize = 200;
/// More jobs of a queue than so many have died within the time that is looked at: ten a minute.
const MANY: u64 = 50;
/// What has begun to be told ends at this part of where it begins: what stays near there is told once.
const HALF: u64 = 2;
/// Letters that ended within the time that is looked at, at least: two prove nothing.
const FEWEST_ENDED: u64 = 3;

/// What is so now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// With each source.
    pub(crate) sources: Vec<SourceFacts>,
    /// With the ledger; none before somebody has looked.
    pub(crate) ledger: Option<LedgerFacts>,
    /// With letters that wait; none before somebody has counted.
    pub(crate) waiting: Option<WaitingFacts>,
}

/// How long something must be so before it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// That a source does not answer.
    pub(super) down: Duration,
    /// That what is put back could be lost.
    pub(super) disarmed: Duration,
    /// That a breaker is not closed.
    pub(super) unclosed: Duration,
    /// How long it is told that failures were missed.
    pub(super) missed: Duration,
    /// Within what time many jobs die.
    pub(super) many: Duration,
    /// Within what time what was put back has failed again.
    pub(super) recur: Duration,
    /// How long ago letters that wait for a person may have been taken in.
    pub(super) old: Duration,
}

impl Default for Patience {
    /// As the rules in `alerts/rules/dead-letters.yml`.
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            down: minutes(2),
            disarmed: minutes(10),
            unclosed: minutes(10),
            missed: minutes(15),
            many: minutes(5),
            recur: minutes(15),
            old: minutes(24 * 60),
        }
    }
}

/// Something that is wrong, and has been for long enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) subject: Subject,
    pub(super) severity: Severity,
    pub(super) summary: String,
    pub(super) description: String,
    /// Since when, after the first look.
    pub(super) since: Duration,
}

/// What happened in a queue lately.
#[derive(Debug, Default)]
struct QueueLately {
    missed: Lately,
    died: Lately,
    done: Lately,
    recurred: Lately,
    /// Whether many died, at the last look.
    many_died: bool,
    /// Whether too many recurred, at the last look.
    many_recurred: bool,
}

/// What was so at looks before.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    patience: Patience,
    /// Since when things are so.
    since: BTreeMap<Subject, Duration>,
    /// What happened lately, by source and queue.
    lately: BTreeMap<(String, String), QueueLately>,
    /// How urgent the ledger's size is.
    ledger: Option<Severity>,
    /// What held at the last look.
    holds: BTreeSet<Subject>,
}

impl Conditions {
    #[cfg(test)]
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, ..Self::default() }
    }

    /// Returns what holds, what matters most first; `now` is the time since the first look.
    pub(super) fn look(&mut self, facts: &Facts, now: Duration) -> Vec<Condition> {
        let mut wrong = BTreeMap::new();
        let of_ledger = self.wrong_with_ledger(facts).into_iter().chain(self.wrong_with_letters(facts));
        for found in facts.sources.iter().flat_map(|source| self.wrong_with(source)).chain(of_ledger) {
            // Names that begin alike for longer than is shown have one alert.
            wrong.entry(found.subject.clone()).or_insert(found);
        }
        self.since.retain(|subject, _| wrong.contains_key(subject));
        let mut conditions = self.happened_lately(&facts.sources, now);
        for (subject, found) in wrong {
            let patience = found.patience;
            let since = *self.since.entry(subject).or_insert(now);
            if now.saturating_sub(since) >= patience {
                conditions.push(Condition::new(found, since));
            }
        }
        self.holds = conditions.iter().map(|condition| condition.subject.clone()).collect();
        // What matters most is not what is left out.
        conditions.sort_by(|one, other| one.subject.cmp(&other.subject));
        conditions.truncate(MOST);
        conditions
    }

    /// Returns whether it is known that a thing is well, after the last look.
    pub(super) fn is_over(&self, subject: &Subject, facts: &Facts, now: Duration) -> bool {
        if self.holds.contains(subject) {
            return false;
        }
        // A source that nobody reads any more is nobody's trouble.
        let of = |name: &str| facts.sources.iter().find(|source| source.name == name);
        match subject {
            // When the last was missed before this process began is not known.
            Subject::Missed { .. } => now >= self.patience.missed,
            Subject::Many { .. } => now >= self.patience.many,
            Subject::Recur { .. } => now >= self.patience.recur,
            Subject::Uncertain | Subject::Old { .. } => facts.waiting.is_some(),
            Subject::QueueUnsafe { source: Some(source), .. } => {
                of(source).is_none_or(|source| source.looked_at.is_some())
            }
            Subject::QueueUnsafe { source: None, queue, .. } => {
                let looked = || facts.sources.iter().map(|source| source.looked_at.as_ref());
                looked().flatten().flatten().any(|looked_at| short(looked_at) == *queue)
                    || looked().all(|queues| queues.is_some())
            }
            Subject::LedgerFull => facts.ledger.is_some_and(LedgerFacts::is_well),
            // One that nobody has made yet does answer.
            Subject::SourceDown { source } => {
                of(source).is_none_or(|source| source.answers == Some(Ok(())) || source.waits.is_some())
            }
            Subject::SourceDisarmed { source } => of(source).is_none_or(|source| match &source.is_armed {
                Some(state) => state.is_ok(),
                // It is looked at where something may be redriven: where that was not so for long, nothing is held back.
                None => now >= self.patience.disarmed,
            }),
            // Each breaker begins closed.
            Subject::BreakerOpen { .. } => !self.since.contains_key(subject),
        }
    }

    fn wrong_with(&self, source: &SourceFacts) -> Vec<Wrong> {
        let Patience { down, disarmed, unclosed, .. } = self.patience;
        let SourceFacts { name, answers, is_armed, perils, unclosed: breakers, .. } = source;
        let mut wrong: Vec<Wrong> = perils.iter().map(|peril| Wrong::queue_unsafe(name, peril)).collect();
        if let Some(Err(why)) = answers {
            wrong.push(Wrong::source_down(name, why, down));
        }
        if let Some(Err(why)) = is_armed {
            wrong.push(Wrong::source_disarmed(name, why, disarmed));
        }
        wrong.extend(breakers.iter().map(|(queue, job)| Wrong::breaker_open(name, queue, job, unclosed)));
        wrong
    }

    fn wrong_with_ledger(&mut self, facts: &Facts) -> Option<Wrong> {
        let facts = facts.ledger?;
        self.ledger = facts.urgency(self.ledger);
        self.ledger.map(|severity| Wrong::ledger_full(facts, severity))
    }

    fn wrong_with_letters(&self, facts: &Facts) -> Vec<Wrong> {
        let Some(WaitingFacts { parked, uncertain }) = &facts.waiting else { return Vec::new() };
        let old = parked.iter().filter(|(_, age)| **age > self.patience.old);
        let old = old.map(|(class, age)| Wrong::old(class, *age));
        old.chain((*uncertain > 0).then(|| Wrong::uncertain(*uncertain))).collect()
    }

    fn happened_lately(&mut self, sources: &[SourceFacts], now: Duration) -> Vec<Condition> {
        for source in sources {
            for (queue, counts) in &source.counts {
                let lately = self.lately.entry((source.name.clone(), queue.clone())).or_default();
                lately.missed.note(counts.missed, now);
                lately.died.note(counts.died, now);
                lately.done.note(counts.done, now);
                lately.recurred.note(counts.recurred, now);
            }
        }
        let Patience { missed, many, recur, .. } = self.patience;
        let mut conditions = Vec::new();
        for ((source, queue), lately) in &mut self.lately {
            if let Some((count, since)) = lately.missed.within(missed, now) {
                conditions.push(Condition::new(Wrong::missed(source, queue, count, missed), since));
            }
            if let Some((count, since)) = lately.died_in_numbers(many, now) {
                conditions.push(Condition::new(Wrong::many(source, queue, count, many), since));
            }
            if let Some((counts, since)) = lately.recurred_mostly(recur, now) {
                conditions.push(Condition::new(Wrong::recur(source, queue, counts, recur), since));
            }
        }
        conditions
    }
}

impl QueueLately {
    /// How many died and since when, if those are many, or were and are not few yet.
    fn died_in_numbers(&mut self, within: Duration, now: Duration) -> Option<(u64, Duration)> {
        let bound = if self.many_died { MANY / HALF } else { MANY };
        let many = self.died.within(within, now).filter(|(count, _)| *count > bound);
        self.many_died = many.is_some();
        many
    }

    /// How many of how many recurred and since when, if those are most, or were and are not few yet.
    fn recurred_mostly(&mut self, within: Duration, now: Duration) -> Option<((u64, u64), Duration)> {
        let done = self.done.within(within, now).map_or(0, |(count, _)| count);
        let was = self.many_recurred;
        let mostly = self.recurred.within(within, now).map(|(recurred, since)| ((recurred, done + recurred), since));
        let mostly = mostly.filter(|((recurred, ended), _)| {
            if was { recurred * 2 * HALF > *ended } else { *ended >= FEWEST_ENDED && recurred * 2 > *ended }
        });
        self.many_recurred = mostly.is_some();
        mostly
    }
}

impl Condition {
    fn new(Wrong { subject, severity, summary, description, .. }: Wrong, since: Duration) -> Self {
        Self { subject, severity, summary, description, since }
    }
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
