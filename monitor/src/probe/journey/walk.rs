//! The probe of kind `journey`: step by step, until one fails.

use std::fmt;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::probe::address::Address;
use crate::probe::kinds::{Probe, Target};
use crate::probe::observation::{Facts, Outcome, Reason};
use crate::probe::run::Run;
use crate::probe::steps::Steps;

use super::step::Step;
use super::template::Templates;
use super::travel::Travel;

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
        run.hides_paths = true;
        let mut steps = Steps::begin(run, self.steps.iter().map(|step| step.name.as_str()));
        if self.steps.iter().any(|step| step.always) {
            steps = steps.keeping_time_to_clean();
        }
        for step in &self.steps {
            // What it needs was to come from a step that was not taken.
            if steps.are_broken() && step.always && !step.can_be_sent(&self.templates, &travel) {
                continue;
            }
            let take = async |run: &mut Run| self.take(run, step, &mut travel).await;
            _ = if step.always { steps.clean(&step.name, take).await } else { steps.take(&step.name, take).await };
        }
        steps.end()
    }

    /// Takes one step.
    async fn take(&self, run: &mut Run, step: &Step, travel: &mut Travel) -> Result<(), Outcome> {
        let taken = self.ask_as_told(run, step, travel).await;
        let hidden = |reason: Reason| Reason::new(reason.code, travel.hide(reason.text));
        match taken {
            Ok(soft) => {
                run.soft.extend(soft.into_iter().map(hidden));
                Ok(())
            }
            Err(Outcome::Fail(reason)) => Err(Outcome::Fail(hidden(reason))),
            Err(Outcome::Unknown(reason)) => Err(Outcome::Unknown(hidden(reason))),
            Err(Outcome::Pass) => Ok(()),
        }
    }

    /// Asks what a step asks and keeps what it takes; returns the soft limits it broke.
    async fn ask_as_told(&self, run: &mut Run, step: &Step, travel: &mut Travel) -> Result<Vec<Reason>, Outcome> {
        let request = step.request(&self.templates, travel)?;
        let began = Instant::now();
        run.needs_body = step.needs_body();
        let mut facts = step.options.ask(run, &request, &mut travel.cookies).await?;
        let took = began.elapsed();
        facts.seen.cert_expires = run.seen.cert_expires;
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
