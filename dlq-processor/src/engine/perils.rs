//! Looks again and again at what makes queues unsafe for their dead letters: nothing is redriven there.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use super::{Engine, Trouble};
use crate::source::Peril;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) async fn watch_perils_for_ever(&self) {
        let mut failures = 0;
        loop {
            let looked = self.look_at_perils().await;
            let wait = self.went("watching over queues", &looked, &mut failures);
            tokio::time::sleep(wait.unwrap_or(LOOK_EVERY)).await;
        }
    }

    async fn look_at_perils(&self) -> Result<(), Trouble> {
        let mut queues = self.source.queues().await?;
        queues.retain(|queue| self.queues.iter().any(|pattern| pattern.matches(queue)));
        let found = self.source.perils(&queues).await?;
        let mut known = self.perils.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.replace(found.clone()).unwrap_or_default();
        drop(known);
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
        for Peril { queue, kind, .. } in before.iter().filter(|peril| !found.contains(peril)) {
            tracing::info!(source = self.name, queue, kind = kind.word(), "a queue is safe again");
            self.figures.perils.with_label_values(&[&self.name, queue, kind.word()]).set(0);
        }
        Ok(())
    }

    /// Returns what makes queues unsafe, if nobody has accepted it.
    pub(crate) fn perils(&self) -> Vec<Peril> {
        let known = self.perils.lock().unwrap_or_else(PoisonError::into_inner);
        let is_accepted = |peril: &&Peril| self.settings.of_queue(&peril.queue).accepts.contains(&peril.kind);
        known.iter().flatten().filter(|peril| !is_accepted(peril)).cloned().collect()
    }

    /// Whether somebody has looked: before that nothing is redriven.
    pub(super) fn has_looked(&self) -> bool {
        self.perils.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Returns the queues that nothing is redriven in.
    pub(super) fn unsafe_queues(&self) -> BTreeSet<String> {
        self.perils().into_iter().map(|peril| peril.queue).collect()
    }
}
