//! Exponential back-off with full jitter; pure, the random number comes in.

use std::time::Duration;

/// How long to wait before try `n`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Longest wait before the second try.
    pub base: Duration,
    /// Longest wait ever.
    pub cap: Duration,
}

impl Backoff {
    /// Returns the wait after `failures` failed tries, for a `random` number from 0 to 1.
    ///
    /// Full jitter: anything from a tenth of the ceiling up to it, so that many clients do not come back together
    /// (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog).
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let ceiling = self.base.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(31))).min(self.cap);
        ceiling.mul_f64(0.1 + 0.9 * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_jitter_stays_below_it() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
        let ceilings: Vec<u64> = [1, 2, 3, 7, 100].iter().map(|n| backoff.delay(*n, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 60, 60]);
        assert_eq!(backoff.delay(3, 0.0), Duration::from_millis(400));
    }
}
