//! Failures that come all at once: what is done in vain then is not done more often.

/// How many times more than usual is a flood (dlq.md gives ten).
const TIMES: f64 = 10.0;
/// Failures a minute that are no flood, however few are usual.
const FEW: f64 = 1000.0;
/// Weight of the last minute in what is usual: a quarter of an hour is remembered.
const WEIGHT: f64 = 1.0 / 15.0;
/// A minute, in milliseconds.
const MINUTE_MS: i64 = 60_000;

/// Failures of one destination, by the minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Flood {
    began_ms: i64,
    of_minute: f64,
    usual: f64,
    is_told: bool,
}

impl Flood {
    /// None has come yet.
    pub fn new(now_ms: i64) -> Self {
        Self { began_ms: now_ms, of_minute: 0.0, usual: 0.0, is_told: false }
    }

    /// Notes failures, and returns whether they begin a flood: once for each minute of it.
    pub fn came(&mut self, failures: usize, now_ms: i64) -> bool {
        if now_ms < self.began_ms {
            // The clock was set back.
            self.began_ms = now_ms;
        }
        let mut passed = (now_ms - self.began_ms) / MINUTE_MS;
        self.began_ms += passed * MINUTE_MS;
        if passed > 0 {
            self.is_told = false;
        }
        while passed > 0 && (self.of_minute > 0.0 || self.usual > f64::EPSILON) {
            self.usual += (self.of_minute - self.usual) * WEIGHT;
            self.of_minute = 0.0;
            passed -= 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "failures of one minute")]
        let failures = failures as f64;
        self.of_minute += failures;
        let is_flood = self.of_minute > (self.usual * TIMES).max(FEW);
        let is_news = is_flood && !self.is_told;
        self.is_told |= is_flood;
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_what_is_usual_is_a_flood_and_told_once_a_minute() {
        let mut flood = Flood::new(0);
        assert!(!flood.came(1000, 10));
        assert!(flood.came(1, 20));
        assert!(!flood.came(500, 30), "told");
        assert!(flood.came(1001, MINUTE_MS), "and still going on: it is not usual yet");
        let mut busy = Flood::new(0);
        let told = (0..120).filter(|minute| busy.came(2000, minute * MINUTE_MS)).count();
        assert!((1..=2).contains(&told), "what always comes is usual: {told}");
        assert!(!busy.came(10_000, 120 * MINUTE_MS));
        assert!(busy.came(11_000, 120 * MINUTE_MS + 1));
    }

    #[test]
    fn years_without_a_failure_are_counted_in_no_time() {
        let mut flood = Flood::new(0);
        flood.came(5, 0);
        assert!(!flood.came(1, i64::MAX / 2));
        assert!(!flood.came(1, 0), "a clock that is set back");
    }
}
