//! The leaky bucket that sets the delay before a restart: it fills with exits and leaks with healthy run time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Half the width of the jitter: ± 20 % (DESIGN 7), so that services which died together do not start together.
pub const JITTER_RATIO: f64 = 0.2;

/// The numbers of supervision; the defaults are DESIGN section 7's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Delay before the first restart. 1 s.
    pub base: Duration,
    /// The longest delay before giving up. 300 s.
    pub cap: Duration,
    /// Healthy run time that leaks one level. 2 min.
    pub stable: Duration,
    /// The bucket is no deeper than this, so that a day of failed tries is forgiven as fast as the first. 10.
    pub max_level: f64,
    /// Unplanned exits within `loop_window` that make a loop. 3.
    pub loop_exits: usize,
    /// The window of `loop_exits`. 10 min.
    pub loop_window: Duration,
    /// The level that makes a loop. 3.
    pub loop_level: f64,
    /// Time without an exit that ends a loop, and run time that ends probation. 10 min.
    pub stable_for: Duration,
    /// The level at which to give up. 8.
    pub give_up_level: f64,
    /// Exits in a row that no restart can cure (126, 127, 78) at which to give up. 2: one may be a deploy half done.
    pub hopeless_exits: u32,
    /// Delay after such an exit: long enough for a deploy to finish copying. 30 s.
    pub hopeless_delay: Duration,
    /// Wait before the first half-open try; doubles with each. 15 min.
    pub first_try: Duration,
    /// The longest wait before a half-open try. 4 h.
    pub try_cap: Duration,
    /// The windows of slow loops, each with its number of exits of like cause: 4 in 6 h, 6 in 7 d.
    pub recurring: [(usize, Duration); 2],
    /// Anonymous restarts in an hour that make the finding. 5.
    pub anonymous_restarts: usize,
    /// The window of `anonymous_restarts`. 1 h.
    pub anonymous_window: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(300),
            stable: 2 * MINUTE,
            max_level: 10.0,
            loop_exits: 3,
            loop_window: 10 * MINUTE,
            loop_level: 3.0,
            stable_for: 10 * MINUTE,
            give_up_level: 8.0,
            hopeless_exits: 2,
            hopeless_delay: Duration::from_secs(30),
            first_try: 15 * MINUTE,
            try_cap: 4 * HOUR,
            recurring: [(4, 6 * HOUR), (6, 7 * 24 * HOUR)],
            anonymous_restarts: 5,
            anonymous_window: HOUR,
        }
    }
}

impl Policy {
    /// Returns the wait before half-open try number `tries` (0 is the first): 15, 30, 60 … min.
    pub fn try_wait(&self, tries: u32) -> Duration {
        // 2^31 times anything above a millisecond is past every cap.
        self.first_try.saturating_mul(1 << tries.min(31)).min(self.try_cap)
    }
}

/// How often a program died lately, with all it ran well since taken off again.
///
/// The level is a fraction: a run of 119 s leaks nearly as much as one of 120 s, so there is no cliff to live next to
/// (Docker forgets all after 10 s, supervisord after 1 s, systemd nothing ever).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Bucket {
    level: f64,
}

impl Bucket {
    /// Returns the level, from 0 to [`Policy::max_level`].
    pub const fn level(self) -> f64 {
        self.level
    }

    /// Returns the bucket after a run of `healthy`.
    #[must_use]
    pub fn leak(self, healthy: Duration, policy: &Policy) -> Self {
        let leaked = healthy.as_secs_f64() / policy.stable.as_secs_f64();
        Self { level: (self.level - leaked).max(0.0) }
    }

    /// Returns the bucket after one more unplanned exit.
    #[must_use]
    pub fn fill(self, policy: &Policy) -> Self {
        Self { level: (self.level + 1.0).min(policy.max_level) }
    }

    /// Returns the delay, before jitter, that an exit at this level earns: min(cap, base · 2^level).
    ///
    /// Ask before [`Bucket::fill`]: an exit out of an empty bucket restarts after `base`.
    pub fn delay(self, policy: &Policy) -> Duration {
        policy.base.mul_f64(self.level.exp2()).min(policy.cap)
    }
}

