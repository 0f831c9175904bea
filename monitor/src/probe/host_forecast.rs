//! When a disk will be full at its present rate. Pure: readings in, a projection out.

use std::collections::VecDeque;
use std::time::Duration;

use kit::clock::Moment;
use kit::config::show_duration;

/// Readings that are kept are this far apart: a rate over hours needs no more.
const APART: Duration = Duration::from_secs(15 * 60);
/// How far back readings count: a day has its busy hours and its backups.
const WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Nothing is said before so much time was seen, in so many readings: an hour's copying is no trend.
const ENOUGH: Duration = Duration::from_secs(6 * 3600);
const ENOUGH_READINGS: usize = 12;

/// What was free, and when.
#[derive(Debug, Default)]
pub(super) struct Forecast {
    readings: VecDeque<(Moment, u64)>,
}

/// A disk that fills up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Projection {
    /// Until nothing is left.
    pub(super) left: Duration,
    /// The time in which the rate was seen.
    pub(super) seen: Duration,
}

impl Projection {
    /// `disk / is full in 2d3h at the rate of the last 10h, sooner than 3d`
    pub(super) fn told(&self, shown: &str, limit: Duration) -> String {
        let whole = |length: Duration| show_duration(Duration::from_secs(length.as_secs() / 3600 * 3600));
        let (left, seen, limit) = (whole(self.left), whole(self.seen), show_duration(limit));
        format!("{shown} is full in {left} at the rate of the last {seen}, sooner than {limit}")
    }
}

impl Forecast {
    /// Takes a reading of free bytes, and returns when there will be none, if that can be said.
    ///
    /// The rate is the median of those between every two readings (Theil and Sen): a log that is cut every night does not
    /// sway it. Both all readings and the later half of them must show it, or one large file would look like a trend.
    pub(super) fn learn(&mut self, now: Moment, free: u64) -> Option<Projection> {
        if self.readings.back().is_none_or(|(last, _)| now.since(*last) >= APART) {
            self.readings.push_back((now, free));
        }
        // A check that reads twice a day needs days for a trend.
        while self.readings.len() > ENOUGH_READINGS
            && self.readings.front().is_some_and(|(first, _)| now.since(*first) > WINDOW)
        {
            self.readings.pop_front();
        }
        let seen = now.since(self.readings.front()?.0);
        if seen < ENOUGH || self.readings.len() < ENOUGH_READINGS {
            return None;
        }
        let lost_per_sec = -self.bytes_per_sec(0)?.max(self.bytes_per_sec(self.readings.len() / 2)?);
        if lost_per_sec <= 0.0 {
            return None;
        }
        let left = Duration::try_from_secs_f64(bytes(free) / lost_per_sec).unwrap_or(Duration::MAX);
        Some(Projection { left, seen })
    }

    /// From the reading of that number on.
    fn bytes_per_sec(&self, from: usize) -> Option<f64> {
        let mut rates: Vec<f64> = Vec::new();
        for (place, (earlier, before)) in self.readings.iter().enumerate().skip(from) {
            for (later, after) in self.readings.iter().skip(place + 1) {
                rates.push((bytes(*after) - bytes(*before)) / later.since(*earlier).as_secs_f64());
            }
        }
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn bytes(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;
    const HOUR: Duration = Duration::from_secs(3600);

    /// Looks every minute for so many hours at what `free` has, and returns what was said at last.
    fn check(hours: u64, free: impl Fn(u64) -> u64) -> Option<Projection> {
        let mut forecast = Forecast::default();
        let mut said = None;
        for minute in 0..=hours * 60 {
            said = forecast.learn(Moment::from_ms(0) + Duration::from_secs(minute * 60), free(minute));
        }
        assert!(forecast.readings.len() <= 97, "{}", forecast.readings.len());
        said
    }

    #[test]
    fn a_disk_that_fills_up_is_told_after_six_hours_and_not_before() {
        // A gigabyte an hour of a hundred.
        let filling = |minute: u64| 100 * GB - minute * GB / 60;
        assert_eq!(check(5, filling), None);
        let projection = check(10, filling).unwrap();
        assert_eq!(projection.seen, 10 * HOUR);
        assert!(projection.left.abs_diff(90 * HOUR) < HOUR, "{projection:?}");
        let told = Projection { left: 51 * HOUR + Duration::from_secs(59), seen: 10 * HOUR }.told("disk /", 72 * HOUR);
        assert_eq!(told, "disk / is full in 2d3h at the rate of the last 10h, sooner than 3d");
        assert_eq!(check(60, filling).unwrap().seen, 24 * HOUR);
    }

    #[test]
    fn what_does_not_last_is_no_trend() {
        assert_eq!(check(24, |_| 50 * GB), None, "still");
        assert_eq!(check(24, |minute| 50 * GB + minute * GB / 60), None, "emptying");
        for at in [100, 500, 700, 720, 740, 1000, 1400] {
            assert_eq!(check(24, |minute| if minute > at { 10 * GB } else { 50 * GB }), None, "one large file at {at}");
        }
        let cut_each_night = |minute: u64| 50 * GB - (minute % 1200) * GB / 600;
        let projection = check(23, cut_each_night).unwrap();
        assert!(projection.left > 20 * HOUR, "{projection:?}");
    }
}
