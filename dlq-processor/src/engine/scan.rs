//! Looks through all that a source holds, again and again: the truth, where what queues tell only makes it fast.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::depths::Count;
use super::{Engine, Trouble, now_ms};
use crate::source::{CLOCKS_DIFFER_MS, Cursor, Episode, PAGE, SourceError};

/// Between two looks for new queues, at least and at most; in between it is so many times what a look takes.
const QUEUES_EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
const QUEUES_SHARE: u32 = 20;
/// Between two looks at all that a queue holds: for what was listed out of its order.
const ALL_EVERY: Duration = Duration::from_secs(300);
/// Between two looks at what failed lately: clocks of workers differ.
const LATELY_EVERY: Duration = Duration::from_secs(10);
/// Letters that may be written and not taken out when power is cut, at most: those of one commit.
const LEFT: usize = 2000;
/// Longest wait for there to be something.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks, while there is always something.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two pages of what is known already: nobody waits for them.
const KNOWN_PAUSE: Duration = Duration::from_millis(5);

/// What is known of all queues, and when it was looked for.
#[derive(Default)]
struct Round {
    queues: BTreeMap<String, Listed>,
    queues_at: Option<Instant>,
    queues_every: Duration,
    all_at: Option<Instant>,
    lately_at: Option<Instant>,
    count: Count,
}

/// How far a queue was read.
#[derive(Default)]
struct Listed {
    cursor: Cursor,
    /// When all that had failed lately was listed last, in milliseconds since the epoch.
    whole_ms: i64,
}

fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|last| last.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}

