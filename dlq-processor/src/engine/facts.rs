//! What is so with a source now, for whoever tells people of it. What nobody has looked at yet is not said to be well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use kit::chain::Chain;

use super::counts::QueueCounts;
use super::{Engine, Trouble};
use crate::source::{Peril, SourceError};
use crate::storm::BreakerState;

/// What is known of whether a source answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nobody has asked it yet.
    #[default]
    Unasked,
    /// Nobody has made it yet, and there was none before: what it waits for.
    Unmade(String),
    /// It answers, or why it does not.
    Given(Result<(), String>),
}

/// What is so with a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SourceFacts {
    /// Its name.
    pub(crate) name: String,
    /// Whether it answers, or why it does not; none before it was asked, and of one that nobody has made yet.
    pub(crate) answers: Option<Result<(), String>>,
    /// What it waits for, if nobody has made it yet.
    pub(crate) waits: Option<String>,
    /// Whether what is put back is safe there, or why it is not; none before that was of interest.
    pub(crate) is_armed: Option<Result<(), String>>,
    /// Queues that were looked at for what makes them unsafe; none before that.
    pub(crate) looked_at: Option<BTreeSet<String>>,
    /// What makes queues unsafe, and nobody has accepted.
    pub(crate) perils: Vec<Peril>,
    /// Queues and jobs' names whose breakers are not closed.
    pub(crate) unclosed: Vec<(String, String)>,
    /// What has happened in each queue since this daemon acts.
    pub(crate) counts: BTreeMap<String, QueueCounts>,
}

impl Engine {
    /// Says what is so with its source.
    pub(crate) fn facts(&self) -> SourceFacts {
        let hazards = self.hazards.lock().unwrap_or_else(PoisonError::into_inner).clone();
        SourceFacts {
            name: self.name.clone(),
            answers: self.answers(),
            waits: self.waits(),
            is_armed: hazards.map(|hazards| hazards.into_iter().next().map_or(Ok(()), Err)),
            looked_at: self.looked_at(),
            perils: self.perils(),
            unclosed: self.unclosed(),
            counts: self.counts.all(),
        }
    }

    /// Whether the source answers, or why it does not; none before that is known, and of one that nobody has made yet.
    pub(super) fn answers(&self) -> Option<Result<(), String>> {
        match &*self.answers.lock().unwrap_or_else(PoisonError::into_inner) {
            Answer::Given(answer) => Some(answer.clone()),
            Answer::Unasked | Answer::Unmade(_) => None,
        }
    }

    /// What the source waits for, if nobody has made it yet: that is no trouble.
    pub(crate) fn waits(&self) -> Option<String> {
        match &*self.answers.lock().unwrap_or_else(PoisonError::into_inner) {
            Answer::Unmade(why) => Some(why.clone()),
            Answer::Unasked | Answer::Given(_) => None,
        }
    }

    /// Notes what came of a look at all that the source holds.
    pub(super) fn note_answer(&self, looked: &Result<(), Trouble>, has_answered: bool) {
        let answer = answer(looked, has_answered);
        let up = &self.figures.source_up;
        match &answer {
            // What is not there is neither up nor down.
            Answer::Unmade(_) => drop(up.remove_label_values(&[&self.name])),
            Answer::Unasked | Answer::Given(_) => {
                up.with_label_values(&[&self.name]).set(looked.is_ok().into());
            }
        }
        let mut known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Answer::Unmade(why) = &answer
            && *known != answer
        {
            tracing::info!(source = self.name, why, "waits for a source that nobody has made yet");
        }
        *known = answer;
    }

    fn unclosed(&self) -> Vec<(String, String)> {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let unclosed = breakers.iter().filter(|(_, breaker)| breaker.state() != BreakerState::Closed);
        unclosed.map(|(destination, _)| destination.clone()).collect()
    }
}

/// What a look says of whether a source answers, which may have answered before. Nothing is lost of one that nobody has made yet.
fn answer(looked: &Result<(), Trouble>, has_answered: bool) -> Answer {
    match looked {
        Ok(()) => Answer::Given(Ok(())),
        Err(Trouble::Source(SourceError::Unmade(why))) if !has_answered => Answer::Unmade(why.clone()),
        Err(trouble) => Answer::Given(Err(Chain(trouble).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_nobody_has_made_is_not_down_before_there_was_one() {
        let unmade = || Err(Trouble::Source(SourceError::Unmade("no tables".to_owned())));
        let away = || Err(Trouble::Source(SourceError::Away("refused".to_owned())));
        let given = |why: &str| Answer::Given(Err(why.to_owned()));
        for (looked, has_answered, expected) in [
            (unmade(), false, Answer::Unmade("no tables".to_owned())),
            (Ok(()), true, Answer::Given(Ok(()))),
            (unmade(), true, given("no tables")),
            (away(), false, given("refused")),
        ] {
            assert_eq!(answer(&looked, has_answered), expected);
        }
    }
}
