//! One check: outcomes in, health out.

use kit::clock::Moment;
use serde::{Deserialize, Serialize};

use super::flap::Flap;
use super::policy::{Policy, Threshold};
use crate::probe::Outcome;

/// Health of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It passes.
    Up,
    /// It passes but breaks a soft limit.
    Degraded,
    /// It fails, often enough to believe it.
    Down,
    /// There is no fresh news.
    Stale,
    /// We could not ask, or have not yet.
    Unknown,
}

impl Health {
    /// Every health, in the order they are listed.
    pub const ALL: [Self; 5] = [Self::Up, Self::Degraded, Self::Down, Self::Stale, Self::Unknown];

    /// Returns the word used in metrics, JSON and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known of a check. Survives restarts through the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckState {
    /// Up, degraded or down once there was enough evidence.
    pub established: Option<Health>,
    /// Fails in a row so far.
    pub fails: u32,
    /// Passes in a row so far.
    pub passes: u32,
    /// The last 64 known results, newest in the lowest bit, fail = 1.
    pub recent: u64,
    /// Flap detection.
    pub flap: Flap,
    /// When the last pass or fail was seen.
    pub known_at: Option<Moment>,
    /// When the last observation of any kind was seen.
    pub heard_at: Option<Moment>,
}

impl CheckState {
    /// Returns the state after `outcome`, and the new health if it changed. `soft` says that a pass broke a soft limit.
    ///
    /// [`Outcome::Unknown`] changes nothing but the time: our own trouble says nothing of the target.
    #[must_use]
    pub fn step(mut self, outcome: &Outcome, soft: bool, policy: &Policy, now: Moment) -> (Self, Option<Health>) {
        self.heard_at = Some(now);
        let before = self.established;
        match outcome {
            Outcome::Unknown(_) => return (self, None),
            Outcome::Pass => {
                self.known_at = Some(now);
                self.fails = 0;
                self.passes = self.passes.saturating_add(1);
                self.recent <<= 1;
                self.flap = self.flap.with(true);
                let recovering = before == Some(Health::Down) && self.passes < policy.recover_after.get();
                if !recovering {
                    self.established = Some(if soft { Health::Degraded } else { Health::Up });
                }
                if before == Some(Health::Down) && !recovering {
                    // Old fails must not count towards the next outage.
                    self.recent = 0;
                }
            }
            Outcome::Fail(_) => {
                self.known_at = Some(now);
                self.passes = 0;
                self.fails = self.fails.saturating_add(1);
                self.recent = self.recent << 1 | 1;
                self.flap = self.flap.with(false);
                if self.reached(policy.fail_after) {
                    self.established = Some(Health::Down);
                }
            }
        }
        let changed = self.established.filter(|health| Some(*health) != before);
        (self, changed)
    }

    fn reached(&self, threshold: Threshold) -> bool {
        match threshold {
            Threshold::InARow(count) => self.fails >= count.get(),
            Threshold::Among { fails, window } => {
                let mask = u64::MAX >> (64 - window.get().clamp(1, 64));
                (self.recent & mask).count_ones() >= fails.get()
            }
        }
    }

    /// Returns true between a first fail (or first pass back) and the decision: the check is asked more often.
    pub fn is_suspect(&self) -> bool {
        match self.established {
            Some(Health::Down) => self.passes > 0,
            _ => self.fails > 0,
        }
    }

    /// Returns the health as of `now`: what was established, unless the news is too old.
    pub fn health(&self, policy: &Policy, now: Moment) -> Health {
        let fresh = |at: Option<Moment>| at.is_some_and(|at| now.since(at) <= policy.stale_after());
        match self.established {
            Some(health) if fresh(self.known_at) => health,
            _ if fresh(self.heard_at) => Health::Unknown,
            _ if self.heard_at.is_some() => Health::Stale,
            _ => Health::Unknown,
        }
    }

    /// Returns the state after a time in which nobody looked: streaks that had not fired do not bridge it, and
    /// staleness counts from its end.
    #[must_use]
    pub fn after_gap(mut self, end: Moment) -> Self {
        if self.established == Some(Health::Down) {
            self.passes = 0;
        } else {
            self.fails = 0;
            self.recent = 0;
        }
        self.known_at = self.known_at.map(|_| end);
        self.heard_at = self.heard_at.map(|_| end);
        self
    }

