//! What is so with letters that wait for a person. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::Numbers;

/// What is so with letters that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WaitingFacts {
    /// How long ago the oldest parked letter of each class was taken in.
    pub(super) parked: BTreeMap<String, Duration>,
    /// Letters of which nobody knows whether they were put back.
    pub(super) uncertain: u64,
}

impl WaitingFacts {
    /// What the ledger counted at a time, in milliseconds since the epoch.
    pub(crate) fn of(numbers: &Numbers, now_ms: i64) -> Self {
        let of_state = |state: &'static str| numbers.0.iter().filter(move |count| count.state == state);
        let age = |oldest_ms: i64| Duration::from_millis(u64::try_from(now_ms.saturating_sub(oldest_ms)).unwrap_or(0));
        Self {
            parked: of_state("parked").map(|count| (count.class.clone(), age(count.oldest_ms))).collect(),
            uncertain: of_state("uncertain").map(|count| count.letters).sum(),
        }
    }
}
