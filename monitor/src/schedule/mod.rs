//! When each check is asked next. Pure: time comes in as [`Moment`], randomness as a number from 0 to 1.
//!
//! Checks keep their rhythm (fixed rate, spread evenly), never run twice at once, and after a gap (suspend, SIGSTOP, a
//! restored machine) go round once without a burst.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use kit::clock::Moment;
use kit::config::Fields;

use crate::probe::{CheckId, Why};

/// A poll later than this after the one before means that nobody ran: the process was stopped or the machine asleep.
/// A live scheduler polls every second.
pub const GAP_AFTER: Duration = Duration::from_secs(5);

/// Longest spread of first probes and of the round after a gap: later ones would be late news.
const MAX_SPREAD: Duration = Duration::from_secs(10);

/// How often a check is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// Between two starts in a steady state.
    pub every: Duration,
    /// From the end of one probe to the next start while the check is suspect.
    pub when_failing: Duration,
}

impl Cadence {
    /// Every 10 s, confirmed after 2 s (DESIGN section 6).
    pub const STANDARD: Self = Self { every: Duration::from_secs(10), when_failing: Duration::from_secs(2) };

    /// Reads `every_when_failing`; `every` was read by the judge, who needs it too.
    pub fn decode(fields: &Fields<'_>, every: Duration, defaults: &Self) -> Self {
        let written = fields.get("every_when_failing");
        let when_failing = written.and_then(|c| c.duration(Duration::from_millis(100)..=Duration::from_secs(86_400)));
        Self { every, when_failing: when_failing.unwrap_or(defaults.when_failing).min(every) }
    }
}

/// Time in which we did not look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The last poll before.
    pub from: Moment,
    /// The first poll after.
    pub to: Moment,
}

/// What one poll found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Checks to ask now, longest overdue first.
    pub checks: Vec<(CheckId, Why)>,
    /// How late the latest of them is.
    pub lag: Duration,
    /// Set if nobody looked for a while.
    pub gap: Option<Gap>,
}

/// The queue of all checks.
#[derive(Debug, Default)]
pub struct Schedule {
    entries: HashMap<CheckId, Entry>,
    queue: BinaryHeap<Reverse<(Moment, u64, CheckId)>>,
    next_ticket: u64,
    last_poll: Option<Moment>,
    overruns: u64,
}

#[derive(Debug)]
struct Entry {
    cadence: Cadence,
    /// When the rhythm is due, apart from forced runs.
    rhythm: Moment,
    due: Moment,
    why: Why,
    running: bool,
    /// Asked for again while it ran.
    again: bool,
    /// Queue items with another ticket are void.
    ticket: u64,
}

impl Schedule {
    /// Adds a check, its first run spread by `random` (0 to 1), or gives a known one a new cadence at its next turn.
    pub fn set(&mut self, check: &CheckId, cadence: Cadence, now: Moment, random: f64) {
        if let Some(entry) = self.entries.get_mut(check) {
            entry.cadence = cadence;
            return;
        }
        let due = now + spread(cadence.every, random);
        let entry = Entry { cadence, rhythm: due, due, why: Why::Schedule, running: false, again: false, ticket: 0 };
        self.entries.insert(check.clone(), entry);
        self.enqueue(check, due, Why::Schedule);
    }

    /// Forgets a check. A run that is going on is not waited for.
    pub fn remove(&mut self, check: &CheckId) {
        self.entries.remove(check);
    }

    /// Asks for a run at `at` if that is sooner than planned; while the check runs, for one right after it.
    pub fn force(&mut self, check: &CheckId, at: Moment) {
        let Some(entry) = self.entries.get_mut(check) else { return };
        if entry.running {
            entry.again = true;
        } else if at < entry.due {
            self.enqueue(check, at, Why::Forced);
        }
    }

    /// Returns what is due, at most `room` checks, and marks them as running. The rest stays due.
    pub fn poll(&mut self, now: Moment, room: usize, mut random: impl FnMut() -> f64) -> Due {
        let gap = self.last_poll.filter(|last| now.since(*last) > GAP_AFTER).map(|from| Gap { from, to: now });
        self.last_poll = Some(now);
        if gap.is_some() {
            self.go_round(now, &mut random);
        }
        let mut found = Due { gap, ..Due::default() };
        while let Some(Reverse((due, ticket, check))) = self.queue.peek() {
            if *due > now || found.checks.len() >= room {
                break;
            }
            let (due, ticket, check) = (*due, *ticket, check.clone());
            self.queue.pop();
            let Some(entry) = self.entries.get_mut(&check).filter(|entry| entry.ticket == ticket && !entry.running)
            else {
                continue;
            };
            entry.running = true;
            found.lag = found.lag.max(now.since(due));
            found.checks.push((check, entry.why));
        }
        found
    }