/// Spreads `delay` by ± 20 %; `random` is in 0..1, and 0.5 leaves the delay as it is.
pub fn with_jitter(delay: Duration, random: f64) -> Duration {
    let random = random.clamp(0.0, 1.0);
    delay.mul_f64(JITTER_RATIO.mul_add(2.0 * random - 1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Delay that each exit of a history earns; the history is the run lengths in seconds.
    fn delays(runs: &[u64]) -> Vec<Duration> {
        let policy = Policy::default();
        let mut bucket = Bucket::default();
        let mut delays = Vec::new();
        for &secs in runs {
            bucket = bucket.leak(Duration::from_secs(secs), &policy);
            delays.push(bucket.delay(&policy));
            bucket = bucket.fill(&policy);
        }
        delays
    }

    #[test]
    fn a_program_that_dies_at_once_waits_1_2_4_8_seconds_up_to_the_cap() {
        let seconds: Vec<u64> = delays(&[0; 11]).iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn dying_every_11_seconds_reaches_the_cap_and_once_a_month_always_restarts_at_base() {
        assert_eq!(delays(&[11; 20]).last(), Some(&Duration::from_secs(300)));
        assert!(delays(&[30 * 24 * 3600; 50]).iter().all(|&delay| delay == Duration::from_secs(1)));
    }

    #[test]
    fn half_open_tries_wait_15_30_60_minutes_and_at_most_4_hours() {
        let minutes: Vec<u64> = (0..6).map(|tries| Policy::default().try_wait(tries).as_secs() / 60).collect();
        assert_eq!(minutes, [15, 30, 60, 120, 240, 240]);
        assert_eq!(Policy::default().try_wait(u32::MAX), Duration::from_secs(4 * 3600));
    }

    proptest! {
        #[test]
        fn delay_is_monotone_in_crash_density(pairs in prop::collection::vec((0u64..1_000, 0u64..1_000), 1..40)) {
            let dense: Vec<u64> = pairs.iter().map(|(short, _)| *short).collect();
            let sparse: Vec<u64> = pairs.iter().map(|(short, more)| short + more).collect();
            for (dense, sparse) in delays(&dense).into_iter().zip(delays(&sparse)) {
                prop_assert!(dense >= sparse);
            }
        }

        #[test]
        fn one_more_crash_in_the_middle_of_a_run_never_shortens_the_last_delay(
            runs in prop::collection::vec(0u64..1_000, 1..40), at in any::<prop::sample::Index>(), cut in 0.0..1.0f64,
        ) {
            let at = at.index(runs.len());
            let mut more = runs.clone();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "below 1000")]
            let first = (runs[at] as f64 * cut) as u64;
            more[at] = runs[at] - first;
            more.insert(at, first);
            let (fewer, more) = (delays(&runs), delays(&more));
            // A microsecond of slack: sums of fractions are not exact.
            prop_assert!(*more.last().unwrap() + Duration::from_micros(1) >= *fewer.last().unwrap());
        }

        #[test]
        fn level_and_delay_stay_within_bounds(runs in prop::collection::vec(0u64..10_000_000, 0..60)) {
            let policy = Policy::default();
            let mut bucket = Bucket::default();
            for secs in runs {
                bucket = bucket.leak(Duration::from_secs(secs), &policy);
                prop_assert!(bucket.level() >= 0.0);
                bucket = bucket.fill(&policy);
                prop_assert!(bucket.level() <= policy.max_level);
                prop_assert!((policy.base..=policy.cap).contains(&bucket.delay(&policy)));
            }
        }

        #[test]
        fn jitter_stays_within_a_fifth_and_keeps_the_order_of_its_random_number(secs in 1u64..400, one in 0.0..1.0f64, two in 0.0..1.0f64) {
            let delay = Duration::from_secs(secs);
            let spread = with_jitter(delay, one);
            prop_assert!(spread >= delay.mul_f64(0.799_999) && spread <= delay.mul_f64(1.200_001));
            prop_assert_eq!(with_jitter(delay, one.min(two)) <= with_jitter(delay, one.max(two)), true);
            prop_assert_eq!(with_jitter(delay, 0.5), delay);
        }
    }
}
