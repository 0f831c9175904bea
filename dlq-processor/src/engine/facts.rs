//! What is so with a source now, for whoever tells people of it. What nobody has looked at yet is not said to be well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use super::Engine;
use super::scan::CAPTURE;
use crate::source::Peril;
use crate::storm::BreakerState;

/// What is so with a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SourceFacts {
    /// Its name.
    pub(crate) name: String,
    /// Whether it answers, or why it does not; none before it was asked.
    pub(crate) answers: Option<Result<(), String>>,
    /// Whether what is put back is safe there, or why it is not; none before that was of interest.
    pub(crate) is_armed: Option<Result<(), String>>,
    /// Queues that were looked at for what makes them unsafe; none before that.
    pub(crate) looked_at: Option<BTreeSet<String>>,
    /// What makes queues unsafe, and nobody has accepted.
    pub(crate) perils: Vec<Peril>,
    /// Queues and jobs' names whose breakers are not closed.
    pub(crate) unclosed: Vec<(String, String)>,
    /// Failures that were missed of each queue since this daemon acts.
    pub(crate) missed: BTreeMap<String, u64>,
}

impl Engine {
    /// Says what is so with its source.
    pub(crate) fn facts(&self) -> SourceFacts {
        let hazards = self.hazards.lock().unwrap_or_else(PoisonError::into_inner).clone();
        SourceFacts {
            name: self.name.clone(),
            answers: self.answers(),
            is_armed: hazards.map(|hazards| hazards.into_iter().next().map_or(Ok(()), Err)),
            looked_at: self.looked_at(),
            perils: self.perils(),
            unclosed: self.unclosed(),
            missed: self.missed.counted(),
        }
    }

    /// Whether the source answers, as the last look at it found; none before the first one was over.
    pub(super) fn answers(&self) -> Option<Result<(), String>> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.get(CAPTURE).map(|trouble| trouble.clone().map_or(Ok(()), Err))
    }

    fn unclosed(&self) -> Vec<(String, String)> {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let unclosed = breakers.iter().filter(|(_, breaker)| breaker.state() != BreakerState::Closed);
        unclosed.map(|(destination, _)| destination.clone()).collect()
    }
}
