//! What has happened in each queue since this daemon acts, for whoever tells people of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Queues that are counted, at most: whoever writes to a dead letter queue chooses their names.
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
        if let Some(counts) = counts.get_mut(queue) {
            noting(counts);
        } else if counts.len() < MOST {
            noting(counts.entry(queue.to_owned()).or_default());
        }
    }

    pub(super) fn all(&self) -> BTreeMap<String, QueueCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
