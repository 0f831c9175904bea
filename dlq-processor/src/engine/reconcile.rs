//! Looks at everything that somebody asks for instead of waiting for their time: all that failed, all that was redriven, all that
//! was ordered. Each loop does its own part and says when it has.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use super::Engine;
use crate::source::Orphans;

/// How far each loop has come with looks, each named by a number: a later one has a larger number, and does for earlier ones, too.
#[derive(Default)]
pub(super) struct Looks {
    asked: watch::Sender<u64>,
    /// The look, and how many batches had been handed over then.
    scanned: watch::Sender<(u64, u64)>,
    counted: watch::Sender<u64>,
    followed: watch::Sender<u64>,
    settled: watch::Sender<u64>,
    /// The look, and the jobs that nobody will run; none if the source did not say.
    sought: watch::Sender<(u64, Option<Vec<Orphans>>)>,
    tally: Tally,
    /// What had been found when the last look was asked for.
    before: Mutex<Found>,
}

/// What was found since the engine began.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) taken_in: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) ordered_again: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) lost: AtomicU64,
}

/// What a look has found up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    /// Failures that the ledger did not have.
    taken_in: u64,
    /// Failures that had gone before they were read.
    missed: u64,
    /// Orders of which nobody knew whether they were carried out, and that were given again.
    ordered_again: u64,
    /// Redriven letters that have come to an end.
    ended: u64,
    /// Redrives that their source has lost, and that are carried out again.
    lost: u64,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn now(&self) -> Found {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Found {
            taken_in: read(&self.taken_in),
            missed: read(&self.missed),
            ordered_again: read(&self.ordered_again),
            ended: read(&self.ended),
            lost: read(&self.lost),
        }
    }
}

impl Found {
    fn since(self, before: Self) -> Self {
        Self {
            taken_in: self.taken_in.saturating_sub(before.taken_in),
            missed: self.missed.saturating_sub(before.missed),
            ordered_again: self.ordered_again.saturating_sub(before.ordered_again),
            ended: self.ended.saturating_sub(before.ended),
            lost: self.lost.saturating_sub(before.lost),
        }
    }
}

impl Looks {
    /// Returns the look that was asked for last, if a loop has not done its part of it.
    fn due(&self, done: u64) -> Option<u64> {
        Some(*self.asked.borrow()).filter(|asked| *asked > done)
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Returns the look that all that failed is to be listed for.
    pub(super) fn scan_due(&self) -> Option<u64> {
        let done = self.scanned.borrow().0;
        self.due(done)
    }

    /// Notes that it is, when so many batches had been handed over.
    pub(super) fn note_scanned(&self, look: u64, batches: u64) {
        self.scanned.send_replace((look, batches));
    }

    /// Returns the look of which all that was listed is written.
    pub(super) fn count_due(&self, is_written: impl Fn(u64) -> bool) -> Option<u64> {
        let (look, batches) = *self.scanned.borrow();
        Some(look).filter(|look| *look > *self.counted.borrow() && is_written(batches))
    }

    /// Notes that of all that could not be read it is known whether it was missed.
    pub(super) fn note_counted(&self, look: u64) {
        self.counted.send_replace(look);
    }

    /// Returns the look that all that was redriven is to be looked at for.
    pub(super) fn follow_due(&self) -> Option<u64> {
        let done = *self.followed.borrow();
        self.due(done)
    }

    pub(super) fn note_followed(&self, look: u64) {
        self.followed.send_replace(look);
    }

    /// Returns the look that orders are to be given again for: what is lost is known by then.
    pub(super) fn settle_due(&self) -> Option<u64> {
        let look = *self.followed.borrow();
        Some(look).filter(|look| *look > *self.settled.borrow())
    }

    pub(super) fn note_settled(&self, look: u64) {
        self.settled.send_replace(look);
    }

    /// Waits for a look that jobs that nobody will run are to be sought for: its queues are known by then.
    async fn seek_due(&self) -> u64 {
        let (mut scanned, sought) = (self.scanned.subscribe(), self.sought.borrow().0);
        // It is never closed: this holds it.
        scanned.wait_for(|(look, _)| *look > sought).await.map_or(sought, |scanned| scanned.0)
    }
}

impl Engine {
    /// Asks for a look of this number, unless it or a later one was asked for.
    pub(crate) fn ask_to_look(&self, look: u64) {
        let looks = &self.looks;
        looks.asked.send_if_modified(|asked| {
            let is_new = look > *asked;
            if is_new {
                *looks.before.lock().unwrap_or_else(PoisonError::into_inner) = looks.tally.now();
                *asked = look;
            }
            is_new
        });
    }

