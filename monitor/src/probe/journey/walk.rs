//! The probe of kind `journey`: step by step, until one fails.

use std::fmt;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use crate::probe::address::Address;
use crate::probe::kinds::{Probe, Target};
use crate::probe::observation::{Facts, Outcome, Reason, StepSeen, StepState};
use crate::probe::run::Run;
use crate::probe::runner::timed_out;

use super::step::Step;
use super::template::Templates;
use super::travel::Travel;

/// What part of the time is kept for `always` steps while another one is waited for: a fifth.
const SHARE_FOR_ALWAYS: u32 = 5;

/// A configured `journey` check.
pub(super) struct JourneyProbe {
    pub(super) steps: Vec<Step>,
    pub(super) templates: Templates,
    pub(super) target: Target,
}

impl fmt::Debug for JourneyProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JourneyProbe").field(&self.target.shown).finish()
    }
}

impl Probe for JourneyProbe {
    fn target(&self) -> Target {
        self.target.clone()
    }

    fn connects_to(&self) -> Option<&Address> {
        let mut addresses = self.steps.iter().map(|step| {
            let options = &step.options;
            options.proxy.is_none().then_some(&options.first.address)
        });
        let first = addresses.next()??;
        addresses.all(|address| address == Some(first)).then_some(first)
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.walk(run).boxed()
    }
}

impl JourneyProbe {
    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut travel = Travel::begin();
        let mut broken = None;
        for (index, step) in self.steps.iter().enumerate() {
            let is_left = broken.is_some() && !(step.always && step.can_be_sent(&self.templates, &travel));
            if is_left {
                run.seen.steps.push(StepSeen::new(&step.name, StepState::NotReached, None));
                continue;
            }
            let began = Instant::now();
            let taken = self.take(run, step, &mut travel, self.limit(run, step)).await;
            let state = if taken.is_ok() { StepState::Passed } else { StepState::Failed };
            run.seen.steps.push(StepSeen::new(&step.name, state, Some(began.elapsed())));
            let called = |reason: Reason| {
                let text = travel.hide(reason.text);
                Reason::new(
                    reason.code,
                    format!("step {:?} ({} of {}): {text}", step.name, index + 1, self.steps.len()),
                )
            };
            match taken {
                Ok(soft) => run.soft.extend(soft.into_iter().map(called)),
                Err(Outcome::Fail(reason)) => _ = broken.get_or_insert(Outcome::Fail(called(reason))),
                Err(Outcome::Unknown(reason)) => _ = broken.get_or_insert(Outcome::Unknown(called(reason))),
                Err(Outcome::Pass) => {}
            }
        }
        broken.map_or_else(|| Ok(Facts::default()), Err)
    }

    /// Returns until when a step may take: those that clean up keep a share of the time for themselves.
    fn limit(&self, run: &Run, step: &Step) -> Instant {
        let last = run.last_word();
        if step.always || !self.steps.iter().any(|step| step.always) {
            return last;
        }
        last.checked_sub(run.timeout / SHARE_FOR_ALWAYS).unwrap_or(last)
    }

    /// Takes one step; returns the soft limits it broke.
    async fn take(
        &self,
        run: &mut Run,
        step: &Step,
        travel: &mut Travel,
        limit: Instant,
    ) -> Result<Vec<Reason>, Outcome> {
        let request = step.request(&self.templates, travel)?;
        let began = Instant::now();
        run.needs_body = step.needs_body();
        let earlier = run.seen.cert_expires.take();
        let asked = timeout_at(limit, step.options.ask(run, &request, &mut travel.cookies)).await;
        let took = began.elapsed();
        let expires = run.seen.cert_expires;
        run.seen.note_expiry(earlier);
        let mut facts = match asked {
            Ok(asked) => asked?,
            Err(_elapsed) => return Err(Outcome::Fail(timed_out(run.timeout, run.current(), run.seen.address))),
        };
        facts.seen.cert_expires = expires;
        let judged = step.expect.judge(facts.clone(), took, run.deadline).await;
        if judged.is_err() {
            // What the answer held is not shown with what is wrong with it.
            for extract in &step.extracts {
                if let Ok(value) = extract.take(&facts, &travel.cookies, &request.url) {
                    travel.keep(&extract.name, value);
                }
            }
        }
        let soft = judged?.soft;
        for extract in &step.extracts {
            let value = extract.take(&facts, &travel.cookies, &request.url).map_err(Outcome::Fail)?;
            travel.keep(&extract.name, value);
        }
        Ok(soft)
    }
}
