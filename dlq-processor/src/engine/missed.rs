//! Counts failures that a queue told of and threw away before anybody could read them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Engine, Trouble};
use crate::source::State;

/// Between two writings of how far was heard: what is heard twice is counted once as long as this process runs.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// How far each queue was heard.
#[derive(Default)]
pub(super) struct Ear {
    places: BTreeMap<String, String>,
    /// What was listed of each queue at the last look: it may be told of later.
    listed: BTreeMap<String, BTreeSet<String>>,
    is_read: bool,
    written_at: Option<Instant>,
}

impl Engine {
    /// Hears which jobs of a queue failed since it was last heard. To be asked before its failures are listed: what is told and
    /// listed by then was not missed.
    pub(super) async fn hear(&self, ear: &mut Ear, queue: &str) -> Result<Vec<String>, Trouble> {
        if !ear.is_read {
            ear.places = self.ledger.heard(&self.name).await?;
            ear.is_read = true;
        }
        let told = self.source.told(queue, ear.places.get(queue).map(String::as_str)).await?;
        if told.has_gap {
            tracing::warn!(
                source = self.name,
                queue,
                "the queue has forgotten some of what failed; that is not counted"
            );
        }
        if let Some(place) = told.place {
            ear.places.insert(queue.to_owned(), place);
        }
        Ok(told.failed)
    }

    /// Counts those that failed, were not listed, and are nowhere.
    pub(super) async fn count_missed(
        &self,
        ear: &mut Ear,
        queue: &str,
        told: Vec<String>,
        listed: BTreeSet<String>,
    ) -> Result<(), Trouble> {
        let before = ear.listed.insert(queue.to_owned(), listed.clone()).unwrap_or_default();
        let is_listed = |job: &String| listed.contains(job) || before.contains(job);
        let unlisted: BTreeSet<String> = told.into_iter().filter(|job| !is_listed(job)).collect();
        let unlisted: Vec<String> = unlisted.into_iter().collect();
        if unlisted.is_empty() {
            return Ok(());
        }
        let unknown = self.ledger.without_letter(&self.name, queue, &unlisted).await?;
        let jobs: Vec<(String, String)> = unknown.into_iter().map(|job| (queue.to_owned(), job)).collect();
        // What somebody has put back or done since is not lost.
        let states = self.source.states(&jobs).await?;
        let missed = states.into_iter().filter(|state| *state == State::Gone).count() as u64;
        if missed > 0 {
            self.figures.missed.with_label_values(&[&self.name, queue]).inc_by(missed);
            tracing::warn!(source = self.name, queue, missed, "failures were thrown away before they were read");
        }
        Ok(())
    }

    /// Writes how far was heard, now and then.
    pub(super) async fn remember(&self, ear: &mut Ear) -> Result<(), Trouble> {
        if ear.places.is_empty() || ear.written_at.is_some_and(|at| at.elapsed() < WRITE_EVERY) {
            return Ok(());
        }
        self.ledger.hear(&self.name, &ear.places).await?;
        ear.written_at = Some(Instant::now());
        Ok(())
    }
}
