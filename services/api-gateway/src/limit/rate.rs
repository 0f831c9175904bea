//! How many requests somebody may make in a minute. Pure: the generic cell rate algorithm (ITU-T I.371, annex A), which
//! keeps one time for each, and lets a whole minute's requests come at once but no more than that in any minute on average.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// A minute, in nanoseconds.
const MINUTE_NS: u64 = 60_000_000_000;

/// So many requests in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_minute: NonZeroU32,
}

/// What comes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    /// How many more may follow at once.
    pub(crate) remaining: u32,
    /// Until none of them counts any more.
    pub(crate) full_in: Duration,
    /// How long to wait instead, if it may not be made.
    pub(crate) wait: Option<Duration>,
}

impl Rate {
    /// What one request costs, in nanoseconds.
    pub(crate) fn cost_ns(self) -> u64 {
        MINUTE_NS / u64::from(self.per_minute.get())
    }

    /// Returns how much may be owed at most, in nanoseconds.
    pub(crate) fn most_ns(self) -> u64 {
        self.cost_ns() * u64::from(self.per_minute.get())
    }

    /// Decides on a request of somebody who owes so much, and returns what he owes then. Times are in nanoseconds.
    fn decide(self, owed_ns: u64) -> (Decision, u64) {
        let after = owed_ns.saturating_add(self.cost_ns());
        match after.checked_sub(self.most_ns()) {
            Some(over) if over > 0 => (self.decision(owed_ns, Some(Duration::from_nanos(over))), owed_ns),
            _ => (self.decision(after, None), after),
        }
    }

    /// Decides on a request that is made now by somebody who owes something until then, which it moves.
    pub(crate) fn take(self, until: &mut Instant, now: Instant) -> Decision {
        let owed = until.saturating_duration_since(now);
        let (decision, owed_ns) = self.decide(u64::try_from(owed.as_nanos()).unwrap_or(u64::MAX));
        if decision.wait.is_none() {
            *until = now + Duration::from_nanos(owed_ns);
        }
        decision
    }

    /// Tells of somebody who owes so much.
    pub(crate) fn decision(self, owed_ns: u64, wait: Option<Duration>) -> Decision {
        let free = self.most_ns().saturating_sub(owed_ns) / self.cost_ns();
        let remaining = u32::try_from(free).unwrap_or(u32::MAX);
        Decision { remaining, full_in: Duration::from_nanos(owed_ns), wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_minute: NonZeroU32::new(60).expect("above 0") };

    #[test]
    fn a_minutes_requests_may_come_at_once_and_then_one_a_second() {
        let (mut owed, mut remaining) = (0, Vec::new());
        for _request in 0..60 {
            let (decision, after) = RATE.decide(owed);
            assert_eq!(decision.wait, None);
            remaining.push(decision.remaining);
            owed = after;
        }
        assert_eq!((remaining.first(), remaining.last()), (Some(&59), Some(&0)));
        let (refused, after) = RATE.decide(owed);
        assert_eq!((refused.wait, after), (Some(Duration::from_secs(1)), owed), "what is refused costs nothing");
        let (decision, _) = RATE.decide(owed - 1_000_000_000);
        assert_eq!((decision.wait, decision.remaining, decision.full_in), (None, 0, Duration::from_secs(60)));
    }

    #[test]
    fn whatever_the_figure_nobody_gets_more_in_a_minute() {
        for per_minute in [1, 7, 1000, 59_999, 4_000_000_000] {
            let rate = Rate { per_minute: NonZeroU32::new(per_minute).unwrap() };
            assert!(rate.most_ns() <= MINUTE_NS && rate.cost_ns() > 0, "{per_minute}");
            assert_eq!(rate.decide(rate.most_ns()).0.wait, Some(Duration::from_nanos(rate.cost_ns())), "{per_minute}");
        }
    }
}
