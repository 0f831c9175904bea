//! A token bucket: so many a second, and so many at once.

/// Tokens, as of a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at_ms: i64,
}

impl Bucket {
    /// A full one.
    pub fn new(per_second: f64, burst: f64, now_ms: i64) -> Self {
        Self { per_second, burst: burst.max(1.0), tokens: burst.max(1.0), at_ms: now_ms }
    }

    /// Gives so many tokens a second from now on, and as many at once.
    pub fn set(&mut self, per_second: f64, now_ms: i64) {
        self.fill(now_ms);
        (self.per_second, self.burst) = (per_second, per_second.max(1.0));
        self.tokens = self.tokens.min(self.burst);
    }

    /// Takes up to `wanted` tokens, and returns how many there were.
    pub fn take(&mut self, wanted: usize, now_ms: i64) -> usize {
        self.fill(now_ms);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the burst")]
        let taken = (self.tokens.floor() as usize).min(wanted);
        #[expect(clippy::cast_precision_loss, reason = "at most the burst")]
        let left = self.tokens - taken as f64;
        self.tokens = left;
        taken
    }

    /// Returns how many there are.
    pub fn tokens(&mut self, now_ms: i64) -> f64 {
        self.fill(now_ms);
        self.tokens
    }

    /// A clock that is set back adds nothing.
    fn fill(&mut self, now_ms: i64) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of hours")]
        let passed_secs = (now_ms - self.at_ms).max(0) as f64 / 1000.0;
        self.tokens = (self.tokens + passed_secs * self.per_second).min(self.burst);
        self.at_ms = self.at_ms.max(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_gives_its_burst_and_then_so_many_a_second() {
        let mut bucket = Bucket::new(20.0, 5.0, 0);
        assert_eq!(bucket.take(10, 0), 5);
        assert_eq!(bucket.take(10, 49), 0);
        assert_eq!(bucket.take(10, 50), 1);
        assert_eq!(bucket.take(10, 10_000), 5);
        assert_eq!(bucket.take(10, 9_000), 0, "a clock that is set back");
    }

    proptest! {
        #[test]
        fn it_never_gives_more_than_its_rate_and_one_burst(asks in proptest::collection::vec((0..50usize, 0..500i64), 1..200)) {
            let (mut bucket, mut now_ms, mut given) = (Bucket::new(20.0, 10.0, 0), 0, 0);
            for (wanted, wait_ms) in asks {
                now_ms += wait_ms;
                given += bucket.take(wanted, now_ms);
            }
            prop_assert!(given as f64 <= 10.0 + 20.0 * now_ms as f64 / 1000.0 + 1e-6);
        }
    }
}
