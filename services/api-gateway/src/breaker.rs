//! Spares a peer that does not answer, and those who wait for it: after some failures in a row nobody is sent there for a
//! while, then one request tries. What it answers, whatever it says, is no failure. Pure, but for the lock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The state for one peer.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// Failures in a row that open it.
    failures: u32,
    /// How long nobody is sent then.
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everybody is sent.
    Closed { failures: u32 },
    /// Nobody is, until then.
    Open { until: Instant },
    /// One is under way to try; if nothing is heard of it until then, the next one tries.
    Trying { until: Instant },
}

const CLOSED: State = State::Closed { failures: 0 };

impl State {
    /// Returns whether a request may be sent now, or how long to wait.
    fn admit(self, pause: Duration, now: Instant) -> (Self, Result<(), Duration>) {
        match self {
            Self::Closed { .. } => (self, Ok(())),
            Self::Open { until } | Self::Trying { until } if now < until => (self, Err(until - now)),
            Self::Open { .. } | Self::Trying { .. } => (Self::Trying { until: now + pause }, Ok(())),
        }
    }

    fn after_failure(self, most: u32, pause: Duration, now: Instant) -> Self {
        match self {
            Self::Closed { failures } if failures + 1 < most => Self::Closed { failures: failures + 1 },
            // Those that were under way before it opened change nothing.
            Self::Open { .. } => self,
            Self::Closed { .. } | Self::Trying { .. } => Self::Open { until: now + pause },
        }
    }
}

impl Breaker {
    pub(crate) fn new(failures: u32, pause: Duration) -> Self {
        Self { failures, pause, state: Mutex::new(CLOSED) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a request may be sent.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        let (next, admitted) = state.admit(self.pause, now);
        *state = next;
        admitted
    }

    /// Notes that it answered; returns whether that has closed it.
    pub(crate) fn succeeded(&self) -> bool {
        let before = std::mem::replace(&mut *self.state(), CLOSED);
        !matches!(before, State::Closed { .. })
    }

    /// Notes that it did not; returns whether that has opened it.
    pub(crate) fn failed(&self, now: Instant) -> bool {
        let mut state = self.state();
        let before = *state;
        *state = before.after_failure(self.failures, self.pause, now);
        !matches!(before, State::Open { .. }) && matches!(*state, State::Open { .. })
    }

    /// Returns whether everybody is sent.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(*self.state(), State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_five_failures_in_a_row_one_request_tries_every_five_seconds() {
        let (breaker, start) = (Breaker::new(5, Duration::from_secs(5)), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        for _failure in 0..4 {
            assert!(!breaker.failed(start));
        }
        assert!(!breaker.succeeded(), "it was not open");
        let opened: Vec<bool> = (0..6).map(|_| breaker.failed(start)).collect();
        assert_eq!(opened, [false, false, false, false, true, false]);
        assert_eq!(breaker.admit(at(2)), Err(Duration::from_secs(3)));
        assert_eq!(breaker.admit(at(5)), Ok(()));
        assert_eq!(breaker.admit(at(5)), Err(Duration::from_secs(5)), "one tries, and others wait for what it finds");
        assert!(breaker.failed(at(6)));
        assert_eq!(breaker.admit(at(7)), Err(Duration::from_secs(4)));
        assert_eq!(breaker.admit(at(11)), Ok(()));
        // Its client left: nothing was heard of it.
        assert_eq!(breaker.admit(at(16)), Ok(()));
        assert!(breaker.succeeded());
        assert!(breaker.is_closed() && breaker.admit(at(16)).is_ok());
    }
}
