//! Times of the week in a time zone: maintenance windows that recur, and hours in which people work. Pure.

use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Times of the week, or of the month.
#[derive(Debug, Clone, PartialEq)]
pub struct Recurrence {
    days: Days,
    at: Time,
    length: Duration,
    zone: TimeZone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    Week(Vec<Weekday>),
    Month(i8),
}

/// Longest that one occurrence may last: a week; what lasts longer is written with `from` and `until`.
pub(super) const MAX_LENGTH: Duration = Duration::from_secs(7 * 86_400);

/// In full; the first three letters will do.
const WEEK: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

impl Recurrence {
    /// Reads `Sun 02:00`, `Mon-Fri 09:00`, `Mon,Thu 02:30`, `day 04:00` or `day 1 02:00` (of each month).
    ///
    /// # Errors
    /// One sentence that says what to write instead.
    pub fn parse(text: &str, length: Duration, zone: TimeZone) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a time of the week; write Sun 02:00, Mon-Fri 09:00, Mon,Thu 02:30, day 04:00 or day 1 02:00"
            )
        };
        let (days, at) = text.trim().rsplit_once(' ').ok_or_else(wrong)?;
        let days = parse_days(days.trim()).ok_or_else(wrong)?;
        let at = parse_time(at).ok_or_else(wrong)?;
        Ok(Self { days, at, length, zone })
    }

    /// Returns the end of the occurrence that `now` falls into.
    pub fn active_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.active(now).map(|(_, end)| end).max()
    }

    /// Returns the begin of the occurrence that `now` falls into.
    pub fn active_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.active(now).map(|(start, _)| start).max()
    }

    fn active(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = now.to_zoned(self.zone.clone()).date();
        // An occurrence may have begun up to its length ago; a day more covers changes of the clock.
        let back = i32::try_from(self.length.as_secs() / 86_400).unwrap_or(7) + 1;
        let day = move |days| today.checked_sub(jiff::Span::new().days(days)).ok();
        let starts = (-1..=back).filter_map(move |days| self.start_on(day(days)?));
        let spans = starts.filter_map(|start| Some((start, start.checked_add(signed(self.length)).ok()?)));
        spans.filter(move |(start, end)| (*start..*end).contains(&now))
    }

    /// Returns the begin of the next occurrence after `now`.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        // Two months: a 31st does not come every month.
        (0..=62)
            .filter_map(|days| self.start_on(today.checked_add(jiff::Span::new().days(days)).ok()?))
            .find(|start| *start > now)
    }

    /// A time that the clock skips counts as the one after the gap, a repeated one as its first (RFC 5545 section 3.3.5).
    fn start_on(&self, date: Date) -> Option<Timestamp> {
        let fits = match &self.days {
            Days::Week(days) => days.contains(&date.weekday()),
            Days::Month(day) => date.day() == *day,
        };
        let zoned = if fits { date.to_datetime(self.at).to_zoned(self.zone.clone()).ok() } else { None };
        zoned.map(|zoned| zoned.timestamp())
    }
}

fn signed(length: Duration) -> SignedDuration {
    SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX)
}

fn parse_days(text: &str) -> Option<Days> {
    let text = text.to_ascii_lowercase();
    if text == "day" {
        return Some(Days::Week(WEEK.iter().map(|(_, day)| *day).collect()));
    }
    if let Some(number) = text.strip_prefix("day ") {
        return number.trim().parse().ok().filter(|day| (1..=31).contains(day)).map(Days::Month);
    }
    let place = |name: &str| {
        let name = name.trim();
        WEEK.iter().position(|(known, _)| name == *known || Some(name) == known.get(..3))
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (place(first)?, place(last)?);
        // Fri-Mon goes over the week's end.
        let count = (last + 7 - first) % 7;
        days.extend((0..=count).filter_map(|step| WEEK.get((first + step) % 7)).map(|(_, day)| *day));
    }
    Some(Days::Week(days))
}

