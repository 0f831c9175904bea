//! The steps of one run: each is named and timed, the first that fails ends the way, and those that clean up are taken all
//! the same.

use std::time::Duration;

use kit::config::show_duration;
use tokio::time::{Instant, timeout_at};

use super::observation::{Facts, Outcome, Reason, ReasonCode, StepSeen, StepState};
use super::run::Run;
use super::runner::timed_out;

/// What part of the time is kept for steps that clean up while another one is waited for: a fifth.
const SHARE_FOR_CLEANING: u32 = 5;

/// Steps on their way through a run.
pub struct Steps<'a> {
    run: &'a mut Run,
    count: usize,
    kept: Duration,
    budget: Option<Duration>,
    broken: Option<Outcome>,
}

impl<'a> Steps<'a> {
    /// Begins with steps of these names, none of which is reached yet.
    pub fn begin<'n>(run: &'a mut Run, names: impl IntoIterator<Item = &'n str>) -> Self {
        let waiting = |name| StepSeen::new(name, StepState::NotReached, None);
        run.seen.steps = names.into_iter().map(waiting).collect();
        Self { count: run.seen.steps.len(), run, kept: Duration::ZERO, budget: None, broken: None }
    }

    /// Keeps a part of the time for steps that clean up.
    #[must_use]
    pub fn keeping_time_to_clean(self) -> Self {
        Self { kept: self.run.timeout / SHARE_FOR_CLEANING, ..self }
    }

    /// Makes every step that takes longer than `budget` break a soft limit.
    #[must_use]
    pub fn within(self, budget: Duration) -> Self {
        Self { budget: Some(budget), ..self }
    }

    /// Takes a step, unless an earlier one has failed, and returns what it gives; none if it fails.
    ///
    /// # Cancel safety
    /// As that of what is asked: the step then counts as not reached.
    pub async fn take<T>(&mut self, name: &str, ask: impl AsyncFnOnce(&mut Run) -> Result<T, Outcome>) -> Option<T> {
        if self.broken.is_some() {
            return None;
        }
        let last = self.run.last_word();
        self.walk(name, last.checked_sub(self.kept).unwrap_or(last), ask).await
    }

    /// Takes a step that cleans up, whatever has failed before.
    ///
    /// # Cancel safety
    /// As [`Steps::take`].
    pub async fn clean<T>(&mut self, name: &str, ask: impl AsyncFnOnce(&mut Run) -> Result<T, Outcome>) -> Option<T> {
        self.walk(name, self.run.last_word(), ask).await
    }

    async fn walk<T>(
        &mut self,
        name: &str,
        limit: Instant,
        ask: impl AsyncFnOnce(&mut Run) -> Result<T, Outcome>,
    ) -> Option<T> {
        let (began, soft) = (Instant::now(), self.run.soft.len());
        // What earlier steps were presented must not be forgotten by whatever becomes of this one.
        let earlier = self.run.seen.cert_expires.take();
        let asked = timeout_at(limit, ask(self.run)).await;
        self.run.seen.note_expiry(earlier);
        let taken = asked.unwrap_or_else(|_elapsed| {
            let (timeout, phase, address) = (self.run.timeout, self.run.current(), self.run.seen.address);
            Err(Outcome::Fail(timed_out(timeout, phase, address)))
        });
        self.note(name, began.elapsed(), taken, soft)
    }

    /// Notes how a step ended; the run's soft limits from the `soft`th on were broken by it.
    fn note<T>(&mut self, name: &str, took: Duration, taken: Result<T, Outcome>, soft: usize) -> Option<T> {
        let (run, count) = (&mut *self.run, self.count);
        let state = if taken.is_ok() { StepState::Passed } else { StepState::Failed };
        let step = StepSeen::new(name, state, Some(took));
        let place = run.seen.steps.iter().position(|known| known.name == name).unwrap_or(run.seen.steps.len());
        match run.seen.steps.get_mut(place) {
            Some(known) => *known = step,
            // Nobody announced it, and it was taken all the same.
            None => run.seen.steps.push(step),
        }
        let called = |reason: Reason| {
            Reason::new(reason.code, format!("step {name:?} ({} of {count}): {}", place + 1, reason.text))
        };
        let slow = self.budget.filter(|budget| taken.is_ok() && took > *budget);
        run.soft.extend(slow.map(|budget| too_slow(took, budget)));
        for reason in run.soft.iter_mut().skip(soft) {
            *reason = called(reason.clone());
        }
        match taken {
            Ok(given) => return Some(given),
            Err(Outcome::Fail(reason)) => _ = self.broken.get_or_insert(Outcome::Fail(called(reason))),
            Err(Outcome::Unknown(reason)) => _ = self.broken.get_or_insert(Outcome::Unknown(called(reason))),
            Err(Outcome::Pass) => {}
        }
        None
    }

    /// True once a step has failed.
    pub fn are_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Returns what the whole way comes to.
    ///
    /// # Errors
    /// What the first step found that failed.
    pub fn end(self) -> Result<Facts, Outcome> {
        self.broken.map_or_else(|| Ok(Facts::default()), Err)
    }
}

fn too_slow(took: Duration, budget: Duration) -> Reason {
    let text = format!("took {} ms, more than {}", took.as_millis(), show_duration(budget));
    Reason::new(ReasonCode::Latency, text)
}
