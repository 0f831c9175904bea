//! Counts failures that a queue told of and threw away before anybody could read them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Engine, Trouble};
use crate::source::{State, Told};

/// Between two writings of how far was heard: what is heard twice is counted once as long as this process runs.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// How far each queue was heard.
#[derive(Default)]
pub(super) struct Ear {
    places: BTreeMap<String, String>,
    /// What was listed of each queue since it was last heard to the end.
    listing: BTreeMap<String, BTreeSet<String>>,
    /// What was listed of it before that: it may be told of later.
    listed: BTreeMap<String, BTreeSet<String>>,
    is_read: bool,
    written_at: Option<Instant>,
}

impl Ear {
    /// Notes that jobs were listed, wherever the look that did so ends.
    pub(super) fn list(&mut self, queue: &str, jobs: impl Iterator<Item = String>) {
        self.listing.entry(queue.to_owned()).or_default().extend(jobs);
    }

    /// Returns those that were told of and not listed.
    fn unlisted(&self, queue: &str, told: Vec<String>) -> Vec<String> {
        let lists = [self.listing.get(queue), self.listed.get(queue)];
        let is_listed = |job: &String| lists.iter().flatten().any(|list| list.contains(job));
        let unlisted: BTreeSet<String> = told.into_iter().filter(|job| !is_listed(job)).collect();
        unlisted.into_iter().collect()
    }

    /// Goes on behind what was told: all of it is counted.
    fn go_on(&mut self, queue: &str, place: Option<String>) {
        let listing = self.listing.remove(queue).unwrap_or_default();
        self.listed.insert(queue.to_owned(), listing);
        if let Some(place) = place {
            self.places.insert(queue.to_owned(), place);
        }
    }
}

impl Engine {
    /// Hears which jobs of a queue failed since it was last heard. To be asked before its failures are listed: what is told and
    /// listed by then was not missed. Until it is counted it is heard again.
    pub(super) async fn hear(&self, ear: &mut Ear, queue: &str) -> Result<Told, Trouble> {
        if !ear.is_read {
            ear.places = self.ledger.heard(&self.name).await?;
            ear.is_read = true;
        }
        Ok(self.source.told(queue, ear.places.get(queue).map(String::as_str)).await?)
    }

    /// Counts those that failed, were not listed, and are nowhere.
    pub(super) async fn count_missed(&self, ear: &mut Ear, queue: &str, told: Told) -> Result<(), Trouble> {
        let missed = self.find_missed(queue, ear.unlisted(queue, told.failed)).await?;
        ear.go_on(queue, told.place);
        if told.has_gap {
            self.figures.gaps.with_label_values(&[&self.name, queue]).inc();
            tracing::warn!(
                source = self.name,
                queue,
                "the queue has forgotten some of what failed before it was heard"
            );
        }
        if missed > 0 {
            self.figures.missed.with_label_values(&[&self.name, queue]).inc_by(missed);
            tracing::warn!(source = self.name, queue, missed, "failures were thrown away before they were read");
        }
        Ok(())
    }

    async fn find_missed(&self, queue: &str, unlisted: Vec<String>) -> Result<u64, Trouble> {
        if unlisted.is_empty() {
            return Ok(0);
        }
        let unknown = self.ledger.without_letter(&self.name, queue, &unlisted).await?;
        let jobs: Vec<(String, String)> = unknown.into_iter().map(|job| (queue.to_owned(), job)).collect();
        // What somebody has put back or done since is not lost.
        let states = self.source.states(&jobs).await?;
        Ok(states.into_iter().filter(|state| *state == State::Gone).count() as u64)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_look_listed_was_not_missed_and_its_place_stays() {
        let mut ear = Ear::default();
        let told = || ["a", "b", "c", "c"].map(str::to_owned).to_vec();
        ear.list("mails", ["a".to_owned()].into_iter());
        assert_eq!(ear.unlisted("mails", told()), ["b", "c"]);
        // The look ended here; the next one hears the same, and lists what came after.
        ear.list("mails", ["b".to_owned()].into_iter());
        assert_eq!((ear.unlisted("mails", told()), ear.places.get("mails")), (vec!["c".to_owned()], None));
        ear.go_on("mails", Some("7-0".to_owned()));
        assert_eq!(ear.places.get("mails").map(String::as_str), Some("7-0"));
        assert_eq!(ear.unlisted("mails", told()), ["c"], "what was listed before is told of later");
        ear.go_on("mails", None);
        assert_eq!(ear.places.get("mails").map(String::as_str), Some("7-0"), "nothing new was told");
        assert_eq!(ear.unlisted("mails", told()), ["a", "b", "c"]);
    }
}
