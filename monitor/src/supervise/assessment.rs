//! Folds a ledger into a verdict: loops, slow loops, giving up, and the wait before the next start.

use std::fmt;
use std::time::Duration;

use kit::clock::Moment;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Policy};
use super::cause::Cause;
use super::ledger::{End, Excuse, Ledger, Run, Who};

/// What the runs of one service add up to at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Verdict `crash_looping`: ≥ 3 unplanned exits in 10 min or level ≥ 3, until 10 min pass without an exit.
    pub crash_looping: bool,
    /// Verdict `gave_up`: only half-open tries are left, until one of them runs for 10 min.
    pub gave_up: bool,
    /// Given up, and a half-open try is running right now.
    pub probation: bool,
    /// Half-open tries that ended badly since giving up.
    pub failed_tries: u32,
    /// Overlay `recurring_crash`.
    pub recurring_crash: Option<Recurring>,
    /// Finding `something_keeps_restarting_this`: ≥ 5 anonymous restarts in an hour.
    pub something_keeps_restarting_this: bool,
    /// Anonymous restarts in the last hour.
    pub anonymous_restarts: usize,
    /// There may have been more of them: so many runs are not kept.
    pub restarts_at_least: bool,
    /// Exits in the last 10 min that spent budget.
    pub exits_10m: usize,
    /// There may have been more of them: whoever runs it did not tell of all.
    pub is_at_least: bool,
    /// The bucket's level.
    pub level: f64,
    /// The wait, before jitter, from the last end to the next start; none while it runs and before the first run.
    pub next_delay: Option<Duration>,
    /// Cause of the last exit that spent budget.
    pub last_cause: Option<Cause>,
}

/// A slow loop: exits of like cause too far apart for a crash loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurring {
    /// The cause of the latest of them.
    pub cause: Cause,
    /// How many exits the window holds.
    pub exits: usize,
    /// The window, 6 h or 7 d.
    pub window: Duration,
    /// The median time from one exit to the next.
    pub median_period: Duration,
}

impl Assessment {
    /// Says how many exits there were in the last 10 min: "3", or "≥ 3".
    pub fn counted_exits(&self) -> String {
        let least = if self.is_at_least { "≥ " } else { "" };
        format!("{least}{}", self.exits_10m)
    }

    /// Says how many anonymous restarts there were in the last hour: "7", or "≥ 255".
    pub fn counted_restarts(&self) -> String {
        let least = if self.restarts_at_least { "≥ " } else { "" };
        format!("{least}{}", self.anonymous_restarts)
    }
}

impl fmt::Display for Recurring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "dies every ~{}, {}", rounded(self.median_period), self.cause.words())
    }
}

/// Returns what `ledger` adds up to at `now`.
pub fn assess(ledger: &Ledger, now: Moment) -> Assessment {
    let policy = ledger.policy();
    let mut standing = Standing::default();
    for run in ledger.runs() {
        standing.follow(run, policy, now);
    }
    standing.end_loop_if_quiet(policy, now);
    let running = ledger.last().is_some_and(|run| run.end.is_none());
    // The first start is none, nor what had done its work and is started again, as by a timer.
    let has_completed = |run: &Run| run.end.as_ref().is_some_and(|end| end.planned && end.by == Who::Runtime);
    let before = std::iter::once(None).chain(ledger.runs().map(Some));
    let is_restart = |(run, before): &(&Run, Option<&Run>)| {
        let is_late = now.since(run.started.at) <= policy.anonymous_window;
        run.started_by == Who::Anonymous && is_late && before.is_some_and(|before| !has_completed(before))
    };
    let anonymous_restarts = ledger.runs().zip(before).filter(is_restart).count();
    Assessment {
        crash_looping: standing.looping,
        gave_up: standing.failed_tries.is_some(),
        probation: standing.failed_tries.is_some() && running,
        failed_tries: standing.failed_tries.unwrap_or(0),
        recurring_crash: recurring(&standing.exits, policy, now),
        something_keeps_restarting_this: anonymous_restarts >= policy.anonymous_restarts,
        anonymous_restarts,
        restarts_at_least: ledger.begins_within(policy.anonymous_window, now),
        exits_10m: exits_within(&standing.exits, policy.loop_window, now),
        is_at_least: ledger.runs().any(|run| run.after_gap && now.since(run.started.at) <= policy.loop_window),
        level: standing.bucket.level(),
        next_delay: if running { None } else { standing.wait },
        last_cause: standing.exits.last().map(|(_, cause)| *cause),
    }
}

