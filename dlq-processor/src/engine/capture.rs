//! Takes failed jobs in, as soon as they fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::destinations::Destination;
use super::missed::Ear;
use super::verdict::rule;
use super::{Engine, Trouble, now_ms};
use crate::failpoint;
use crate::ledger::{Captured, LedgerError, LetterId, Recurred, Ruling};
use crate::policy::Action;
use crate::source::{Cursor, Episode, Found, PAGE, SourceError};

/// Between two looks for new queues, at least and at most; in between it is so many times what a look takes.
const QUEUES_EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
const QUEUES_SHARE: u32 = 50;
/// Between two looks at all that a queue holds: for what was listed out of its order, and after the ledger was away.
const ALL_EVERY: Duration = Duration::from_secs(300);
/// Between two looks at what failed lately: clocks of workers differ.
const LATELY_EVERY: Duration = Duration::from_secs(10);
/// How far they may.
const LATELY_MS: i64 = 60_000;
/// Longest wait for a queue to say that something failed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks, while there is always something: a queue keeps its failures for longer.
const PAUSE: Duration = Duration::from_millis(20);

/// How far each queue was read.
#[derive(Default)]
struct Round {
    cursors: BTreeMap<String, Cursor>,
    queues_at: Option<Instant>,
    queues_every: Duration,
    all_at: Option<Instant>,
    lately_at: Option<Instant>,
    ear: Ear,
}

fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|last| last.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}

