//! Writes what was read, with what is decided of it: copied first, and only then taken out of the queue where it stands in the
//! way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;
use kit::chain::Chain;

use super::destinations::Destination;
use super::reconcile::Tally;
use super::verdict::{Words, rule};
use super::{Engine, Trouble, now_ms, passed_secs, spans};
use crate::failpoint;
use crate::ledger::{Captured, LedgerError, LetterId, Recurred, Ruling};
use crate::policy::{Action, Class};
use crate::source::{Episode, Found};

/// Failures that were refused and are remembered, at most.
const REFUSED: usize = 1000;
/// What failed within so many milliseconds before it is taken in dies now.
const LATELY_MS: i64 = 300_000;

impl Engine {
    pub(super) async fn write_for_ever(&self) {
        let (mut failures, mut left) = (0, 0);
        loop {
            let held = self.intake.next().await;
            let found = held.found();
            loop {
                let round = self.write(&found).await;
                let Some(wait) = self.went("writing", &round, &mut failures) else { break };
                tokio::time::sleep(wait).await;
            }
            // What stays in its queue for now is listed again, and taken out then: it keeps nobody from writing more.
            let taken = self.take_out(&self.taken_out(&found)).await;
            let _no_wait = self.went("taking out", &taken, &mut left);
            self.intake.note_written(held);
        }
    }

