//! Reads what queues tell of as soon as they tell it: some throw it away a few hundredths of a second later. What is not told,
//! or could not be read then, is found by scans.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{Engine, Trouble};
use crate::source::{Episode, Place, Places};

/// Longest wait for a queue to tell of something.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two times that queues are heard which always tell of something, while some of it are failures: each keeps them for
/// longer.
const PAUSE: Duration = Duration::from_millis(5);
/// The same once none has failed for a while: each time costs the jobs of a small machine something (at 200 a second, with 25 ms
/// their p50 and p99 were as without this; with 5 ms 5 % and 15 % more). A queue that keeps 50 failures loses none if no more than
/// about 1,500 a second come at once.
const CALM_PAUSE: Duration = Duration::from_millis(25);
const CALM_AFTER: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) async fn tail_for_ever(&self) {
        let (mut is_begun, mut failures, mut failed_at) = (false, 0, None::<Instant>);
        let mut found = self.found.subscribe();
        loop {
            let queues = found.borrow_and_update().clone();
            if queues.is_empty() || self.missed.has_no_room() {
                let _more = tokio::time::timeout(PATIENCE, found.changed()).await;
                continue;
            }
            let heard = self.hear(&queues, &mut is_begun).await;
            if !matches!(heard, Ok(false)) {
                failed_at = Some(Instant::now());
            }
            let is_calm = failed_at.is_none_or(|at| at.elapsed() >= CALM_AFTER);
            let pause = if is_calm { CALM_PAUSE } else { PAUSE };
            tokio::time::sleep(self.went("listening", &heard.map(drop), &mut failures).unwrap_or(pause)).await;
        }
    }

    /// Reads in what has failed, and returns whether anything had, or may have: there is more to be heard.
    async fn hear(&self, queues: &[String], is_begun: &mut bool) -> Result<bool, Trouble> {
        if !*is_begun {
            let known = self.ledger.heard(&self.name).await?;
            *self.places.lock().unwrap_or_else(PoisonError::into_inner) = known;
        }
        let known = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = |queue: &String| match known.get(queue) {
            Some(place) => Place::At(place.clone()),
            // What happened before anybody listened to a queue is nothing that was missed; one that appears is new.
            None if *is_begun => Place::Start,
            None => Place::End,
        };
        let places: Places = queues.iter().map(|queue| (queue.clone(), place(queue))).collect();
        let mut may_have_failed = false;
        for told in self.source.hear(&places, PATIENCE).await? {
            if told.has_gap {
                self.figures.gaps.with_label_values(&[&self.name, &told.queue]).inc();
                let (source, queue) = (&self.name, &told.queue);
                tracing::warn!(source, queue, "the queue has forgotten some of what failed before it was heard");
            }
            may_have_failed |= !told.failed.is_empty() || !told.is_all;
            let failed: BTreeSet<Episode> = told.failed.into_iter().collect();
            self.read_in(&failed.into_iter().collect::<Vec<_>>()).await?;
            self.places.lock().unwrap_or_else(PoisonError::into_inner).insert(told.queue, told.place);
        }
        *is_begun = true;
        Ok(may_have_failed)
    }
}