fn parse_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| if text.len() <= 2 { text.parse::<i8>().ok() } else { None };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// Reads `09:00-18:00` as a begin and a length; an end at or before the begin is on the next day.
///
/// # Errors
/// One sentence that says what to write instead.
pub(super) fn parse_hours(text: &str) -> Result<(String, Duration), String> {
    let wrong = || format!("{text:?} are not hours of a day; write 09:00-18:00");
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let minutes = |text: &str| {
        let text = text.trim();
        let is_midnight = text == "24:00";
        let time = if is_midnight { Some(Time::midnight()) } else { parse_time(text) };
        time.map(|time| u64::from(time.hour().unsigned_abs()) * 60 + u64::from(time.minute().unsigned_abs()))
    };
    let (begin, end) = (minutes(from).ok_or_else(wrong)?, minutes(to).ok_or_else(wrong)?);
    let length = if end > begin { end - begin } else { end + 24 * 60 - begin };
    Ok((from.trim().to_owned(), Duration::from_secs(length * 60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin(text: &str, hours: u64) -> Recurrence {
        Recurrence::parse(text, Duration::from_secs(hours * 3600), TimeZone::get("Europe/Berlin").unwrap()).unwrap()
    }

    fn until(recurrence: &Recurrence, now: &str) -> Option<String> {
        recurrence.active_until(now.parse().unwrap()).map(|end| end.to_string())
    }

    #[test]
    fn an_occurrence_is_found_from_its_begin_to_just_before_its_end() {
        let sunday = berlin("Sun 02:00", 1);
        // In November Berlin is one hour ahead of UTC.
        assert_eq!(until(&sunday, "2026-11-22T00:59:59Z"), None);
        assert_eq!(until(&sunday, "2026-11-22T01:00:00Z").as_deref(), Some("2026-11-22T02:00:00Z"));
        assert_eq!(until(&sunday, "2026-11-22T02:00:00Z"), None);
        assert_eq!(until(&berlin("Sat 23:00", 4), "2026-11-22T01:30:00Z").as_deref(), Some("2026-11-22T02:00:00Z"));
        assert_eq!(until(&berlin("Fri-Mon 23:00", 1), "2026-11-23T22:30:00Z").as_deref(), Some("2026-11-23T23:00:00Z"));
        assert_eq!(until(&berlin("day 1 00:00", 24), "2026-12-01T12:00:00Z").as_deref(), Some("2026-12-01T23:00:00Z"));
        assert_eq!(until(&berlin("day 1 00:00", 24), "2026-12-02T12:00:00Z"), None);
    }

    #[test]
    fn summer_time_moves_and_never_doubles_or_drops_a_window() {
        let sunday = berlin("Sun 02:30", 1);
        // 29 March 2026: 02:30 does not exist; it is taken at 03:30 summer time.
        assert_eq!(until(&sunday, "2026-03-29T01:45:00Z").as_deref(), Some("2026-03-29T02:30:00Z"));
        // 25 October 2026: 02:30 comes twice; the first one counts.
        assert_eq!(until(&sunday, "2026-10-25T00:45:00Z").as_deref(), Some("2026-10-25T01:30:00Z"));
        assert_eq!(until(&sunday, "2026-10-25T01:45:00Z"), None);
    }

    #[test]
    fn the_next_one_is_told() {
        let next = |text, now: &str| berlin(text, 1).next_after(now.parse().unwrap()).unwrap().to_string();
        assert_eq!(next("Sun 02:00", "2026-11-22T01:00:00Z"), "2026-11-29T01:00:00Z");
        assert_eq!(next("day 31 02:00", "2026-11-22T01:00:00Z"), "2026-12-31T01:00:00Z");
    }

    #[test]
    fn what_is_no_time_of_the_week_is_said() {
        for text in [
            "",
            "Sun",
            "02:00",
            "Sun 25:00",
            "Blursday 02:00",
            "day 32 02:00",
            "Sun 2",
            "Sunflower 02:00",
            "Su 02:00",
            "Mon-Frisky 02:00",
        ] {
            let error = Recurrence::parse(text, Duration::from_secs(1), TimeZone::UTC).unwrap_err();
            assert!(error.contains("write Sun 02:00"), "{text}: {error}");
        }
        for text in ["sunday 02:00", "SUN 02:00", "Sunday 02:00", "Sun-Sunday 02:00"] {
            assert_eq!(berlin(text, 1), berlin("Sun 02:00", 1), "{text}");
        }
        assert_eq!(parse_hours("09:00-18:00").unwrap(), ("09:00".to_owned(), Duration::from_secs(9 * 3600)));
        assert_eq!(parse_hours("22:00-06:00").unwrap().1, Duration::from_secs(8 * 3600));
        assert_eq!(parse_hours("00:00-24:00").unwrap().1, Duration::from_secs(24 * 3600));
        assert!(parse_hours("9 to 5").is_err());
    }
}
