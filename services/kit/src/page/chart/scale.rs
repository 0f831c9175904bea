//! Where the ticks of an axis are: round numbers upwards, round local times to the right.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::words;

/// Returns a round end of an axis that holds `max`, and two to five round ticks up to it, zero left out.
pub(super) fn ticks(max: f64) -> (f64, Vec<f64>) {
    let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
    let rough = max / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let count = (max / step - 1e-9).ceil().clamp(1.0, 6.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 6")]
    let ticks = (1..=count as u32).map(|n| f64::from(n) * step).collect();
    (count * step, ticks)
}

/// Writes a round number of milliseconds: `50 µs`, `2.5 ms`, `1 s`.
pub(super) fn label(ms: f64) -> String {
    let number = |value: f64| format!("{:.6}", value).trim_end_matches('0').trim_end_matches('.').to_owned();
    match ms {
        ms if ms < 1.0 => format!("{} µs", number(ms * 1000.0)),
        ms if ms < 1000.0 => format!("{} ms", number(ms)),
        ms if ms < 120_000.0 => format!("{} s", number(ms / 1000.0)),
        ms => words::length(Duration::from_secs_f64(ms / 1000.0)),
    }
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances of ticks on a time axis.
const STEPS: [i64; 12] = [
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    5 * DAY,
    15 * DAY,
];

/// Returns how far the local clock is from UTC, such as `+01:00`.
pub(super) fn offset(at_ms: i64, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.to_zoned(zone.clone()).strftime("%:z").to_string()
}

/// Returns four to eight round local times in the range and their labels: clock times, or days if the range is long.
pub(super) fn times(from_ms: i64, to_ms: i64, zone: &TimeZone) -> Vec<(i64, String)> {
    let wanted = (to_ms - from_ms).max(1) / 6;
    let step = STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(30 * DAY);
    let format = if step >= 12 * HOUR { "%-d %b" } else { "%H:%M" };
    let Ok(from) = Timestamp::from_millisecond(from_ms) else { return Vec::new() };
    // Round by the local clock: a step of four hours is 04:00, 08:00 … in every zone.
    let offset_ms = i64::from(zone.to_offset(from).seconds()) * 1000;
    let mut at_ms = (from_ms + offset_ms).div_euclid(step) * step - offset_ms;
    let mut found = Vec::new();
    while at_ms <= to_ms && found.len() < 32 {
        if at_ms >= from_ms
            && let Ok(at) = Timestamp::from_millisecond(at_ms)
        {
            found.push((at_ms, at.to_zoned(zone.clone()).strftime(format).to_string()));
        }
        at_ms += step;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_largest_value() {
        assert_eq!(ticks(7.3), (8.0, vec![2.0, 4.0, 6.0, 8.0]));
        assert_eq!(ticks(200.0), (200.0, vec![50.0, 100.0, 150.0, 200.0]));
        assert_eq!(ticks(0.0).0, 1.0);
        assert_eq!(ticks(f64::NAN).0, 1.0);
        for max in [1e-6, 0.013, 1.0, 99.0, 101.0, 3.3e6, 1e15] {
            let (end, ticks) = ticks(max);
            assert!(end >= max && end <= 2.1 * max, "{max}: {end}");
            assert!((2..=6).contains(&ticks.len()), "{max}: {ticks:?}");
        }
    }

    #[test]
    fn a_label_has_no_needless_digits() {
        assert_eq!([0.05, 2.5, 500.0, 1500.0, 6e6].map(label), ["50 µs", "2.5 ms", "500 ms", "1.5 s", "1 h 40 min"]);
    }

    #[test]
    fn times_are_round_by_the_local_clock() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let labels = |hours: i64| {
            let found = times(30 * MINUTE, 30 * MINUTE + hours * HOUR, &zone);
            found.into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(1), "02:30 02:40 02:50 03:00 03:10 03:20 03:30");
        assert_eq!(labels(24), "04:00 08:00 12:00 16:00 20:00 00:00");
        assert_eq!(labels(24 * 30), "6 Jan 11 Jan 16 Jan 21 Jan 26 Jan 31 Jan");
        assert_eq!(times(5, 5, &zone).len(), 0);
    }
}