/// The fold's state: where a service stands after the runs seen so far.
#[derive(Default)]
struct Standing {
    bucket: Bucket,
    looping: bool,
    /// Set once given up: how many half-open tries failed since.
    failed_tries: Option<u32>,
    hopeless_in_a_row: u32,
    /// Exits that spent budget, oldest first.
    exits: Vec<(Moment, Cause)>,
    wait: Option<Duration>,
}

impl Standing {
    fn follow(&mut self, run: &Run, policy: &Policy, now: Moment) {
        if run.started_by == Who::Announced && self.failed_tries.is_some() {
            // Somebody changed something and says so: the tries begin again, the level stays.
            self.failed_tries = Some(0);
            self.hopeless_in_a_row = 0;
        }
        let healthy = run.duration(now);
        self.bucket = self.bucket.leak(healthy, policy);
        if healthy >= policy.stable_for {
            self.failed_tries = None;
            self.hopeless_in_a_row = 0;
        }
        match &run.end {
            None => self.wait = None,
            Some(end) if end.spends_budget() => self.spend(end, policy),
            Some(end) if end.planned => self.wait = Some(Duration::ZERO),
            // What it needs is not back a second later.
            Some(end) if end.excuse == Some(Excuse::DependencyDown) => self.wait = Some(policy.hopeless_delay),
            Some(_) => self.wait = Some(policy.base),
        }
    }

    fn spend(&mut self, end: &End, policy: &Policy) {
        let at = end.at.at;
        self.end_loop_if_quiet(policy, at);
        self.exits.push((at, end.cause));
        let delay = self.bucket.delay(policy);
        self.bucket = self.bucket.fill(policy);
        let hopeless = !end.cause.may_heal_by_restart();
        self.hopeless_in_a_row = if hopeless { self.hopeless_in_a_row + 1 } else { 0 };
        if exits_within(&self.exits, policy.loop_window, at) >= policy.loop_exits
            || self.bucket.level() >= policy.loop_level
        {
            self.looping = true;
        }
        self.failed_tries = match self.failed_tries {
            Some(tries) => Some(tries.saturating_add(1)),
            None if self.bucket.level() >= policy.give_up_level => Some(0),
            None if self.hopeless_in_a_row >= policy.hopeless_exits => Some(0),
            None => None,
        };
        self.wait = Some(match self.failed_tries {
            Some(tries) => policy.try_wait(tries),
            None if hopeless => delay.max(policy.hopeless_delay),
            None => delay,
        });
    }

    fn end_loop_if_quiet(&mut self, policy: &Policy, now: Moment) {
        if self.exits.last().is_some_and(|(last, _)| now.since(*last) >= policy.stable_for) {
            self.looping = false;
        }
    }
}

fn exits_within(exits: &[(Moment, Cause)], window: Duration, now: Moment) -> usize {
    exits.iter().rev().take_while(|(at, _)| now.since(*at) <= window).count()
}

/// Returns the slow loop of the cause that killed most often, in the shortest window that shows one.
///
/// Exits that all fall into one crash-loop window are a burst that was paged already, not a slow loop.
fn recurring(exits: &[(Moment, Cause)], policy: &Policy, now: Moment) -> Option<Recurring> {
    for (needed, window) in policy.recurring {
        let recent: Vec<(Moment, Cause)> = exits.iter().copied().filter(|(at, _)| now.since(*at) <= window).collect();
        let like = |name: &str| -> Vec<(Moment, Cause)> {
            recent.iter().copied().filter(|(_, cause)| cause.name() == name).collect()
        };
        let Some(worst) = recent.iter().map(|(_, cause)| like(cause.name())).max_by_key(Vec::len) else { continue };
        let (Some(&(first, _)), Some(&(last, cause))) = (worst.first(), worst.last()) else { continue };
        if worst.len() >= needed && last.since(first) > policy.loop_window {
            return Some(Recurring { cause, exits: worst.len(), window, median_period: median_gap(&worst) });
        }
    }
    None
}

fn median_gap(exits: &[(Moment, Cause)]) -> Duration {
    let mut gaps: Vec<Duration> =
        exits.iter().zip(exits.iter().skip(1)).map(|((earlier, _), (later, _))| later.since(*earlier)).collect();
    gaps.sort();
    gaps.get(gaps.len() / 2).copied().unwrap_or_default()
}

/// Writes a duration in its largest fitting unit: "45 s", "22 min", "5 h", "2 d".
fn rounded(length: Duration) -> String {
    let secs = length.as_secs();
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", (secs + 30) / 60),
        7_200..172_800 => format!("{} h", (secs + 1_800) / 3_600),
        _ => format!("{} d", (secs + 43_200) / 86_400),
    }
}

#[cfg(test)]
#[path = "assessment_tests.rs"]
mod tests;
