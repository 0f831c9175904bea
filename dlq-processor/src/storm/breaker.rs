//! A breaker of one destination (a queue and a job's name): fed by what redriven letters come to, it stops redrives where
//! they go on failing, and lets a few through to see whether that is over.

use std::collections::{BTreeSet, VecDeque};

/// Outcomes that count; and letters that may be under way or in vain, at most, before so many were done: of a destination that
/// nobody has seen work, not more are redriven for nothing.
const WINDOW: usize = 20;
/// Failures in a row that open it.
const IN_A_ROW: usize = 5;
/// How long it is shut before a first canary, in milliseconds; doubles each time a canary fails.
const SHUT_MS: i64 = 30_000;
/// The longest of these, in milliseconds.
const LONGEST_MS: i64 = 1_800_000;
/// Canaries at once, at most: 1, 2, 4 and so many, then it is closed.
const MOST_CANARIES: usize = 8;

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing before this time, in milliseconds since the epoch.
    Open(i64),
    /// So many at once.
    HalfOpen(usize),
}

/// A breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    state: BreakerState,
    /// The newest outcomes while it is closed: true for what was done.
    outcomes: VecDeque<bool>,
    /// Those that were let through while only so many are, and have not ended; and those of this step that were done.
    under_way: BTreeSet<String>,
    done: usize,
    shut_ms: i64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: BreakerState::Closed,
            outcomes: VecDeque::new(),
            under_way: BTreeSet::new(),
            done: 0,
            shut_ms: SHUT_MS,
        }
    }
}

impl Breaker {
    /// Of a destination of which nobody is told in time how redriven letters end: it lets everything through at once.
    pub fn trusting() -> Self {
        Self { done: WINDOW, ..Self::default() }
    }

    /// What it lets through.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Returns how many more it lets through for now; none for as many as there are.
    pub fn room(&self, now_ms: i64) -> Option<usize> {
        match self.state {
            BreakerState::Closed if self.done >= WINDOW => None,
            BreakerState::Closed => Some(WINDOW.saturating_sub(self.under_way.len() + self.failed())),
            BreakerState::Open(until_ms) => Some(usize::from(now_ms >= until_ms)),
            BreakerState::HalfOpen(canaries) => Some(canaries.saturating_sub(self.under_way.len() + self.done)),
        }
    }

    /// Returns whether a letter may go, and takes it as gone.
    pub fn admit(&mut self, letter: &str, now_ms: i64) -> bool {
        if let BreakerState::Open(until_ms) = self.state
            && now_ms >= until_ms
        {
            self.half_open(1);
        }
        match self.room(now_ms) {
            None => true,
            Some(0) => false,
            Some(_) => self.under_way.insert(letter.to_owned()),
        }
    }

    /// Notes how a redriven letter ended, and returns whether that opened it. While canaries are out only they count: what
    /// went before says what was, not what is.
    pub fn ended(&mut self, letter: &str, was_done: bool, now_ms: i64) -> bool {
        match self.state {
            BreakerState::Closed => {
                self.under_way.remove(letter);
                self.done += usize::from(was_done);
                if self.done >= WINDOW {
                    self.under_way.clear();
                }
                self.outcomes.push_back(was_done);
                if self.outcomes.len() > WINDOW {
                    self.outcomes.pop_front();
                }
                let failed = self.failed();
                let in_a_row = self.outcomes.iter().rev().take_while(|was_done| !**was_done).count();
                let is_bad = in_a_row >= IN_A_ROW || self.outcomes.len() == WINDOW && failed * 2 >= WINDOW;
                if is_bad {
                    self.open(now_ms);
                }
                is_bad
            }
            // Of before: it was let through while this was closed.
            BreakerState::Open(_) => false,
            BreakerState::HalfOpen(_) if !self.under_way.remove(letter) => false,
            BreakerState::HalfOpen(canaries) => {
                if !was_done {
                    self.shut_ms = (self.shut_ms * 2).min(LONGEST_MS);
                    self.open(now_ms);
                    return true;
                }
                self.done += 1;
                if self.done >= canaries {
                    match canaries {
                        MOST_CANARIES.. => self.close(),
                        _ => self.half_open(canaries * 2),
                    }
                }
                false
            }
        }
    }

    /// Returns those that were let through while only so many are, and have not ended.
    pub fn under_way(&self) -> impl Iterator<Item = &str> {
        self.under_way.iter().map(String::as_str)
    }

    /// Notes that one that was admitted will say nothing: it was not redriven after all.
    pub fn withdrawn(&mut self, letter: &str) {
        self.under_way.remove(letter);
    }

    /// Opens it, whatever it had seen: a person's word, or a flood of new failures.
    pub fn open(&mut self, now_ms: i64) {
        self.state = BreakerState::Open(now_ms + self.shut_ms);
        (self.under_way, self.done) = (BTreeSet::new(), 0);
        self.outcomes.clear();
    }

    /// Closes it: a person's word, or that of canaries. It lets everything through.
    pub fn close(&mut self) {
        *self = Self::trusting();
    }