    /// Plans the next run after one ended. A `suspect` check is asked again soon.
    pub fn finished(&mut self, check: &CheckId, now: Moment, suspect: bool) {
        let Some(entry) = self.entries.get_mut(check).filter(|entry| entry.running) else { return };
        entry.running = false;
        let mut next = entry.rhythm + entry.cadence.every;
        if next <= now {
            // The run took longer than the interval: turns were missed, they are not made up for.
            let missed =
                if entry.why == Why::Schedule { now.since(next).div_duration_f64(entry.cadence.every) } else { 0.0 };
            if missed >= 1.0 {
                self.overruns += 1;
            }
            let turns = now.since(entry.rhythm).as_millis() / entry.cadence.every.as_millis().max(1) + 1;
            next = entry.rhythm + entry.cadence.every.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX));
        }
        if entry.due >= entry.rhythm {
            entry.rhythm = next;
        } else {
            // A forced run came early; the rhythm's own turn still stands unless it has passed.
            next = if entry.rhythm > now { entry.rhythm } else { next };
            entry.rhythm = next;
        }
        let soon = now + entry.cadence.when_failing;
        let (due, why) = match (std::mem::take(&mut entry.again), suspect && soon < next) {
            (true, _) => (now, Why::Forced),
            (false, true) => (soon, Why::Forced),
            (false, false) => (next, Why::Schedule),
        };
        self.enqueue(check, due, why);
    }

    /// Returns when the next check is due.
    pub fn next_due(&self) -> Option<Moment> {
        self.queue.peek().map(|Reverse((due, _, _))| *due)
    }

    /// Returns how many turns were missed because a run took longer than its interval.
    pub fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Returns how many checks are running now.
    pub fn running(&self) -> usize {
        self.entries.values().filter(|entry| entry.running).count()
    }

    /// After a gap everything is overdue: one round, spread as at the start.
    fn go_round(&mut self, now: Moment, random: &mut impl FnMut() -> f64) {
        let overdue: Vec<(CheckId, Duration)> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.running && entry.due <= now)
            .map(|(check, entry)| (check.clone(), entry.cadence.every))
            .collect();
        for (check, every) in overdue {
            let due = now + spread(every, random());
            if let Some(entry) = self.entries.get_mut(&check) {
                entry.rhythm = due;
            }
            self.enqueue(&check, due, Why::Schedule);
        }
    }

    fn enqueue(&mut self, check: &CheckId, due: Moment, why: Why) {
        self.next_ticket += 1;
        if let Some(entry) = self.entries.get_mut(check) {
            entry.due = due;
            entry.why = why;
            entry.ticket = self.next_ticket;
            self.queue.push(Reverse((due, self.next_ticket, check.clone())));
        }
    }
}

