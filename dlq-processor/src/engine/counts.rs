//! What has happened in each queue since this daemon acts, for whoever tells people of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::destinations::OTHERS;

/// Queues that are counted, at most: whoever writes to a dead letter queue chooses their names. Those beyond are counted as one.
const MOST: usize = 1_000;

/// What has happened in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueCounts {
    /// Failures that were missed.
    pub(crate) missed: u64,
    /// Letters that were taken in soon after they failed: what failed long ago says nothing of now.
    pub(crate) died: u64,
    /// Redriven letters that were done.
    pub(crate) done: u64,
    /// Redriven letters whose jobs failed again.
    pub(crate) recurred: u64,
}

/// The counts of the queues of one source.
#[derive(Default)]
pub(super) struct Counts(Mutex<BTreeMap<String, QueueCounts>>);

impl Counts {
    pub(super) fn note(&self, queue: &str, noting: impl FnOnce(&mut QueueCounts)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told_apart = counts.contains_key(queue) || counts.len() < MOST;
        noting(counts.entry(if is_told_apart { queue } else { OTHERS }.to_owned()).or_default());
    }

    pub(super) fn all(&self) -> BTreeMap<String, QueueCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_in_queues_beyond_a_bound_is_counted_as_of_one() {
        let counts = Counts::default();
        for queue in 0..MOST + 10 {
            counts.note(&queue.to_string(), |counts| counts.missed += 2);
        }
        counts.note("7", |counts| counts.missed += 1);
        let all = counts.all();
        assert_eq!((all["7"].missed, all[OTHERS].missed, all.len()), (3, 20, MOST + 1));
    }
}
