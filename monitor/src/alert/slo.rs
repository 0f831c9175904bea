//! Service level objectives: how fast a service spends its error budget, over several windows at once. Pure.
//!
//! Numbers and method are those of Google's SRE workbook, chapter 5 ("Alerting on SLOs", table 5-8): a budget for 30
//! days; a page at 14.4 times the even pace over 1 h and 5 min, or at 6 times over 6 h and 30 min; a ticket at the even
//! pace over 3 days and 6 h. The short window ends an alert soon after the trouble is over.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use kit::config::show_duration;

use super::message::Severity;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The period a budget is for.
pub const PERIOD: Duration = Duration::from_secs(30 * 86_400);

/// A pace that is too fast: over both windows at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Times the pace that would spend the budget evenly.
    pub factor: f64,
    /// The long window.
    pub long: Duration,
    /// The short window.
    pub short: Duration,
    /// How urgent that is.
    pub severity: Severity,
}

/// The paces that are alerted on, most urgent first.
pub const PACES: [Pace; 3] = [
    Pace { factor: 14.4, long: HOUR, short: Duration::from_secs(5 * 60), severity: Severity::Page },
    Pace {
        factor: 6.0,
        long: Duration::from_secs(6 * 3600),
        short: Duration::from_secs(30 * 60),
        severity: Severity::Page,
    },
    Pace {
        factor: 1.0,
        long: Duration::from_secs(3 * 86_400),
        short: Duration::from_secs(6 * 3600),
        severity: Severity::Ticket,
    },
];

/// Fewest probes in a long window for a pace to mean something: one fail of three is no trend.
const MIN_PROBES: u64 = 10;

/// Counts of one span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Probes within the objective.
    pub good: u64,
    /// Probes that are not.
    pub bad: u64,
}

impl Count {
    /// Returns the share of bad ones; none if there are fewer than `least`.
    fn bad_ratio(self, least: u64) -> Option<f64> {
        let all = self.good + self.bad;
        #[expect(clippy::cast_precision_loss, reason = "counts of probes")]
        (all >= least).then(|| self.bad as f64 / all as f64)
    }
}

/// Counts of the latest time in spans of equal length.
#[derive(Debug, Clone)]
struct Ring {
    span: Duration,
    keep: Duration,
    /// Begin of each span in milliseconds since the epoch, oldest first; spans without a probe are absent.
    spans: VecDeque<(i64, Count)>,
}

impl Ring {
    fn new(span: Duration, keep: Duration) -> Self {
        Self { span, keep, spans: VecDeque::new() }
    }

    fn add(&mut self, at_ms: i64, count: Count) {
        let span_ms = millis(self.span);
        let begin = at_ms - at_ms.rem_euclid(span_ms);
        let place = self.spans.partition_point(|(known, _)| *known < begin);
        match self.spans.get_mut(place) {
            Some((known, counted)) if *known == begin => {
                counted.good += count.good;
                counted.bad += count.bad;
            }
            _ => self.spans.insert(place, (begin, count)),
        }
        let oldest = self.spans.back().map_or(begin, |(newest, _)| *newest) - millis(self.keep);
        while self.spans.front().is_some_and(|(known, _)| *known < oldest) {
            self.spans.pop_front();
        }
    }

    /// Forgets what is further ahead than probes can be apart: the clock was set back since.
    fn forget_after(&mut self, now_ms: i64) {
        while self.spans.back().is_some_and(|(known, _)| *known > now_ms + millis(HOUR)) {
            self.spans.pop_back();
        }
    }

    fn since(&self, from_ms: i64) -> Count {
        let recent = self.spans.iter().rev().take_while(|(begin, _)| *begin >= from_ms);
        recent.fold(Count::default(), |sum, (_, count)| Count { good: sum.good + count.good, bad: sum.bad + count.bad })
    }
}

/// What one objective of one service has spent.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Share of probes that must be good, above 0 and below 1.
    pub objective: f64,
    minutes: Ring,
    five_minutes: Ring,
    hours: Ring,
}

impl Budget {
    /// Forgets counts of a time that is still to come.
    pub fn forget_after(&mut self, now: Timestamp) {
        for ring in [&mut self.minutes, &mut self.five_minutes, &mut self.hours] {
            ring.forget_after(now.as_millisecond());
        }
    }

    /// Begins with nothing known.
    pub fn new(objective: f64) -> Self {
        Self {
            objective,
            minutes: Ring::new(MINUTE, 6 * HOUR),
            five_minutes: Ring::new(5 * MINUTE, 3 * DAY),
            hours: Ring::new(HOUR, PERIOD),
        }
    }

    /// Counts a probe, or what history knows of a span that began then.
    pub fn add(&mut self, at: Timestamp, count: Count) {
        let at_ms = at.as_millisecond();
        self.minutes.add(at_ms, count);
        self.five_minutes.add(at_ms, count);
        self.hours.add(at_ms, count);
    }

    /// Counts what history knows of a whole hour, too old for the finer windows.
    pub fn add_hour(&mut self, at: Timestamp, count: Count) {
        self.hours.add(at.as_millisecond(), count);
    }