impl Engine {
    pub(super) async fn capture_for_ever(&self) {
        let (mut round, mut failures) = (Round::default(), 0);
        loop {
            let looked = self.look(&mut round).await;
            self.figures.source_up.with_label_values(&[&self.name]).set(looked.is_ok().into());
            if let Some(wait) = self.went("capture", &looked, &mut failures) {
                round.queues_at = None;
                tokio::time::sleep(wait).await;
                continue;
            }
            // However much happens, it is looked at so often and no more.
            tokio::time::sleep(PAUSE).await;
            let queues: Vec<String> = round.cursors.keys().cloned().collect();
            if queues.is_empty() {
                tokio::time::sleep(PATIENCE).await;
            } else if self.source.wait(&queues, PATIENCE).await.is_err() {
                // The next look finds out why.
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }

    async fn look(&self, round: &mut Round) -> Result<(), Trouble> {
        if is_due(&mut round.queues_at, round.queues_every) {
            let began = Instant::now();
            let queues = self.source.queues().await?;
            round.queues_every = (began.elapsed() * QUEUES_SHARE).clamp(QUEUES_EVERY.0, QUEUES_EVERY.1);
            let wanted = |queue: &String| self.queues.iter().any(|pattern| pattern.matches(queue));
            let queues: Vec<String> = queues.into_iter().filter(wanted).collect();
            self.found.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&queues);
            round.cursors.retain(|queue, _| queues.contains(queue));
            for queue in queues {
                round.cursors.entry(queue).or_default();
            }
        }
        if is_due(&mut round.all_at, ALL_EVERY) {
            round.cursors.values_mut().for_each(|cursor| *cursor = Cursor::default());
        } else if is_due(&mut round.lately_at, LATELY_EVERY) {
            for cursor in round.cursors.values_mut() {
                *cursor = Cursor { failed_at_ms: cursor.failed_at_ms - LATELY_MS, read: 0 };
            }
        }
        for (queue, cursor) in &mut round.cursors {
            let told = self.hear(&mut round.ear, queue).await?;
            loop {
                let page = self.source.list(queue, *cursor).await?;
                #[expect(clippy::cast_possible_wrap, reason = "no server holds so many")]
                self.figures.failed_in_source.with_label_values(&[&self.name, queue]).set(page.failed as i64);
                self.take(queue, &page.episodes).await?;
                round.ear.list(queue, page.episodes.iter().map(|episode| episode.job.clone()));
                *cursor = page.next;
                if page.episodes.len() < PAGE {
                    break;
                }
            }
            // A worker whose clock is ahead would hide what others fail: what is of the future is listed again.
            if cursor.failed_at_ms > now_ms() {
                *cursor = Cursor { failed_at_ms: now_ms(), read: 0 };
            }
            self.count_missed(&mut round.ear, queue, told).await?;
        }
        let counted = self.figures.unwatched.with_label_values(&[&self.name]);
        counted.inc_by(self.source.unwatched().saturating_sub(counted.get()));
        self.remember(&mut round.ear).await
    }

    /// Takes in what the ledger does not have yet, and out of the queue what stands in the way there.
    async fn take(&self, queue: &str, episodes: &[Episode]) -> Result<(), Trouble> {
        let unknown = self.ledger.unknown(&self.name, episodes).await?;
        if !unknown.is_empty() {
            self.take_in(queue, &unknown).await?;
        }
        if !episodes.is_empty() && !self.source.manners(queue).keeps_dead && self.settings.of_queue(queue).acts {
            // What was gone before it was read is not there to be forgotten.
            self.source.forget(episodes).await?;
        }
        Ok(())
    }

    /// What is too much at once is taken in by halves, however large payloads are.
    async fn take_in(&self, queue: &str, unknown: &[Episode]) -> Result<(), Trouble> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(Trouble::Full);
        }
        let mut parts = vec![unknown];
        while let Some(part) = parts.pop() {
            match self.take_part(queue, part).await {
                Err(Trouble::Source(SourceError::Late(_)) | Trouble::Ledger(LedgerError::Late)) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                taken => taken?,
            }
        }
        Ok(())
    }

    async fn take_part(&self, queue: &str, unknown: &[Episode]) -> Result<(), Trouble> {
        let read = self.source.read(unknown).await?;
        let found: Vec<Found> = read.into_iter().flatten().collect();
        let missed = (unknown.len() - found.len()) as u64;
        self.figures.missed.with_label_values(&[&self.name, queue]).inc_by(missed);
        let (began, now) = (Instant::now(), Timestamp::now());
        let decide = |found: &_, past| rule(&self.settings, found, past, now, rand::random());
        let captured = self.ledger.capture(&self.name, &found, now_ms(), decide).await?;
        failpoint::at("after_capture_commit");
        self.figures.commit_seconds.observe(began.elapsed().as_secs_f64());
        self.figures.captured.with_label_values(&[&self.name, queue]).inc_by(captured.new.len() as u64);
        self.figures.new_fingerprints.inc_by(captured.new_fingerprints.len() as u64);
        self.came(self.arrivals(&found, &captured));
        for (id, ruling) in &captured.new {
            let rule = ruling.decision.rule.as_deref().unwrap_or("none");
            self.figures.decisions.with_label_values(&[rule, ruling.decision.action.word()]).inc();
            tracing::debug!(letter = %id, queue, rule, state = ruling.state.word(), "taken in");
        }
        for Recurred { id, queue, name } in &captured.recurred {
            self.figures.outcomes.with_label_values(&[queue, "recurred"]).inc();
            self.ended(id, queue, name, false);
        }
        Ok(())
    }

    /// Counts what is new and would be redriven, by where it belongs.
    fn arrivals(&self, found: &[Found], captured: &Captured) -> BTreeMap<Destination, usize> {
        let is_redriven = |ruling: &Ruling| matches!(ruling.decision.action, Action::Redrive(_));
        let new: BTreeSet<&LetterId> =
            captured.new.iter().filter(|(_, ruling)| is_redriven(ruling)).map(|(id, _)| id).collect();
        let mut arrivals = BTreeMap::new();
        for Found { episode, name, .. } in found {
            if new.contains(&LetterId::of(&self.name, episode)) {
                *arrivals.entry(self.destinations.of(&episode.queue, name)).or_default() += 1;
            }
        }
        arrivals
    }
}
