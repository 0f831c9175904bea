//! Whether a place can be asked now, and since when it has not taken anything. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::post::LONGEST_WAIT;
use crate::backoff::Backoff;
use crate::clock::later;

/// How one place has been answering.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outage {
    /// Failures in a row.
    failures: u32,
    /// Not to be asked before.
    until: Option<Timestamp>,
    /// By this process.
    last_accepted: Option<Timestamp>,
}

impl Outage {
    pub(super) fn accepted(&mut self, now: Timestamp) {
        *self = Self { last_accepted: Some(now), ..Self::default() };
    }

    /// The place is not there or has too much to do; `wait` is what it asked for. One that asks for less than our own
    /// back-off, or for nothing, is not hammered.
    pub(super) fn failed(&mut self, now: Timestamp, wait: Option<Duration>, backoff: Backoff, random: f64) {
        self.failures = self.failures.saturating_add(1);
        let wait = wait.unwrap_or_default().max(backoff.delay(self.failures, random));
        // Several requests fail together: the longest wait holds.
        self.until = self.until.max(Some(later(now, wait)));
    }

    /// Returns until when the place must not be asked, if that is so now. No wait is longer than [`LONGEST_WAIT`]: if one
    /// seems to be, the clock was set back, and the place is asked.
    pub(super) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| *until > now && *until <= later(now, LONGEST_WAIT))
    }

    /// Returns whether the last thing it did was to fail.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Returns when something that happened at `since` has waited for `bound` without anything being accepted.
    pub(super) fn too_long_at(&self, since: Timestamp, bound: Duration) -> Timestamp {
        later(self.last_accepted.map_or(since, |accepted| accepted.max(since)), bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_fails_is_left_alone_for_as_long_as_it_asks() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(8) };
        let mut outage = Outage::default();
        outage.failed(at(0), Some(Duration::ZERO), backoff, 1.0);
        assert_eq!(outage.until(at(0)), Some(at(1)), "it asked for no wait at all");
        let mut outage = Outage::default();
        assert_eq!((outage.until(at(0)), outage.is_failing()), (None, false));
        outage.failed(at(0), None, backoff, 1.0);
        outage.failed(at(0), None, backoff, 1.0);
        assert_eq!((outage.until(at(1)), outage.until(at(2))), (Some(at(2)), None));
        outage.failed(at(2), Some(Duration::from_secs(30)), backoff, 1.0);
        outage.failed(at(2), None, backoff, 1.0);
        assert_eq!(outage.until(at(31)), Some(at(32)));
        assert_eq!(outage.until(at(31 - 3600)), None, "somebody has set the clock back by an hour");
        assert!(outage.is_failing());
        let bound = Duration::from_secs(120);
        assert_eq!(outage.too_long_at(at(5), bound), at(125));
        outage.accepted(at(40));
        assert_eq!((outage.until(at(40)), outage.is_failing()), (None, false));
        assert_eq!((outage.too_long_at(at(5), bound), outage.too_long_at(at(50), bound)), (at(160), at(170)));
    }
}
