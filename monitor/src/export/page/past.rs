//! What the last days of a service come to: bars, availability, and how much of the time anybody looked.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::page::chart::{Day, Look, days, looks};
use kit::page::{Html, words};

use super::state::spoken;
use crate::judge::Verdict;
use crate::record::VerdictDay;

/// Days that are shown.
pub(in crate::export) const DAYS: usize = 90;
const DAY_MS: i64 = 86_400_000;

/// How long each verdict lasted, in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Tally([i64; Verdict::ALL.len()]);

/// The last [`DAYS`] days, oldest first, the last one being today. Days are UTC days.
#[derive(Debug)]
pub(in crate::export) struct Past {
    tallies: Vec<(i64, Tally)>,
}

/// Returns the start of the present UTC day.
pub(in crate::export) fn today_ms(now: Timestamp) -> i64 {
    let now_ms = now.as_millisecond();
    now_ms - now_ms.rem_euclid(DAY_MS)
}

impl Past {
    /// Takes what history holds.
    pub(in crate::export) fn of(days: &[VerdictDay], today_ms: i64) -> Self {
        let first_ms = today_ms - (DAYS as i64 - 1) * DAY_MS;
        let mut tallies: Vec<_> = (0..DAYS as i64).map(|day| (first_ms + day * DAY_MS, Tally::default())).collect();
        for day in days {
            let place = usize::try_from((day.day_ms - first_ms).div_euclid(DAY_MS)).ok();
            let tally = place.and_then(|place| tallies.get_mut(place));
            if let Some((_, tally)) = tally {
                tally.add(&day.verdict, day.ms);
            }
        }
        Self { tallies }
    }

    /// Returns the share of the time that people could use it, of the time in which that is known; none if it never is.
    /// Starting, stopped, stale and unknown times count on neither side.
    pub(in crate::export) fn availability(&self, last_days: usize) -> Option<f64> {
        let sum = self.sum(last_days);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of 90 days")]
        let share = |part: i64, whole: i64| part as f64 / whole as f64;
        (sum.known() > 0).then(|| share(sum.usable(), sum.known()))
    }

    /// Returns how long it is known whether people could use it.
    pub(super) fn known(&self, last_days: usize) -> Duration {
        Duration::from_millis(self.sum(last_days).known().unsigned_abs())
    }

    /// Returns how long people could not use it.
    pub(super) fn down(&self, last_days: usize) -> Duration {
        Duration::from_millis(self.sum(last_days).down().unsigned_abs())
    }

    fn sum(&self, last_days: usize) -> Tally {
        let mut sum = Tally::default();
        for (_, tally) in self.tallies.iter().rev().take(last_days) {
            sum.0.iter_mut().zip(tally.0).for_each(|(sum, ms)| *sum += ms);
        }
        sum
    }

    /// Says it in words: `99.98 % of 12 d`.
    pub(super) fn in_words(&self) -> String {
        match self.availability(DAYS) {
            Some(share) => format!("Usable {} of the {} seen", words::share(share), words::length(self.known(DAYS))),
            None => "No data in the last 90 days".to_owned(),
        }
    }

    /// Draws the bars, each with what it came to.
    pub(super) fn bars(&self) -> Html {
        let bars: Vec<Day> = self.tallies.iter().map(|(day_ms, tally)| tally.day(*day_ms)).collect();
        days(&bars, &format!("{}.", self.in_words()))
    }

    /// Draws the bars for a long list.
    pub(super) fn wordless_bars(&self) -> Html {
        let bars: Vec<Look> = self.tallies.iter().map(|(_, tally)| tally.look()).collect();
        looks(&bars, &format!("{}.", self.in_words()))
    }
}

impl Tally {
    /// Words that a later monitor wrote are not counted.
    fn add(&mut self, verdict: &str, ms: i64) {
        let place = Verdict::ALL.iter().position(|known| known.as_str() == verdict);
        if let Some(sum) = place.and_then(|place| self.0.get_mut(place)) {
            *sum += ms;
        }
    }

