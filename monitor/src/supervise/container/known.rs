//! A run as we know it of the engine: when it began, its id, and how long the engine waits after it. Pure.

use std::time::Duration;

use jiff::Timestamp;
use kit::clock::elapsed;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::supervise::ledger::{Ledger, Run};

/// The engine tells of a start after it has noted when it began; an event this close tells of the run we know.
pub(super) const START_EVENT_LATE: Duration = Duration::from_secs(2);

/// Docker's delay before a restart: it doubles from 100 ms up to a minute, and begins anew after a run of 10 s (moby,
/// `restartmanager/restartmanager.go`).
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
const DELAY_FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// A run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) run: Uuid,
    /// When the engine says it began, or a little later, when it told so.
    pub(super) began: Timestamp,
    pub(super) ended: Option<Timestamp>,
}

impl Known {
    /// Returns whether this is the run that the engine says began then.
    pub(super) fn is(self, began: Timestamp) -> bool {
        let is_told_late = began < self.began && elapsed(began, self.began) < START_EVENT_LATE;
        began == self.began || is_told_late && self.ended.is_none_or(|ended| ended > began)
    }
}

/// Returns the id of the run of `container` that began then: the same whenever it is asked.
pub(super) fn run_id(container: &str, began: Timestamp) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(container);
    hash.update(began.as_nanosecond().to_be_bytes());
    let mut tail = [0; 10];
    tail.iter_mut().zip(hash.finalize()).for_each(|(byte, hashed)| *byte = hashed);
    let millis = u64::try_from(began.as_millisecond()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
}

/// Returns about how long Docker waits before the next start.
pub(super) fn restart_delay(ledger: &Ledger) -> Duration {
    let length = |run: &Run| run.end.as_ref().map(|end| end.at.at.since(run.started.at));
    let is_short = |run: &&Run| length(run).is_some_and(|length| length < DELAY_FORGOTTEN_AFTER);
    let short = ledger.runs().rev().take_while(is_short).count();
    let doublings = u32::try_from(short.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_DELAY.saturating_mul(1 << doublings.min(16)).min(LONGEST_DELAY)
}