    /// Returns how many times faster than evenly the budget was spent over the last `window`; none without enough data.
    pub fn burn(&self, window: Duration, now: Timestamp) -> Option<f64> {
        self.pace(window, now, MIN_PROBES)
    }

    fn pace(&self, window: Duration, now: Timestamp, least: u64) -> Option<f64> {
        let ring = match window {
            window if window <= self.minutes.keep => &self.minutes,
            window if window <= self.five_minutes.keep => &self.five_minutes,
            _ => &self.hours,
        };
        let from_ms = now.as_millisecond() - millis(window);
        Some(ring.since(from_ms).bad_ratio(least)? / (1.0 - self.objective))
    }

    /// Returns the share of the period's budget that is left, below 0 if more was spent; none without enough data.
    pub fn left(&self, now: Timestamp) -> Option<f64> {
        self.burn(PERIOD, now).map(|burn| 1.0 - burn)
    }

    /// Returns the most urgent pace that is too fast, and what it is.
    pub fn alert(&self, now: Timestamp) -> Option<(Pace, f64)> {
        PACES.into_iter().find_map(|pace| {
            // The short window only ends an alert: a check that is asked seldom has few probes in it.
            let (long, short) = (self.burn(pace.long, now)?, self.pace(pace.short, now, 1)?);
            (long >= pace.factor && short >= pace.factor).then_some((pace, long))
        })
    }
}

/// Says a pace to people.
pub(super) fn sentence(service: &str, what: &str, objective: f64, pace: Pace, burn: f64) -> String {
    let bad = burn * (1.0 - objective) * 100.0;
    let within = show_duration(pace.long);
    format!(
        "{service} spends its error budget {burn:.1} times too fast: {bad:.2}% of probes {what} in {within} (objective {}%)",
        show_percent(objective)
    )
}

/// Shows 0.999 as `99.9`.
pub fn show_percent(ratio: f64) -> String {
    let text = format!("{:.4}", ratio * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    /// Probes every ten seconds for so long; every `bad`-th is bad, none for 0.
    fn feed(budget: &mut Budget, from: i64, secs: i64, bad: i64) {
        for step in 0..secs / 10 {
            let is_bad = bad > 0 && step % bad == 0;
            let count = Count { good: u64::from(!is_bad), bad: u64::from(is_bad) };
            budget.add(at(from + step * 10), count);
        }
    }

    fn urgent(budget: &Budget, now: i64) -> Option<(f64, Severity)> {
        budget.alert(at(now)).map(|(pace, _)| (pace.factor, pace.severity))
    }

    #[test]
    fn a_fast_burn_is_a_page_a_slow_one_a_ticket_and_both_end_soon_after_the_trouble() {
        let mut budget = Budget::new(0.999);
        feed(&mut budget, 0, 86_400, 0);
        assert_eq!(urgent(&budget, 86_400), None);
        assert_eq!(budget.left(at(86_400)), Some(1.0));
        // Three minutes of outage are 5 % of an hour: 50 times the even pace of 0.1 %.
        feed(&mut budget, 86_400, 180, 1);
        assert_eq!(urgent(&budget, 86_580), Some((14.4, Severity::Page)));
        feed(&mut budget, 86_580, 330, 0);
        assert_eq!(urgent(&budget, 86_910).map(|(factor, _)| factor), Some(6.0), "the short window is clean again");
        feed(&mut budget, 86_910, 3600, 0);
        assert_eq!(urgent(&budget, 90_510), Some((1.0, Severity::Ticket)));
        feed(&mut budget, 90_510, 6 * 3600, 0);
        assert_eq!(urgent(&budget, 90_510 + 6 * 3600), None);
    }

    #[test]
    fn few_probes_prove_nothing_and_spent_is_spent() {
        let mut budget = Budget::new(0.99);
        feed(&mut budget, 0, 90, 1);
        assert_eq!((urgent(&budget, 90), budget.left(at(90))), (None, None));
        feed(&mut budget, 90, 9910, 0);
        let left = budget.left(at(10_000)).unwrap();
        assert!((left - 0.1).abs() < 0.001, "9 of 1000 is nine tenths of 1 %: {left}");
    }

    #[test]
    fn old_hours_count_for_the_period_only_and_leave_after_it() {
        let mut budget = Budget::new(0.99);
        for hour in 0..24 * 31 {
            budget.add_hour(at(hour * 3600), Count { good: 99, bad: u64::from(hour < 24) });
        }
        let now = 24 * 31 * 3600;
        assert_eq!(budget.burn(PERIOD, at(now)).map(|burn| burn < 0.1), Some(true));
        assert_eq!(budget.burn(HOUR, at(now)), None);
    }

    #[test]
    fn a_sentence_says_what_and_how_fast() {
        let said = sentence("shop", "failed", 0.999, PACES[0], 33.33);
        let expected =
            "shop spends its error budget 33.3 times too fast: 3.33% of probes failed in 1h (objective 99.9%)";
        assert_eq!(said, expected);
    }
}