    /// Those of the newest outcomes that were no use: fewer than half of [`WINDOW`] while it is closed.
    fn failed(&self) -> usize {
        self.outcomes.iter().filter(|was_done| !**was_done).count()
    }

    fn half_open(&mut self, canaries: usize) {
        (self.state, self.under_way, self.done) = (BreakerState::HalfOpen(canaries), BTreeSet::new(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds outcomes (`.` done, `x` failed), and returns after how many it opened.
    fn opens_after(outcomes: &str) -> Option<usize> {
        let mut breaker = Breaker::default();
        outcomes.chars().position(|outcome| breaker.ended("a", outcome == '.', 0)).map(|at| at + 1)
    }

    /// Offers a hundred letters, and returns those that may go.
    fn admitted(breaker: &mut Breaker, now_ms: i64) -> Vec<String> {
        let letters = (0..100).map(|number| format!("letter-{number}"));
        letters.filter(|letter| breaker.admit(letter, now_ms)).collect()
    }

    #[test]
    fn it_opens_after_five_failures_in_a_row_or_when_half_of_twenty_failed() {
        assert_eq!(opens_after("xxxxx"), Some(5));
        assert_eq!(opens_after("xxxx.xxxx.xxxxx"), Some(15));
        assert_eq!(opens_after("x.x.x.x.x.x.x.x.x.x."), Some(20));
        assert_eq!(opens_after("x..x..x..x..x..x..x..x..x..x.."), None);
        assert_eq!(opens_after("...................."), None);
    }

    #[test]
    fn a_canary_that_works_lets_twice_as_many_through_until_it_is_closed() {
        let mut breaker = Breaker::default();
        breaker.open(0);
        assert_eq!(admitted(&mut breaker, SHUT_MS - 1).len(), 0);
        for canaries in [1, 2, 4, 8] {
            let out = admitted(&mut breaker, SHUT_MS);
            assert_eq!(out.len(), canaries);
            assert_eq!(admitted(&mut breaker, SHUT_MS).len(), 0, "no more before they have ended");
            for letter in out {
                assert!(!breaker.ended(&letter, true, SHUT_MS));
            }
        }
        assert_eq!((breaker.state(), admitted(&mut breaker, SHUT_MS).len()), (BreakerState::Closed, 100));
    }

    #[test]
    fn until_twenty_were_done_twenty_are_under_way_and_then_all_may_be() {
        let mut breaker = Breaker::default();
        let out = admitted(&mut breaker, 0);
        assert!(out.len() == WINDOW && breaker.room(0) == Some(0) && admitted(&mut breaker, 0).is_empty());
        breaker.withdrawn(&out[0]);
        assert!(!breaker.ended(&out[1], false, 0) && !breaker.ended(&out[2], true, 0));
        assert_eq!(admitted(&mut breaker, 0).len(), 2, "others have their places, but for that which was in vain");
        for letter in out.iter().skip(3) {
            assert!(!breaker.ended(letter, true, 0));
        }
        assert!(!breaker.ended("of before", true, 0), "what was under way at a start says as much");
        assert_eq!(admitted(&mut breaker, 0).len(), 17, "nineteen were done");
        assert!(!breaker.ended("letter-0", true, 0));
        assert_eq!((admitted(&mut breaker, 0).len(), breaker.room(0)), (100, None));
        breaker = Breaker::default();
        breaker.close();
        assert_eq!(admitted(&mut breaker, 0).len(), 100, "a person has said so");
    }

    #[test]
    fn what_went_before_a_canary_says_nothing_of_it() {
        let mut breaker = Breaker::default();
        breaker.open(0);
        assert!(breaker.admit("canary", SHUT_MS));
        assert!(!breaker.ended("letter-7", true, SHUT_MS) && !breaker.ended("letter-8", false, SHUT_MS));
        assert_eq!(breaker.state(), BreakerState::HalfOpen(1));
        assert!(!breaker.ended("canary", true, SHUT_MS));
        assert_eq!(breaker.state(), BreakerState::HalfOpen(2));
    }

    #[test]
    fn a_canary_that_was_not_redriven_after_all_leaves_its_place_to_another() {
        let mut breaker = Breaker::default();
        breaker.open(0);
        assert!(breaker.admit("a", SHUT_MS) && !breaker.admit("b", SHUT_MS));
        breaker.withdrawn("a");
        assert!(breaker.admit("b", SHUT_MS));
    }

    #[test]
    fn a_canary_that_fails_shuts_it_for_twice_as_long() {
        let mut breaker = Breaker::default();
        breaker.open(0);
        let mut now_ms = SHUT_MS;
        for shut_ms in [60_000, 120_000, 240_000, 480_000, 960_000, LONGEST_MS, LONGEST_MS] {
            assert!(breaker.admit("a", now_ms));
            assert!(breaker.ended("a", false, now_ms));
            assert_eq!(breaker.state(), BreakerState::Open(now_ms + shut_ms));
            assert!(!breaker.admit("a", now_ms + shut_ms - 1));
            now_ms += shut_ms;
        }
    }
}
