//! Looks again and again at what makes queues unsafe for their dead letters: nothing is redriven there.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use super::{Engine, Trouble};
use crate::source::Peril;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for the first queue.
const BEGIN_EVERY: Duration = Duration::from_millis(100);

/// What was found at the last look.
#[derive(Debug, Default)]
pub(super) struct Looked {
    queues: BTreeSet<String>,
    perils: Vec<Peril>,
}

impl Engine {
    pub(super) async fn watch_perils_for_ever(&self) {
        let mut failures = 0;
        loop {
            let queues = self.found.borrow().clone();
            if queues.is_empty() {
                tokio::time::sleep(BEGIN_EVERY).await;
                continue;
            }
            let looked = self.look_at_perils(queues).await;
            let wait = self.went("watching over queues", &looked, &mut failures);
            tokio::time::sleep(wait.unwrap_or(LOOK_EVERY)).await;
        }
    }

    async fn look_at_perils(&self, queues: Vec<String>) -> Result<(), Trouble> {
        let found = self.source.perils(&queues).await?;
        let looked = Looked { queues: queues.into_iter().collect(), perils: found.clone() };
        let before = std::mem::replace(&mut *self.looked.lock().unwrap_or_else(PoisonError::into_inner), looked).perils;
        for Peril { queue, kind, why } in found.iter().filter(|peril| !before.contains(peril)) {
            tracing::warn!(
                source = self.name,
                queue,
                kind = kind.word(),
                why,
                "a queue is unsafe for its dead letters"
            );
            self.figures.perils.with_label_values(&[&self.name, queue, kind.word()]).set(1);
        }
        let is_over = |was: &&Peril| !found.iter().any(|now| now.queue == was.queue && now.kind == was.kind);
        for Peril { queue, kind, .. } in before.iter().filter(is_over) {
            tracing::info!(source = self.name, queue, kind = kind.word(), "a queue is safe again");
            self.figures.perils.with_label_values(&[&self.name, queue, kind.word()]).set(0);
        }
        Ok(())
    }

    /// Returns what makes queues unsafe, if nobody has accepted it.
    pub(crate) fn perils(&self) -> Vec<Peril> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_accepted = |peril: &&Peril| self.settings.of_queue(&peril.queue).accepts.contains(&peril.kind);
        looked.perils.iter().filter(|peril| !is_accepted(peril)).cloned().collect()
    }

    /// Returns the queues that somebody has looked at; none before that.
    pub(super) fn looked_at(&self) -> Option<BTreeSet<String>> {
        let queues = self.looked.lock().unwrap_or_else(PoisonError::into_inner).queues.clone();
        // Where there is no queue nobody looks.
        let has_none = || self.answers() == Some(Ok(())) && self.found.borrow().is_empty();
        (!queues.is_empty() || has_none()).then_some(queues)
    }

    /// Returns the queues that nothing is redriven in.
    pub(super) fn unsafe_queues(&self) -> BTreeSet<String> {
        self.perils().into_iter().map(|peril| peril.queue).collect()
    }

    /// Returns the queues that something is redriven in: somebody has looked, and they are safe.
    pub(super) fn safe_queues(&self) -> SafeQueues {
        let known = self.looked.lock().unwrap_or_else(PoisonError::into_inner).queues.clone();
        let unsafe_queues = self.unsafe_queues();
        let safe = known.iter().filter(|queue| !unsafe_queues.contains(*queue)).cloned().collect();
        SafeQueues { known, safe }
    }
}

/// Queues as they were at the last look.
#[derive(Debug, PartialEq)]
pub(super) struct SafeQueues {
    known: BTreeSet<String>,
    safe: BTreeSet<String>,
}

impl SafeQueues {
    /// Whether something may be redriven in a queue.
    pub(super) fn contains(&self, queue: &str) -> bool {
        self.safe.contains(queue)
    }

    /// Whether a queue that something is due in has gone.
    pub(super) fn lacks(&self, queue: &str) -> bool {
        // Without any there is nothing to be known of one.
        !self.known.is_empty() && !self.known.contains(queue)
    }

    /// Whether something may be done in a queue for what goes into that one. Where it failed nothing is left to be harmed if that
    /// queue has gone.
    pub(super) fn bears(&self, queue: &str, target: &str) -> bool {
        self.contains(queue) || queue != target && self.lacks(queue)
    }
}
