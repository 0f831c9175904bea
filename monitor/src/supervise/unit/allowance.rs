//! How often something may be done: so many times at once, and then once in a while. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// An allowance that fills up again.
#[derive(Debug)]
pub(super) struct Allowance {
    most: u32,
    every: Duration,
    left: u32,
    counted: Instant,
}

impl Allowance {
    /// Allows `most` at once, and one more after each `every`.
    pub(super) fn new(most: u32, every: Duration, now: Instant) -> Self {
        Self { most, every, left: most, counted: now }
    }

    /// Returns whether it may be done now, and counts that.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.left < self.most && now.duration_since(self.counted) >= self.every {
            self.left += 1;
            self.counted += self.every;
        }
        if self.left == self.most {
            self.counted = now;
        }
        self.left.checked_sub(1).map(|left| self.left = left).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_now_and_then() {
        let start = Instant::now();
        let mut allowance = Allowance::new(8, Duration::from_millis(500), start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!((0..20).filter(|ms| allowance.take(at(*ms))).count(), 8);
        assert!(!allowance.take(at(499)) && allowance.take(at(510)) && !allowance.take(at(600)));
        assert_eq!((60_000..60_020).filter(|ms| allowance.take(at(*ms))).count(), 8, "it forgets");
    }
}
