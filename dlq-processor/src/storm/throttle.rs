//! Slows the redrives of a queue down while whoever does its jobs says that too much is asked at once, and lets them get faster
//! again by and by.

/// What is left of a rate each time: AIMD's decrease, as TCP has it (RFC 5681, section 3.1).
const LESS: f64 = 0.5;
/// Of what is said within so long, once is heeded: it was asked at the rate from before. In milliseconds.
const ONCE_MS: i64 = 5_000;
/// In so long the rate doubles, in milliseconds.
const DOUBLES_MS: f64 = 60_000.0;
/// The least share of a rate: an hour of tries at 20/s are then still over a thousand.
const LEAST: f64 = 1.0 / 64.0;

/// The share of its rate that a queue is redriven at.
#[derive(Debug, Clone, PartialEq)]
pub struct Throttle {
    share: f64,
    at_ms: i64,
}

impl Throttle {
    /// At the time of the first word that it was too much.
    pub fn new(now_ms: i64) -> Self {
        Self { share: LESS, at_ms: now_ms }
    }

    /// Notes that it was too much again, and returns whether it is slower now.
    pub fn throttled(&mut self, now_ms: i64) -> bool {
        if (self.at_ms..self.at_ms.saturating_add(ONCE_MS)).contains(&now_ms) {
            return false;
        }
        *self = Self { share: (self.share(now_ms) * LESS).max(LEAST), at_ms: now_ms };
        true
    }

    /// Returns the share, from little to 1. A clock that is set back changes nothing.
    pub fn share(&self, now_ms: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a little less precise after 285,000 years")]
        let passed_ms = now_ms.saturating_sub(self.at_ms).max(0) as f64;
        (self.share * (passed_ms / DOUBLES_MS).exp2()).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_halves_a_rate_once_for_words_that_come_together_and_is_over_after_a_while() {
        let mut throttle = Throttle::new(0);
        assert_eq!(throttle.share(0), 0.5);
        assert!(!throttle.throttled(ONCE_MS - 1), "it was asked before");
        assert!(throttle.throttled(ONCE_MS));
        let least = throttle.share(ONCE_MS);
        assert!((0.25..0.3).contains(&least), "{least}");
        assert_eq!(throttle.share(ONCE_MS + 60_000), least * 2.0);
        assert_eq!(throttle.share(i64::MAX), 1.0);
        assert_eq!(throttle.share(-1), least, "a clock that is set back");
        assert!(throttle.throttled(-1), "and is believed");
    }

    proptest! {
        #[test]
        fn something_is_always_redriven(waits in proptest::collection::vec(0..100_000i64, 1..200)) {
            let (mut throttle, mut now_ms) = (Throttle::new(0), 0);
            for wait_ms in waits {
                now_ms += wait_ms;
                throttle.throttled(now_ms);
                prop_assert!((LEAST..=1.0).contains(&throttle.share(now_ms)));
            }
        }
    }
}