    fn count(&self, counts: impl Fn(Verdict) -> bool) -> i64 {
        Verdict::ALL.into_iter().zip(self.0).filter(|(verdict, _)| counts(*verdict)).map(|(_, ms)| ms).sum()
    }

    fn usable(&self) -> i64 {
        self.count(|verdict| matches!(verdict, Verdict::Up | Verdict::Degraded))
    }

    fn down(&self) -> i64 {
        self.count(Verdict::is_bad)
    }

    fn known(&self) -> i64 {
        self.usable() + self.down()
    }

    fn look(&self) -> Look {
        let all = self.count(|_| true);
        let share = |ms: i64| {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day")]
            let share = ms as f64 / all.max(1) as f64;
            share
        };
        let is_impaired = |verdict| matches!(verdict, Verdict::Degraded | Verdict::Starting);
        Look {
            impaired: share(self.count(is_impaired)),
            down: share(self.down()),
            is_known: all > self.count(|verdict| matches!(verdict, Verdict::Stale | Verdict::Unknown)),
        }
    }

    fn day(&self, day_ms: i64) -> Day {
        let day = Timestamp::from_millisecond(day_ms).unwrap_or_default();
        Day { name: words::day(day, &TimeZone::UTC), look: self.look(), said: self.in_words() }
    }

    /// `up 99.3 %, down 9 min`
    fn in_words(&self) -> String {
        let mut parts = Vec::new();
        let up = self.count(|verdict| verdict == Verdict::Up);
        let all = self.count(|_| true);
        if all == 0 {
            return "no data".to_owned();
        }
        if up == all {
            return "up all the time".to_owned();
        }
        if let Some(share) = Some(self.known()).filter(|known| *known > 0) {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day")]
            parts.push(format!("usable {}", words::share(self.usable() as f64 / share as f64)));
        }
        for (verdict, ms) in Verdict::ALL.into_iter().zip(self.0) {
            if ms > 0 && verdict != Verdict::Up {
                let length = words::length(Duration::from_millis(ms.unsigned_abs()));
                parts.push(format!("{} {length}", spoken(verdict.as_str())));
            }
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(days: &[(i64, &[(&str, i64)])]) -> Past {
        let day = |day: i64, (verdict, minutes): &(&str, i64)| VerdictDay {
            day_ms: day * DAY_MS,
            verdict: (*verdict).into(),
            ms: minutes * 60_000,
        };
        let days = days.iter().flat_map(|(start, verdicts)| verdicts.iter().map(move |verdict| day(*start, verdict)));
        Past::of(&days.collect::<Vec<_>>(), 100 * DAY_MS)
    }

    #[test]
    fn availability_counts_known_time_only_and_says_how_much_that_is() {
        let known =
            past(&[(99, &[("up", 900), ("degraded", 90), ("down", 9), ("crash_looping", 1), ("unknown", 400)])]);
        assert_eq!(known.availability(DAYS), Some(0.99));
        assert_eq!(known.known(DAYS), Duration::from_secs(1000 * 60));
        assert_eq!(known.availability(1), None, "today has no data");
        assert_eq!(past(&[(99, &[("unknown", 5), ("starting", 5), ("stopped", 5)])]).availability(DAYS), None);
        assert_eq!(past(&[]).in_words(), "No data in the last 90 days");
    }

    #[test]
    fn a_day_says_what_it_came_to_in_words() {
        let said = |verdicts: &[(&str, i64)]| past(&[(100, verdicts)]).tallies.last().unwrap().1.in_words();
        assert_eq!(said(&[("up", 1440)]), "up all the time");
        assert_eq!(said(&[("up", 1431), ("down", 9)]), "usable 99.37 %, down 9 min");
        assert_eq!(said(&[("unknown", 30)]), "unknown 30 min");
        assert_eq!(said(&[]), "no data");
    }
}
