//! Lengths, shares and times as people read them. Numbers are never rounded to a nicer truth.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Writes a length in at most two units: `45 s`, `3 min`, `2 h 5 min`, `12 d`. Minutes up to ten show their seconds only
/// below two.
pub fn length(length: Duration) -> String {
    let secs = length.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    let pair = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {small_unit}"),
    };
    match secs {
        0 if length.is_zero() => "0 s".to_owned(),
        0 => format!("{} ms", length.as_millis().max(1)),
        1..120 => format!("{secs} s"),
        120..3600 => format!("{minutes} min"),
        3600..86_400 => pair(hours, "h", minutes, "min"),
        86_400..864_000 => pair(days, "d", hours, "h"),
        _ => format!("{days} d"),
    }
}

/// Writes a latency with two or three digits: `0.42 ms`, `3.2 ms`, `180 ms`, `1.24 s`.
pub fn latency(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() || ms < 0.0 => "–".to_owned(),
        ms if ms < 0.995 => format!("{ms:.2} ms"),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9_950.0 => format!("{:.2} s", ms / 1000.0),
        ms if ms < 99_500.0 => format!("{:.1} s", ms / 1000.0),
        ms => length(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::MAX)),
    }
}

/// Writes a share of 1, cut off and not rounded: 100 % is said of the whole only.
pub fn share(share: f64) -> String {
    let cut = |places: i32| {
        let factor = 10f64.powi(places);
        // A hair is added since 0.999 is 0.99899… in binary.
        (share.clamp(0.0, 1.0) * 100.0 * factor + 1e-6).floor() / factor
    };
    match share {
        share if share >= 1.0 => "100 %".to_owned(),
        share if share >= 0.999_9 => format!("{:.3} %", cut(3).min(99.999)),
        share if share >= 0.99 => format!("{:.2} %", cut(2)),
        _ => format!("{:.1} %", cut(1)),
    }
}

/// Writes a time with its offset: `12 Nov 2025 14:03:20 +01:00`.
pub fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%-d %b %Y %H:%M:%S %:z").to_string()
}

/// Writes a time without its year, for lists of the last weeks: `12 Nov 14:03:20 +01:00`.
pub fn short_time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%-d %b %H:%M:%S %:z").to_string()
}

/// Writes the time of a day that goes without saying, to the minute: `14:03 +01:00`.
pub fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M %:z").to_string()
}

/// Writes how many, and of what: `1 page`, `3 pages`.
pub fn count(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {one}{plural}")
}

/// Writes a day: `12 Nov`.
pub fn day(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%-d %b").to_string()
}

/// Cuts text that is longer than `limit` characters, and says so with an ellipsis.
pub fn clip(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_at_most_two_units() {
        let said = [0, 45, 90, 180, 3_600, 7_500, 90_000, 864_000].map(|secs| length(Duration::from_secs(secs)));
        assert_eq!(said, ["0 s", "45 s", "90 s", "3 min", "1 h", "2 h 5 min", "1 d 1 h", "10 d"]);
        assert_eq!(length(Duration::from_micros(20)), "1 ms");
    }

    #[test]
    fn latencies_have_two_or_three_digits_whatever_their_size() {
        let said = [0.42, 3.21, 18.4, 999.4, 999.7, 1_240.0, 61_000.0, 7.2e7, f64::NAN].map(latency);
        assert_eq!(said, ["0.42 ms", "3.2 ms", "18 ms", "999 ms", "1.00 s", "1.24 s", "61.0 s", "20 h", "–"]);
    }

    #[test]
    fn a_share_is_never_rounded_up_to_the_whole() {
        let said = [1.0, 0.999_999_9, 0.999_95, 0.999, 0.998_77, 0.5, 0.0].map(share);
        assert_eq!(said, ["100 %", "99.999 %", "99.995 %", "99.90 %", "99.87 %", "50.0 %", "0.0 %"]);
    }

    #[test]
    fn every_time_carries_its_offset_and_long_text_is_cut_at_a_character() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(time(Timestamp::UNIX_EPOCH, &zone), "1 Jan 1970 01:00:00 +01:00");
        assert_eq!(short_time(Timestamp::UNIX_EPOCH, &zone), "1 Jan 01:00:00 +01:00");
        assert_eq!(clock(Timestamp::UNIX_EPOCH, &zone), "01:00 +01:00");
        assert_eq!([count(0, "page"), count(1, "page")], ["0 pages", "1 page"]);
        assert_eq!(clip("äöü", 2), "äö…");
        assert_eq!(clip("äöü", 3), "äöü");
    }
}
