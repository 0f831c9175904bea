//! Spans of time, in milliseconds since the epoch, and the hours, days, weeks and months in them. All in UTC.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::checks::{shown, wrong};
use crate::time::DAY_MS;
use kit::http::ApiError;

pub(super) const HOUR_MS: i64 = 3_600_000;

/// From one moment to before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

impl Span {
    /// The end of a span that has none: a whole hour, later than anything.
    pub(super) const NO_END_MS: i64 = i64::MAX / HOUR_MS * HOUR_MS;

    pub(super) fn is_empty(self) -> bool {
        self.from_ms >= self.to_ms
    }

    /// Returns the whole hours in it, and what is before and after them. If there are none, all of it is before.
    pub(super) fn hours(self) -> (Self, [Self; 2]) {
        let (from_ms, to_ms) = (next_hour_ms(self.from_ms), hour_ms(self.to_ms));
        let first_ms = from_ms.min(self.to_ms);
        let last_ms = to_ms.max(first_ms);
        let before = Self { from_ms: self.from_ms, to_ms: first_ms };
        let after = Self { from_ms: last_ms, to_ms: self.to_ms };
        (Self { from_ms: first_ms, to_ms: last_ms }, [before, after])
    }
}

/// Returns the beginning of the hour.
pub(super) fn hour_ms(at_ms: i64) -> i64 {
    at_ms.saturating_sub(at_ms.rem_euclid(HOUR_MS))
}

/// Returns the beginning of the first hour that has not begun before.
pub(super) fn next_hour_ms(at_ms: i64) -> i64 {
    hour_ms(at_ms.saturating_add(HOUR_MS - 1))
}

/// Returns the beginning of the day.
pub(super) fn day_ms(at_ms: i64) -> i64 {
    at_ms.saturating_sub(at_ms.rem_euclid(DAY_MS))
}

/// Returns the beginning of the first of so many days that end with this one.
pub(super) fn first_day_ms(now_ms: i64, days: i64) -> i64 {
    day_ms(now_ms).saturating_sub(days.saturating_sub(1).saturating_mul(DAY_MS))
}

/// Returns the day as a date.
pub(super) fn date(at_ms: i64) -> Date {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().to_zoned(TimeZone::UTC).date()
}

/// What days are put together to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Daily,
    /// From Monday (ISO 8601).
    Weekly,
    Monthly,
}

impl Period {
    /// Reads it; daily is the default.
    pub(super) fn parse(given: Option<&str>) -> Result<Self, ApiError> {
        match given {
            None | Some("daily") => Ok(Self::Daily),
            Some("weekly") => Ok(Self::Weekly),
            Some("monthly") => Ok(Self::Monthly),
            Some(other) => {
                let what = format!("is {}; write daily, weekly or monthly", shown(other));
                Err(wrong("period_type", what))
            }
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// Returns the first day of the period that a day is in.
    pub(super) fn first_day(self, day: Date) -> Date {
        match self {
            Self::Daily => day,
            Self::Weekly => day.saturating_sub(i64::from(day.weekday().to_monday_zero_offset()).days()),
            Self::Monthly => day.first_of_month(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let first = |period: Period, day: &str| period.first_day(day.parse().unwrap()).to_string();
        for (period, day, expected) in [
            (Period::Daily, "2026-03-01", "2026-03-01"),
            (Period::Weekly, "2026-03-01", "2026-02-23"),
            (Period::Weekly, "2026-03-02", "2026-03-02"),
            (Period::Monthly, "2026-03-31", "2026-03-01"),
        ] {
            assert_eq!(first(period, day), expected, "{period:?} {day}");
        }
    }

    #[test]
    fn the_last_of_some_days_is_this_one() {
        assert_eq!(first_day_ms(DAY_MS * 10 + 5, 1), DAY_MS * 10);
        assert_eq!(first_day_ms(DAY_MS * 10 + 5, 7), DAY_MS * 4);
        assert_eq!(date(DAY_MS * 31).to_string(), "1970-02-01");
    }

    proptest! {
        /// Hours and what is around them are the span, piece by piece.
        #[test]
        fn a_span_is_its_hours_and_less_than_an_hour_at_either_end(from_ms in 0..HOUR_MS * 9, length_ms in 0..HOUR_MS * 9) {
            let span = Span { from_ms, to_ms: from_ms + length_ms };
            let (hours, [before, after]) = span.hours();
            prop_assert_eq!((before.from_ms, before.to_ms), (span.from_ms, hours.from_ms));
            prop_assert_eq!((hours.to_ms, after.to_ms), (after.from_ms, span.to_ms));
            prop_assert!(before.to_ms - before.from_ms < HOUR_MS && after.to_ms - after.from_ms < HOUR_MS);
            prop_assert!(hours.is_empty() || hours.from_ms % HOUR_MS == 0 && hours.to_ms % HOUR_MS == 0);
        }
    }
}