fn spread(every: Duration, random: f64) -> Duration {
    every.min(MAX_SPREAD).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN: Cadence = Cadence { every: Duration::from_secs(10), when_failing: Duration::from_secs(2) };

    fn at(secs: i64) -> Moment {
        Moment::from_ms(secs * 1000)
    }

    fn id(name: &str) -> CheckId {
        CheckId::new("s", name)
    }

    /// Polls every second of `seconds`; each run takes `took` seconds; returns the starts of each check.
    fn simulate(schedule: &mut Schedule, seconds: std::ops::Range<i64>, took: i64) -> Vec<(i64, String, Why)> {
        let mut starts = Vec::new();
        let mut running: Vec<(i64, CheckId)> = Vec::new();
        for second in seconds.clone() {
            running.retain(|(end, check)| {
                if *end <= second {
                    schedule.finished(check, at(second), false);
                }
                *end > second
            });
            for (check, why) in schedule.poll(at(second), 1000, || 0.5).checks {
                starts.push((second, check.check.to_string(), why));
                running.push((second + took, check));
            }
        }
        for (_, check) in running {
            schedule.finished(&check, at(seconds.end), false);
        }
        starts
    }

    #[test]
    fn a_check_keeps_its_rhythm_whatever_a_run_takes() {
        let mut schedule = Schedule::default();
        schedule.set(&id("a"), TEN, at(0), 0.5);
        let starts = simulate(&mut schedule, 0..40, 3);
        assert_eq!(starts.iter().map(|start| start.0).collect::<Vec<_>>(), [5, 15, 25, 35]);
    }

    #[test]
    fn a_run_longer_than_its_interval_skips_turns_and_never_overlaps() {
        let mut schedule = Schedule::default();
        schedule.set(&id("a"), TEN, at(0), 0.0);
        let starts = simulate(&mut schedule, 0..80, 24);
        assert_eq!(starts.iter().map(|start| start.0).collect::<Vec<_>>(), [0, 30, 60]);
        assert_eq!(schedule.overruns(), 3, "each run that missed turns counts once");
    }

    #[test]
    fn a_suspect_check_is_asked_again_soon_and_a_forced_one_at_once() {
        let mut schedule = Schedule::default();
        schedule.set(&id("a"), TEN, at(0), 0.0);
        assert_eq!(schedule.poll(at(0), 1000, || 0.0).checks.len(), 1);
        schedule.finished(&id("a"), at(1), true);
        assert_eq!(schedule.next_due(), Some(at(3)));
        schedule.force(&id("a"), at(1));
        assert_eq!(schedule.poll(at(1), 1000, || 0.0).checks, [(id("a"), Why::Forced)]);
        schedule.force(&id("a"), at(1));
        schedule.finished(&id("a"), at(2), false);
        assert_eq!(schedule.poll(at(2), 1000, || 0.0).checks, [(id("a"), Why::Forced)], "asked again while it ran");
        schedule.finished(&id("a"), at(3), false);
        assert_eq!(schedule.poll(at(9), 1000, || 0.0).checks.len(), 0);
        assert_eq!(schedule.poll(at(10), 1000, || 0.0).checks, [(id("a"), Why::Schedule)], "the rhythm still stands");
    }

    #[test]
    fn after_a_gap_everything_is_asked_once_and_not_all_together() {
        let mut schedule = Schedule::default();
        for n in 0..100 {
            schedule.set(&id(&n.to_string()), TEN, at(0), f64::from(n) / 100.0);
        }
        simulate(&mut schedule, 0..20, 1);
        let mut n = 0.0;
        let due = schedule.poll(at(320), 1000, || {
            n += 0.01;
            n
        });
        assert_eq!(due.gap, Some(Gap { from: at(19), to: at(320) }));
        assert!(due.checks.len() <= 10, "{} at once", due.checks.len());
        for (check, _) in &due.checks {
            schedule.finished(check, at(320), false);
        }
        let mut asked: Vec<String> = due.checks.iter().map(|(check, _)| check.check.to_string()).collect();
        asked.extend(simulate(&mut schedule, 321..331, 0).into_iter().map(|start| start.1));
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), 100);
    }

    #[test]
    fn a_removed_check_is_never_due() {
        let mut schedule = Schedule::default();
        schedule.set(&id("a"), TEN, at(0), 0.0);
        schedule.remove(&id("a"));
        assert_eq!(schedule.poll(at(60), 1000, || 0.0).checks, []);
    }

    proptest! {
        #[test]
        fn no_check_starves_and_none_overlaps(random in 0.0f64..1.0, took in 1i64..40, forced in proptest::collection::vec(0i64..200, 0..10)) {
            let mut schedule = Schedule::default();
            schedule.set(&id("a"), TEN, at(0), random);
            let (mut ends, mut last_start) = (None, 0);
            for second in 0..200 {
                if ends.is_some_and(|end| end <= second) {
                    schedule.finished(&id("a"), at(second), false);
                    ends = None;
                }
                if forced.contains(&second) {
                    schedule.force(&id("a"), at(second));
                }
                for _ in schedule.poll(at(second), 1000, || 0.5).checks {
                    prop_assert!(ends.is_none(), "overlap at {}", second);
                    prop_assert!(second - last_start <= 10 + 10 * (took / 10 + 1), "starved until {}", second);
                    ends = Some(second + took);
                    last_start = second;
                }
            }
        }
    }
}
