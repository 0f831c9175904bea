//! When a letter is tried again: exponential back-off with jitter; the random number comes in.

use std::time::Duration;

/// How waits are spread, so that what failed together does not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Anything up to the ceiling.
    Full,
    /// The upper half: who asks for less must get less, and a full one may come to nothing.
    Equal,
}

/// How often and how soon letters of a class are redriven without anybody's asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The ceiling of the first wait.
    pub base: Duration,
    /// The ceiling of every wait.
    pub cap: Duration,
    /// How waits are spread.
    pub jitter: Jitter,
    /// Redrives of one job, at most, however often it fails.
    pub tries: u32,
    /// How long after its first failure.
    pub within: Duration,
}

impl Retry {
    /// Returns the wait before redrive number `tried` + 1, for a `random` number from 0 to 1.
    pub fn wait(&self, tried: u32, random: f64) -> Duration {
        let ceiling = self.base.saturating_mul(2u32.saturating_pow(tried.min(31))).min(self.cap);
        let random = random.clamp(0.0, 1.0);
        match self.jitter {
            Jitter::Full => ceiling.mul_f64(random),
            Jitter::Equal => ceiling.mul_f64(0.5 + 0.5 * random),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retry(jitter: Jitter) -> Retry {
        let [base, cap, within] = [30, 3600, 86_400].map(Duration::from_secs);
        Retry { base, cap, jitter, tries: 5, within }
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let ceilings: Vec<u64> =
            [0, 1, 2, 6, 7, 99].iter().map(|n| retry(Jitter::Full).wait(*n, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [30, 60, 120, 1920, 3600, 3600]);
    }

    proptest! {
        #[test]
        fn waits_stay_within_what_their_jitter_allows(tried: u32, random in 0.0..=1.0f64) {
            let ceiling = retry(Jitter::Full).wait(tried, 1.0);
            prop_assert!(retry(Jitter::Full).wait(tried, random) <= ceiling);
            let equal = retry(Jitter::Equal).wait(tried, random);
            prop_assert!(equal >= ceiling / 2 && equal <= ceiling);
        }
    }
}
