//! Counts failures that a queue told of, or listed, and threw away before anybody could read them; and remembers how far each
//! queue was heard.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Engine, Trouble};
use crate::source::{CLOCKS_DIFFER_MS, Episode, Sought, State};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two writings of how far was heard: what is told twice is there already, or counted twice.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Failures that may be missed, at most: with more no queue is heard until it is known of these.
const MOST: usize = 50_000;

/// Failures that could not be read. Whether they were missed is known once all is written that was read before.
#[derive(Default)]
pub(super) struct Missed {
    suspected: Mutex<Vec<Suspected>>,
    suspects: Mutex<Known>,
}

/// A failure, and how many batches had been handed over when it could not be read.
type Suspected = (u64, Episode);

/// Failures that were suspected already: what is both told and listed is counted once.
#[derive(Default)]
struct Known {
    newer: BTreeMap<(String, String), i64>,
    older: BTreeMap<(String, String), i64>,
}

impl Known {
    /// Returns whether it was not known.
    fn learn(&mut self, Episode { queue, job, failed_at_ms }: &Episode) -> bool {
        let of = (queue.clone(), job.clone());
        // What is told has the time of Redis, what is listed a worker's.
        let is_it = |at_ms: &i64| at_ms.abs_diff(*failed_at_ms) <= CLOCKS_DIFFER_MS.unsigned_abs();
        if [&self.newer, &self.older].iter().any(|known| known.get(&of).is_some_and(is_it)) {
            return false;
        }
        if self.newer.len() >= MOST {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(of, *failed_at_ms);
        true
    }
}

impl Missed {
    /// Notes failures that could not be read when so many batches had been handed over.
    pub(super) fn suspect(&self, gone: Vec<Episode>, batches: u64) {
        if gone.is_empty() {
            return;
        }
        let mut known = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = gone.into_iter().map(Episode::as_text);
        let news = gone.filter(|episode| known.learn(episode)).map(|episode| (batches, episode));
        self.suspected().extend(news);
    }

    fn suspected(&self) -> MutexGuard<'_, Vec<Suspected>> {
        self.suspected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are too many.
    pub(super) fn has_no_room(&self) -> bool {
        self.suspected().len() >= MOST
    }

    /// Takes those that something can be said of.
    fn take(&self, is_written: impl Fn(u64) -> bool) -> Vec<Suspected> {
        self.suspected().extract_if(.., |(batches, _)| is_written(*batches)).collect()
    }

    fn give_back(&self, suspected: Vec<Suspected>) {
        self.suspected().extend(suspected);
    }

    fn is_empty_up_to(&self, batches: u64) -> bool {
        self.suspected().iter().all(|(of, _)| *of > batches)
    }
}

/// How far queues were heard when so many batches had been handed over.
struct Heard {
    batches: u64,
    places: BTreeMap<String, String>,
}

impl Engine {
    pub(super) async fn count_missed_for_ever(&self) {
        let (mut heard, mut written_at, mut failures) = (None, None, 0);
        loop {
            self.figures.overdue.with_label_values(&[&self.name]).set(self.intake.waiting());
            let counting = self.looks.count_due(|batches| self.intake.is_written(batches));
            let round = async {
                self.count_missed().await?;
                counting.into_iter().for_each(|look| self.looks.note_counted(look));
                self.remember(&mut heard, &mut written_at).await
            };
            let round = round.await;
            let wait = self.went("counting what was missed", &round, &mut failures);
            tokio::time::sleep(wait.unwrap_or(LOOK_EVERY)).await;
        }
    }

    async fn count_missed(&self) -> Result<(), Trouble> {
        let suspected = self.missed.take(|batches| self.intake.is_written(batches));
        let mut of_queues = BTreeMap::<&str, Vec<Episode>>::new();
        for (_, episode) in &suspected {
            of_queues.entry(&episode.queue).or_default().push(episode.clone());
        }
        for (queue, gone) in of_queues {
            match self.find_missed(queue, &gone).await {
                Ok(0) => {}
                Ok(missed) => {
                    self.looks.tally().missed.fetch_add(missed, Ordering::Relaxed);
                    self.figures.missed.with_label_values(&[&self.name, queue]).inc_by(missed);
                    self.counts.note(queue, |counts| counts.missed += missed);
                    tracing::warn!(
                        source = self.name,
                        queue,
                        missed,
                        "failures were thrown away before they were read"
                    );
                }
                Err(trouble) => {
                    let rest = suspected.iter().filter(|(_, episode)| *episode.queue >= *queue).cloned();
                    self.missed.give_back(rest.collect());
                    return Err(trouble);
                }
            }
        }
        Ok(())
    }

    /// Counts those that are nowhere. What somebody has put back or done since is not lost.
    async fn find_missed(&self, queue: &str, gone: &[Episode]) -> Result<u64, Trouble> {
        let unknown = self.ledger.without_letter(&self.name, queue, gone).await?;
        let jobs: Vec<Sought> = unknown.iter().map(|Episode { queue, job, .. }| Sought::of(queue, job)).collect();
        let states = self.source.states(&jobs).await?;
        Ok(states.into_iter().filter(|state| *state == State::Gone).count() as u64)
    }

    /// Writes how far was heard, now and then, once all that was told until then is written or counted.
    async fn remember(&self, heard: &mut Option<Heard>, written_at: &mut Option<Instant>) -> Result<(), Trouble> {
        if written_at.is_some_and(|at| at.elapsed() < WRITE_EVERY) {
            return Ok(());
        }
        let Heard { batches, places } = &*heard.get_or_insert_with(|| {
            let places = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Heard { batches: self.intake.handed_over(), places }
        });
        if self.intake.is_written(*batches) && self.missed.is_empty_up_to(*batches) {
            if !places.is_empty() {
                self.ledger.hear(&self.name, places).await?;
            }
            (*heard, *written_at) = (None, Some(Instant::now()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_could_not_be_read_nothing_is_said_until_all_that_was_read_before_is_written() {
        let missed = Missed::default();
        let episode = |job: &str| Episode { queue: "mails".to_owned(), job: job.to_owned(), failed_at_ms: 1 };
        missed.suspect(vec![episode("a"), episode("b")], 3);
        missed.suspect(vec![episode("c")], 5);
        assert!(missed.is_empty_up_to(2) && !missed.is_empty_up_to(3));
        assert_eq!(missed.take(|batches| batches <= 2), []);
        let taken = missed.take(|batches| batches <= 4);
        assert_eq!(taken, [(3, episode("a")), (3, episode("b"))]);
        assert!(missed.is_empty_up_to(4), "they are judged");
        missed.give_back(taken);
        assert!(!missed.is_empty_up_to(4), "or not");
    }

    #[test]
    fn what_is_both_told_and_listed_is_suspected_once_and_a_later_failure_of_the_job_again() {
        let missed = Missed::default();
        for at_ms in [100_000, 100_007, 99_000, 200_000] {
            let episode = Episode { queue: "mails".to_owned(), job: "a".to_owned(), failed_at_ms: at_ms };
            missed.suspect(vec![episode], 0);
        }
        let at_ms: Vec<i64> = missed.take(|_| true).into_iter().map(|(_, episode)| episode.failed_at_ms).collect();
        assert_eq!(at_ms, [100_000, 200_000]);
    }
}
