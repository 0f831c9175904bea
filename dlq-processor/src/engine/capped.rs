//! Failures that are alike and go on failing whenever they are redriven: of these no more are for a while, unless somebody asks.
//! A breaker does not see them where others of their kind go well, and each job's tries are its own.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::room::Room;
use super::{Engine, Trouble, now_ms};
use crate::ledger::{Due, LetterId};

/// Between two looks: what is redriven meanwhile is beyond the cap.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What was redriven in vain counts for so long, in milliseconds (dlq.md section 4.3).
const WINDOW_MS: i64 = 3_600_000;
/// Letters come back within so long after that, in milliseconds: not all at once.
const SPREAD_MS: f64 = 60_000.0;
/// Kinds of failures that are capped at once, at most: with more there is one cause, which breakers see.
const MOST: usize = 1000;
/// Pages of nothing but what is capped that are put off at once.
const PAGES: usize = 50;

/// What is capped now.
#[derive(Default)]
pub(super) struct Capped {
    /// By fingerprint.
    kinds: BTreeMap<String, Cap>,
    looked_at: Option<Instant>,
}

/// That no more of some failures are redriven unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cap {
    pub(super) queue: String,
    /// Until when, in milliseconds since the epoch.
    pub(super) until_ms: i64,
}

impl Engine {
    /// Finds some letters that are due and not capped. What is capped is put off, so that it is not found again and again.
    pub(super) async fn find_uncapped(&self, room: &mut Room) -> Result<Vec<Due>, Trouble> {
        self.look_at_capped().await?;
        for _ in 0..PAGES {
            let due = self.find_due(room).await?;
            let (capped, rest) = self.part_capped(due);
            if capped.is_empty() {
                return Ok(rest);
            }
            self.ledger.put_off(&capped).await?;
            if !rest.is_empty() {
                return Ok(rest);
            }
        }
        Ok(Vec::new())
    }

    /// What is capped now, by fingerprint.
    pub(super) fn capped(&self) -> BTreeMap<String, Cap> {
        self.capped.lock().unwrap_or_else(PoisonError::into_inner).kinds.clone()
    }

    /// Parts what is capped, and when it is due instead, from what is not.
    fn part_capped(&self, due: Vec<Due>) -> (Vec<(LetterId, i64)>, Vec<Due>) {
        let capped = self.capped.lock().unwrap_or_else(PoisonError::into_inner);
        if capped.kinds.is_empty() {
            return (Vec::new(), due);
        }
        let until_ms = |due: &Due| capped.kinds.get(&due.fingerprint).filter(|_| !due.is_asked).map(|cap| cap.until_ms);
        let (mut later, mut rest) = (Vec::new(), Vec::new());
        for due in due {
            match until_ms(&due) {
                Some(until_ms) => later.push((due.id, until_ms.saturating_add(spread_ms(rand::random())))),
                None => rest.push(due),
            }
        }
        (later, rest)
    }

    async fn look_at_capped(&self) -> Result<(), Trouble> {
        let looked_at = self.capped.lock().unwrap_or_else(PoisonError::into_inner).looked_at;
        if looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        let mut kinds = BTreeMap::new();
        for times in self.settings.caps() {
            let in_vain = self.ledger.in_vain(&self.name, times, now_ms().saturating_sub(WINDOW_MS), MOST).await?;
            let of_queue =
                in_vain.into_iter().filter(|it| self.settings.of_queue(&it.queue).most_in_vain == Some(times));
            kinds.extend(of_queue.map(|it| {
                let until_ms = it.since_ms.saturating_add(WINDOW_MS);
                (it.fingerprint, Cap { queue: it.queue, until_ms })
            }));
        }
        self.note_capped(kinds);
        Ok(())
    }

    /// Only a change is worth a line.
    fn note_capped(&self, kinds: BTreeMap<String, Cap>) {
        let mut capped = self.capped.lock().unwrap_or_else(PoisonError::into_inner);
        for (fingerprint, Cap { queue, .. }) in kinds.iter().filter(|(it, _)| !capped.kinds.contains_key(*it)) {
            tracing::warn!(
                source = self.name,
                queue,
                fingerprint,
                "redriven in vain too often: no more of these are for now"
            );
        }
        for (fingerprint, Cap { queue, .. }) in capped.kinds.iter().filter(|(it, _)| !kinds.contains_key(*it)) {
            tracing::info!(source = self.name, queue, fingerprint, "these are redriven again");
        }
        let count = i64::try_from(kinds.len()).unwrap_or(i64::MAX);
        self.figures.capped.with_label_values(&[&self.name]).set(count);
        *capped = Capped { kinds, looked_at: Some(Instant::now()) };
    }
}

/// Anything up to the spread, for a `random` number from 0 to 1.
#[expect(clippy::cast_possible_truncation, reason = "at most the spread")]
fn spread_ms(random: f64) -> i64 {
    (random.clamp(0.0, 1.0) * SPREAD_MS) as i64
}
