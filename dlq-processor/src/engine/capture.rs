//! Takes failed jobs in, as soon as they fail.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::verdict::rule;
use super::{Engine, Trouble, now_ms};
use crate::source::{Cursor, Episode, PAGE};

/// Between two looks for new queues.
const QUEUES_EVERY: Duration = Duration::from_secs(30);
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
    all_at: Option<Instant>,
    lately_at: Option<Instant>,
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
        if is_due(&mut round.queues_at, QUEUES_EVERY) {
            let queues = self.source.queues().await?;
            let wanted = |queue: &String| self.queues.iter().any(|pattern| pattern.matches(queue));
            let queues: Vec<String> = queues.into_iter().filter(wanted).collect();
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
            loop {
                let page = self.source.list(queue, *cursor).await?;
                #[expect(clippy::cast_possible_wrap, reason = "no server holds so many")]
                self.figures.failed_in_source.with_label_values(&[&self.name, queue]).set(page.failed as i64);
                self.take(queue, &page.episodes).await?;
                *cursor = page.next;
                if page.episodes.len() < PAGE {
                    break;
                }
            }
        }
        let counted = self.figures.unwatched.with_label_values(&[&self.name]);
        counted.inc_by(self.source.unwatched().saturating_sub(counted.get()));
        Ok(())
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

    async fn take_in(&self, queue: &str, unknown: &[Episode]) -> Result<(), Trouble> {
        let read = self.source.read(unknown).await?;
        let found: Vec<_> = read.into_iter().flatten().collect();
        let missed = (unknown.len() - found.len()) as u64;
        self.figures.missed.with_label_values(&[&self.name, queue]).inc_by(missed);
        let (began, now) = (Instant::now(), Timestamp::now());
        let decide = |found: &_, past| rule(&self.settings, found, past, now, rand::random());
        let captured = self.ledger.capture(&self.name, &found, now_ms(), decide).await?;
        self.figures.commit_seconds.observe(began.elapsed().as_secs_f64());
        self.figures.captured.with_label_values(&[&self.name, queue]).inc_by(captured.new.len() as u64);
        self.figures.new_fingerprints.inc_by(captured.new_fingerprints.len() as u64);
        for (id, ruling) in &captured.new {
            let rule = ruling.decision.rule.as_deref().unwrap_or("none");
            self.figures.decisions.with_label_values(&[rule, ruling.decision.action.word()]).inc();
            tracing::debug!(letter = %id, queue, rule, state = ruling.state.word(), "taken in");
        }
        for (queue, name) in &captured.recurred {
            self.figures.outcomes.with_label_values(&[queue, "recurred"]).inc();
            self.ended(queue, name, false);
        }
        Ok(())
    }
}