    /// What is too much at once is written by halves, however large payloads are.
    async fn write(&self, found: &[&Found]) -> Result<(), Trouble> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(Trouble::Full);
        }
        let mut parts = vec![found];
        while let Some(part) = parts.pop() {
            match self.write_part(part).await {
                Err(Trouble::Ledger(error)) if part.len() > 1 && (error.is_of_values() || error.is_late()) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                // It stays where it failed, and keeps no other from being written.
                Err(Trouble::Ledger(error)) if error.is_of_values() => {
                    part.iter().for_each(|it| self.refuse(it, &error))
                }
                written => written?,
            }
        }
        Ok(())
    }

    /// Counts a failure that no ledger takes, once.
    fn refuse(&self, found: &Found, error: &LedgerError) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < REFUSED && refused.insert(LetterId::of(&self.name, &found.episode)) {
            let (queue, why) = (found_in(found), Chain(error).to_string());
            self.figures.missed.with_label_values(&[&*self.name, queue]).inc();
            self.counts.note(queue, |counts| counts.missed += 1);
            tracing::error!(
                source = self.name,
                queue,
                error = why,
                "a failed job cannot be written, and is left where it is"
            );
        }
    }

    /// Returns those that are to be taken out of where they were found.
    fn taken_out(&self, found: &[&Found]) -> Vec<Episode> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSED {
            // What is not remembered may be among them. What is written is listed again, and taken out then.
            return Vec::new();
        }
        let is_written = |found: &Found| !refused.contains(&LetterId::of(&self.name, &found.episode));
        let is_taken_out = |found: &&&Found| self.takes_out(found_in(found)) && is_written(found);
        found.iter().filter(is_taken_out).map(|found| found.episode.clone()).collect()
    }

    async fn write_part(&self, found: &[&Found]) -> Result<(), Trouble> {
        let mut span = self.capture_span(queue_of_all(found));
        match span.within(self.write_whole(found)).await {
            Ok(new) => {
                span.set("messaging.batch.message_count", i64::try_from(new).unwrap_or(i64::MAX));
                Ok(())
            }
            Err(trouble) => {
                spans::fail(&mut span, &trouble);
                Err(trouble)
            }
        }
    }

    /// Returns how many there were that the ledger did not have.
    async fn write_whole(&self, found: &[&Found]) -> Result<usize, Trouble> {
        let (began, now, mut rulings) = (Instant::now(), Timestamp::now(), self.rulings());
        let is_listed = self.source.lists().is_some();
        let (mut words, policy) = (Words::default(), self.policy.now());
        let captured = self.ledger.capture(&self.name, found, now_ms(), |found, past| {
            let ruling =
                rulings.within(found, || rule(&self.settings, &policy, found, &mut words, past, now, rand::random()));
            Ruling { is_listed, ..ruling }
        });
        let captured = captured.await?;
        failpoint::at("after_capture_commit");
        self.figures.commit_seconds.observe(began.elapsed().as_secs_f64());
        self.figures.new_fingerprints.inc_by(captured.new_fingerprints.len() as u64);
        self.came(self.arrivals(found, &captured));
        self.slow_down(found, &captured);
        for (id, ruling) in &captured.new {
            let rule = ruling.decision.rule.as_deref().unwrap_or("none");
            self.figures.decisions.with_label_values(&[rule, ruling.decision.action.word()]).inc();
            tracing::debug!(letter = %id, rule, state = ruling.state.word(), "taken in");
        }
        for Recurred { id, queue, name } in &captured.recurred {
            let (label, _) = self.destinations.of(queue, name);
            self.figures.outcomes.with_label_values(&[&*label, "recurred"]).inc();
            self.counts.note(queue, |counts| counts.recurred += 1);
            self.ended(id, queue, name, false);
        }
        Tally::add(&self.looks.tally().taken_in, captured.new.len());
        Ok(captured.new.len())
    }

    /// Counts what is new, by its queue; and what of it would be redriven, by where it belongs.
    fn arrivals(&self, found: &[&Found], captured: &Captured) -> BTreeMap<Destination, usize> {
        let new: BTreeMap<&LetterId, &Ruling> = captured.new.iter().map(|(id, ruling)| (id, ruling)).collect();
        let (mut arrivals, mut counted) = (BTreeMap::new(), BTreeSet::new());
        let (lag, now_ms) = (self.figures.lag_seconds.with_label_values(&[&self.name]), now_ms());
        for found in found {
            let Found { episode, name, .. } = found;
            let id = LetterId::of(&self.name, episode);
            let Some(ruling) = new.get(&id) else { continue };
            // The same failure may have been read twice.
            if !counted.insert(id) {
                continue;
            }
            self.figures.captured.with_label_values(&[&self.name, found_in(found)]).inc();
            lag.observe(passed_secs(episode.failed_at_ms, now_ms));
            if now_ms.saturating_sub(episode.failed_at_ms) < LATELY_MS {
                self.counts.note(&episode.queue, |counts| counts.died += 1);
            }
            if found.has_lost_payload() {
                self.figures.payloads_lost.with_label_values(&[&self.name]).inc();
            }
            if matches!(ruling.decision.action, Action::Redrive(_)) {
                *arrivals.entry(self.destinations.of(&episode.queue, name)).or_default() += 1;
            }
        }
        arrivals
    }

    /// Has queues be redriven into more slowly where whoever does their jobs says that too much is asked.
    fn slow_down(&self, found: &[&Found], captured: &Captured) {
        let is_throttled = |(_, ruling): &&(LetterId, Ruling)| ruling.decision.class == Class::Throttled;
        let throttled: BTreeSet<&LetterId> = captured.new.iter().filter(is_throttled).map(|(id, _)| id).collect();
        if throttled.is_empty() {
            return;
        }
        let is_throttled = |found: &&&Found| throttled.contains(&LetterId::of(&self.name, &found.episode));
        let queues = found.iter().filter(is_throttled).map(|found| found.episode.queue.as_str());
        self.throttle(&queues.collect());
    }

    /// Whether what is dead is taken out of a queue.
    pub(super) fn takes_out(&self, queue: &str) -> bool {
        !self.source.manners(queue).keeps_dead && self.settings.of_queue(queue).acts
    }

    /// Takes out what the ledger has. What has gone by itself is not there to be forgotten.
    pub(super) async fn take_out(&self, episodes: &[Episode]) -> Result<(), Trouble> {
        if !episodes.is_empty() {
            self.source.forget(episodes).await?;
        }
        Ok(())
    }
}

/// The queue that told of a failure.
fn found_in(found: &Found) -> &str {
    found.found_in.as_deref().unwrap_or(&found.episode.queue)
}

/// The queue that all of them are of, if it is one.
fn queue_of_all<'f>(found: &[&'f Found]) -> Option<&'f str> {
    let queue = found.first().map(|found| found.episode.queue.as_str())?;
    found.iter().all(|found| found.episode.queue == queue).then_some(queue)
}
