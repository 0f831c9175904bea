//! How much of what is only counted has come lately. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// A count that only grows, and how it has grown lately.
#[derive(Debug, Default)]
pub(super) struct Lately {
    counted: u64,
    /// When it was so much more, the latest last.
    grown: VecDeque<(Duration, u64)>,
}

impl Lately {
    /// Notes the count at a time.
    pub(super) fn note(&mut self, counted: u64, now: Duration) {
        let more = counted.saturating_sub(self.counted);
        if more > 0 {
            self.counted = counted;
            self.grown.push_back((now, more));
        }
    }

    /// Returns by how much it has grown within this time, and when that began; none if it has not.
    pub(super) fn within(&mut self, length: Duration, now: Duration) -> Option<(u64, Duration)> {
        while self.grown.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= length) {
            self.grown.pop_front();
        }
        let (began, _) = *self.grown.front()?;
        Some((self.grown.iter().map(|(_, more)| more).sum(), began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_within_the_time_is_counted() {
        let (secs, mut lately) = (Duration::from_secs, Lately::default());
        for (at, counted, expected) in [
            (0, 0, None),
            (1, 2, Some((2, secs(1)))),
            (5, 2, Some((2, secs(1)))),
            (6, 5, Some((5, secs(1)))),
            (10, 5, Some((5, secs(1)))),
            (11, 5, Some((3, secs(6)))),
            (15, 6, Some((4, secs(6)))),
            (16, 6, Some((1, secs(15)))),
            (25, 6, None),
        ] {
            lately.note(counted, secs(at));
            assert_eq!(lately.within(secs(10), secs(at)), expected, "at {at} s");
        }
    }
}