    /// Returns the look that was asked for last; 0 if there was none.
    pub(crate) fn asked_to_look(&self) -> u64 {
        *self.looks.asked.borrow()
    }

    /// Seeks jobs that nobody will run, once for each look, until it is dropped. However many ask, one of them is carried out at a
    /// time: to seek in a large Redis takes a thousand questions and the names of all that it holds.
    pub(super) async fn seek_orphans_for_ever(&self) {
        loop {
            let look = self.looks.seek_due().await;
            // Why a source does not answer is its trouble.
            let orphans = self.source.orphans(&self.queues()).await.ok();
            self.looks.sought.send_replace((look, orphans));
        }
    }

    /// Returns the jobs that nobody will run, as the last look has found them; none if it has not.
    pub(crate) fn orphans(&self, look: u64) -> Option<Vec<Orphans>> {
        let sought = self.looks.sought.borrow();
        sought.1.clone().filter(|_| sought.0 >= look)
    }

    /// Waits until the look of this number is over.
    ///
    /// # Cancel safety
    /// It goes on without whoever waits.
    pub(crate) async fn has_looked(&self, look: u64) {
        let _sought = self.looks.sought.subscribe().wait_for(|(sought, _)| *sought >= look).await.map(drop);
        for part in [&self.looks.counted, &self.looks.settled] {
            // It is never closed: this holds it.
            let mut done = part.subscribe();
            let _over = done.wait_for(|done| *done >= look).await;
        }
    }

    /// Returns what the last look has found up to now.
    pub(crate) fn looked(&self) -> Found {
        let before = *self.looks.before.lock().unwrap_or_else(PoisonError::into_inner);
        self.looks.tally.now().since(before)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_nobody_will_run_is_sought_once_for_each_look_when_its_queues_are_known() {
        let looks = Looks::default();
        looks.asked.send_replace(7);
        let due = || looks.seek_due().now_or_never();
        assert_eq!(due(), None);
        looks.note_scanned(7, 3);
        assert_eq!(due(), Some(7));
        looks.sought.send_replace((7, None));
        assert_eq!(due(), None);
        looks.note_scanned(8, 3);
        looks.note_scanned(9, 3);
        assert_eq!(due(), Some(9), "the last one does for those before");
    }

    #[test]
    fn a_look_is_over_when_each_part_of_it_is_and_each_waits_for_what_it_needs() {
        let looks = Looks::default();
        assert_eq!((looks.scan_due(), looks.follow_due(), looks.settle_due()), (None, None, None));
        looks.asked.send_replace(7);
        assert_eq!((looks.scan_due(), looks.follow_due(), looks.settle_due()), (Some(7), Some(7), None));
        assert_eq!(looks.count_due(|_| true), None);
        looks.note_scanned(7, 3);
        assert_eq!((looks.count_due(|batches| batches < 3), looks.count_due(|batches| batches <= 3)), (None, Some(7)));
        looks.note_counted(7);
        looks.note_followed(7);
        assert_eq!((looks.count_due(|_| true), looks.settle_due()), (None, Some(7)));
        looks.note_settled(7);
        assert_eq!((looks.scan_due(), looks.follow_due(), looks.settle_due()), (None, None, None));
    }
}