    /// Returns the state at the start of a new run of the service: earlier results say nothing of it.
    #[must_use]
    pub fn restarted(self) -> Self {
        Self { established: None, fails: 0, passes: 0, recent: 0, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::policy::Severity;
    use super::*;
    use crate::probe::{Reason, ReasonCode};

    fn policy(fail_after: u32, recover_after: u32) -> Policy {
        Policy {
            fail_after: Threshold::InARow(NonZeroU32::new(fail_after).unwrap()),
            recover_after: NonZeroU32::new(recover_after).unwrap(),
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            severity: Severity::Critical,
        }
    }

    fn outcome(symbol: char) -> (Outcome, bool) {
        let reason = Reason::new(ReasonCode::Refused, "refused");
        match symbol {
            '.' => (Outcome::Pass, false),
            '~' => (Outcome::Pass, true),
            'x' => (Outcome::Fail(reason), false),
            _ => (Outcome::Unknown(reason), false),
        }
    }

    /// `.` pass, `~` slow pass, `x` fail, `?` unknown, `|` gap; expected: change@turn.
    fn check(policy: Policy, history: &str, expected: &str) {
        let mut state = CheckState::default();
        let mut changes = Vec::new();
        for (turn, symbol) in (1..).zip(history.chars()) {
            let now = Moment::from_ms(turn * 10_000);
            if symbol == '|' {
                state = state.after_gap(now);
                continue;
            }
            let (outcome, soft) = outcome(symbol);
            let (next, change) = state.step(&outcome, soft, &policy, now);
            state = next;
            changes.extend(change.map(|health| format!("{}@{turn}", health.as_str())));
        }
        assert_eq!(changes.join(" "), expected, "{history}");
    }

    #[test]
    fn fails_in_a_row_make_a_check_down_and_passes_in_a_row_bring_it_back() {
        check(policy(2, 1), "..xx.", "up@1 down@4 up@5");
        check(policy(3, 2), "..xx.xx..", "up@1");
        check(policy(3, 2), ".xxx.x..", "up@1 down@4 up@8");
        check(policy(1, 1), "x", "down@1");
    }

    #[test]
    fn unknown_neither_counts_as_a_fail_nor_breaks_a_streak() {
        check(policy(2, 1), ".???????", "up@1");
        check(policy(2, 1), ".x?x", "up@1 down@4");
        check(policy(3, 2), ".xxx.?.", "up@1 down@4 up@7");
    }

    #[test]
    fn a_broken_soft_limit_degrades_at_once_and_mends_at_once() {
        check(policy(3, 2), ".~~.", "up@1 degraded@2 up@4");
        check(policy(2, 2), "~xx~~", "degraded@1 down@3 degraded@5");
    }

    #[test]
    fn m_of_n_fires_on_a_restless_check_that_never_fails_in_a_row() {
        let of = |fails, window| Policy {
            fail_after: Threshold::Among {
                fails: NonZeroU32::new(fails).unwrap(),
                window: NonZeroU32::new(window).unwrap(),
            },
            ..policy(1, 2)
        };
        check(of(3, 5), ".x.x.x", "up@1 down@6");
        check(of(3, 5), ".x...x...x", "up@1");
        check(of(2, 3), ".xx..x..x", "up@1 down@3 up@5");
    }

    #[test]
    fn a_streak_that_had_not_fired_does_not_bridge_a_gap() {
        check(policy(3, 2), ".xx|x", "up@1");
        check(policy(3, 2), ".xx|xxx", "up@1 down@7");
        check(policy(2, 2), ".xx.|..", "up@1 down@3 up@7");
    }

    #[test]
    fn old_news_is_stale_and_our_own_trouble_is_unknown() {
        let policy = policy(3, 2);
        let at = |secs: i64| Moment::from_ms(secs * 1000);
        let fresh = CheckState::default();
        assert_eq!(fresh.health(&policy, at(0)), Health::Unknown);
        let (state, _) = fresh.step(&Outcome::Pass, false, &policy, at(0));
        assert_eq!(policy.stale_after(), Duration::from_secs(43));
        assert_eq!(state.health(&policy, at(43)), Health::Up);
        assert_eq!(state.health(&policy, at(44)), Health::Stale);
        let (state, _) = state.step(&outcome('?').0, false, &policy, at(44));
        assert_eq!(state.health(&policy, at(45)), Health::Unknown);
        assert_eq!(state.after_gap(at(100)).health(&policy, at(101)), Health::Up);
    }

    proptest! {
        #[test]
        fn unknown_can_be_left_out_anywhere(history in "[.x~?]{0,60}") {
            let run = |text: &str| {
                let policy = policy(3, 2);
                text.chars().fold(CheckState::default(), |state, symbol| {
                    let (outcome, soft) = outcome(symbol);
                    state.step(&outcome, soft, &policy, Moment::from_ms(0)).0
                }).established
            };
            prop_assert_eq!(run(&history), run(&history.replace('?', "")));
        }

        #[test]
        fn a_check_is_down_only_after_enough_fails_since_its_last_pass(history in "[.x]{0,60}") {
            let policy = policy(3, 2);
            let mut state = CheckState::default();
            let mut before = None;
            for symbol in history.chars() {
                let (next, change) = state.step(&outcome(symbol).0, false, &policy, Moment::from_ms(0));
                if change == Some(Health::Down) {
                    prop_assert!(next.fails >= 3);
                    prop_assert!(before != Some(Health::Down));
                }
                before = next.established;
                state = next;
            }
        }
    }
}
