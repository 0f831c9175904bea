//! Follows redriven letters to their end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::reconcile::Tally;
use super::{Engine, Trouble, now_ms, passed_secs};
use crate::failpoint;
use crate::ledger::{self, LetterId, Outcome, UnderWay};
use crate::source::{PerilKind, Sought, State, is_remembered};

/// Between two looks, if the first one found no letter that had ended, and if it did: then others are about to.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_SOON: Duration = Duration::from_millis(100);
/// Letters that are looked at at once, at most.
const MOST: usize = 1000;

impl Engine {
    pub(super) async fn follow_for_ever(&self) {
        let (mut failures, mut after, mut asked) = (0, 0, None);
        loop {
            let due = self.looks.follow_due();
            if due != asked {
                // All of them are looked at from the first on.
                (after, asked) = (0, due);
            }
            let round = self.follow(&mut after).await;
            let is_whole = round.is_ok() && after == 0;
            asked.filter(|_| is_whole).into_iter().for_each(|look| self.looks.note_followed(look));
            let ended = round.as_ref().copied().unwrap_or_default();
            match self.went("following", &round.map(drop), &mut failures) {
                Some(wait) => tokio::time::sleep(wait).await,
                None if asked.is_some() && !is_whole => {}
                None if ended == 0 => tokio::time::sleep(LOOK_EVERY).await,
                None if is_whole => tokio::time::sleep(LOOK_SOON).await,
                None => {}
            }
        }
    }

    /// Looks at the letters after one, and returns how many of them have ended. Sets `after` to the last of them, or to 0 if there
    /// are no more: those that wait for a worker are not in others' way.
    async fn follow(&self, after: &mut i64) -> Result<usize, Trouble> {
        let under_way = self.ledger.under_way(&self.name, *after, MOST).await?;
        *after = under_way.last().filter(|_| under_way.len() == MOST).map_or(0, |last| last.number);
        if under_way.is_empty() {
            return Ok(0);
        }
        let jobs: Vec<_> = under_way.iter().map(|it| it.now.clone()).collect();
        let states = self.source.states(&jobs).await?;
        let (found, now_ms) = (under_way.iter().zip(states), now_ms());
        let found: Vec<(&UnderWay, Outcome)> = found
            .filter_map(|(letter, state)| Some((letter, self.believed(letter, outcome(letter, state, now_ms)?))))
            .collect();
        let ended: Vec<(LetterId, Outcome)> =
            found.iter().map(|(letter, outcome)| (letter.id.clone(), *outcome)).collect();
        failpoint::at("before_outcome");
        if ended.is_empty() {
            return Ok(0);
        }
        let written = self.ledger.ended(&ended, now_ms).await?;
        if found.iter().any(|(_, outcome)| *outcome == Outcome::Lost) {
            self.has_lost.store(true, Ordering::Relaxed);
        }
        let lost = found.iter().filter(|(_, outcome)| *outcome == Outcome::Lost).count();
        Tally::add(&self.looks.tally().lost, lost);
        Tally::add(&self.looks.tally().ended, found.len() - lost);
        // Of the others somebody has heard already.
        for (UnderWay { id, episode, now: Sought { queue, .. }, name, .. }, outcome) in
            found.into_iter().filter(|(it, _)| written.contains(&it.id))
        {
            let (label, _) = self.destinations.of(queue, name);
            self.figures.outcomes.with_label_values(&[&*label, outcome.word()]).inc();
            match outcome {
                Outcome::Lost => self.withdrawn(id, queue, name),
                Outcome::Resolved | Outcome::Unverified | Outcome::Untold => {
                    let took = self.figures.resolution_seconds.with_label_values(&[&*label]);
                    took.observe(passed_secs(episode.failed_at_ms, now_ms));
                    self.counts.note(queue, |counts| counts.done += 1);
                    self.ended(id, queue, name, true);
                }
                Outcome::Recurred => {
                    self.counts.note(queue, |counts| counts.recurred += 1);
                    self.ended(id, queue, name, false);
                }
            }
        }
        Ok(ended.len())
    }

    /// What nothing is left of was done, where what fails would have been told of.
    fn believed(&self, letter: &UnderWay, outcome: Outcome) -> Outcome {
        let queue = &letter.now.queue;
        let is_told = self.source.manners(queue).tells_ends
            && !self.settings.of_queue(queue).accepts.contains(&PerilKind::Retention);
        if outcome == Outcome::Unverified && !is_told { Outcome::Untold } else { outcome }
    }
}

/// How a letter ended, if it has.
fn outcome(letter: &UnderWay, state: State, now_ms: i64) -> Option<Outcome> {
    match state {
        State::UnderWay => None,
        State::Completed => Some(Outcome::Resolved),
        State::Gone => Some(Outcome::Unverified),
        // As if it had never been put back: a server that was started anew may have lost its last second.
        State::Failed(at_ms) if at_ms == letter.episode.failed_at_ms => Some(Outcome::Lost),
        State::Failed(_) => Some(Outcome::Recurred),
        State::Lost if given_ms(letter).is_some_and(|given_ms| is_remembered(given_ms, now_ms)) => Some(Outcome::Lost),
        State::Lost => Some(Outcome::Unverified),
    }
}

fn given_ms(letter: &UnderWay) -> Option<i64> {
    ledger::given_ms(letter.now.order.as_deref()?)
}