impl Engine {
    pub(super) async fn scan_for_ever(&self) {
        let (mut round, mut failures, mut has_answered) = (Round::default(), 0, false);
        loop {
            let asked = self.looks.scan_due();
            if asked.is_some() {
                (round.queues_at, round.all_at) = (None, None);
            }
            let looked = self.look(&mut round).await;
            has_answered = has_answered || self.has_answered(&looked).await;
            self.note_answer(&looked, has_answered);
            if let Some(wait) = self.went("capture", &looked, &mut failures) {
                self.forget_depths(round.queues.keys());
                round.queues_at = None;
                tokio::time::sleep(wait).await;
                continue;
            }
            if let Some(look) = asked {
                self.looks.note_scanned(look, self.intake.handed_over());
            }
            // However much there is, it is looked at so often and no more.
            tokio::time::sleep(PAUSE).await;
            let queues: Vec<String> = round.queues.keys().cloned().collect();
            if queues.is_empty() {
                tokio::time::sleep(PATIENCE).await;
            } else if self.source.wait(&queues, PATIENCE).await.is_err() {
                // The next look finds out why.
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }

    /// Whether the source answers a look, or is known to be missed since it did before this daemon began.
    async fn has_answered(&self, looked: &Result<(), Trouble>) -> bool {
        match looked {
            Ok(()) => true,
            // A ledger that does not say is asked at the next look.
            Err(Trouble::Source(SourceError::Unmade(_))) => self.ledger.has_met(&self.name).await.unwrap_or(false),
            Err(_) => false,
        }
    }

    async fn look(&self, round: &mut Round) -> Result<(), Trouble> {
        if is_due(&mut round.queues_at, round.queues_every) {
            self.look_for_queues(round).await?;
        }
        let began_ms = now_ms();
        let (is_all, is_lately) = (is_due(&mut round.all_at, ALL_EVERY), is_due(&mut round.lately_at, LATELY_EVERY));
        if is_all {
            round.queues.values_mut().for_each(|listed| listed.cursor = Cursor::default());
            if let Err(trouble) = self.take_out_left().await {
                // It is due until it is done.
                round.all_at = None;
                return Err(trouble);
            }
        } else if is_lately {
            for (queue, Listed { cursor, whole_ms }) in &mut round.queues {
                let is_in_order = self.source.manners(queue).keeps_dead;
                *cursor = looked_back(*cursor, is_in_order.then_some(*whole_ms));
            }
        }
        for (queue, Listed { cursor, whole_ms }) in &mut round.queues {
            let is_whole = is_all || is_lately || *cursor == Cursor::default();
            loop {
                let page = self.source.list(queue, *cursor).await?;
                #[expect(clippy::cast_possible_wrap, reason = "no server holds so many")]
                self.figures.failed_in_source.with_label_values(&[&self.name, queue]).set(page.failed as i64);
                let has_news = self.take(queue, &page.episodes).await?;
                *cursor = page.next;
                if page.episodes.len() < PAGE {
                    break;
                }
                if !has_news {
                    tokio::time::sleep(KNOWN_PAUSE).await;
                }
            }
            // A worker whose clock is ahead would hide what others fail: what is of the future is listed again.
            if cursor.failed_at_ms > now_ms() {
                *cursor = Cursor { failed_at_ms: now_ms(), read: 0 };
            }
            if is_whole {
                *whole_ms = began_ms;
            }
        }
        self.count_depths(&mut round.count, round.queues.keys()).await;
        let counted = self.figures.unwatched.with_label_values(&[&self.name]);
        counted.inc_by(self.source.unwatched().saturating_sub(counted.get()));
        Ok(())
    }

    async fn look_for_queues(&self, round: &mut Round) -> Result<(), Trouble> {
        let began = Instant::now();
        let queues = self.source.queues().await?;
        round.queues_every = (began.elapsed() * QUEUES_SHARE).clamp(QUEUES_EVERY.0, QUEUES_EVERY.1);
        round.queues_at = Some(Instant::now());
        let wanted = |queue: &String| self.queues.iter().any(|pattern| pattern.matches(queue));
        let queues: Vec<String> = queues.into_iter().filter(wanted).collect();
        round.queues.retain(|queue, _| {
            let is_there = queues.contains(queue);
            if !is_there {
                self.forget_depths([queue]);
            }
            is_there
        });
        for queue in &queues {
            round.queues.entry(queue.clone()).or_default();
        }
        self.found.send_if_modified(|found| {
            let is_news = *found != queues;
            *found = queues;
            is_news
        });
        Ok(())
    }

    /// Takes out what the ledger has and its source may not list again.
    async fn take_out_left(&self) -> Result<(), Trouble> {
        let queues = self.found.borrow().clone();
        let is_left = |queue: &&String| !self.source.manners(queue).lists_again && self.takes_out(queue);
        for queue in queues.iter().filter(is_left) {
            self.take_out(&self.ledger.newest_open(&self.name, queue, LEFT).await?).await?;
        }
        Ok(())
    }

    /// Reads what the ledger does not have yet, and returns whether there was any. What is listed until it is taken out is not
    /// listed again before it is.
    async fn take(&self, queue: &str, episodes: &[Episode]) -> Result<bool, Trouble> {
        if episodes.is_empty() {
            return Ok(false);
        }
        let unknown = self.ledger.unknown(&self.name, episodes).await?;
        self.read_in(&unknown).await?;
        if !self.source.manners(queue).keeps_dead {
            self.intake.all_is_written().await;
        }
        if self.takes_out(queue) {
            let unknown: BTreeSet<&Episode> = unknown.iter().collect();
            let known = episodes.iter().filter(|episode| !unknown.contains(episode));
            self.take_out(&known.cloned().collect::<Vec<_>>()).await?;
        }
        Ok(!unknown.is_empty())
    }
}

/// A cursor set back by as much as clocks differ: those of workers from each other or, where what failed since the time `last_ms`
/// is listed as of then, from this one, so that a queue in which nothing fails any more is not read again and again. Its last
/// millisecond always is: of what had failed in it some may have been put back, which others then stand in the place of.
fn looked_back(cursor: Cursor, last_ms: Option<i64>) -> Cursor {
    let since_ms = last_ms.unwrap_or(cursor.failed_at_ms).saturating_sub(CLOCKS_DIFFER_MS);
    Cursor { failed_at_ms: since_ms.min(cursor.failed_at_ms), read: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_back_as_far_as_clocks_differ_and_no_further_than_something_may_have_been_listed_since() {
        let at = |failed_at_ms, read| Cursor { failed_at_ms, read };
        let newest = at(1_000_000, 3);
        for (last_ms, expected) in [
            (None, at(940_000, 0)),
            (Some(1_000_000), at(940_000, 0)),
            (Some(1_005_000), at(945_000, 0)),
            (Some(1_059_999), at(999_999, 0)),
            // A worker whose clock is a minute behind has told of nothing as of then, but of that very millisecond.
            (Some(1_060_000), at(1_000_000, 0)),
            (Some(9_000_000), at(1_000_000, 0)),
        ] {
            assert_eq!(looked_back(newest, last_ms), expected, "{last_ms:?}");
        }
        assert_eq!(looked_back(Cursor::default(), Some(1_000_000)), Cursor::default());
    }
}
