//! Follows redriven letters to their end.

use std::time::Duration;

use super::{Engine, Trouble, now_ms};
use crate::ledger::{LetterId, Outcome, UnderWay};
use crate::source::State;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Letters that are looked at, at most.
const MOST: usize = 5000;

impl Engine {
    pub(super) async fn follow_for_ever(&self) {
        let mut failures = 0;
        loop {
            let round = self.follow().await;
            let wait = self.went("following", &round, &mut failures);
            tokio::time::sleep(wait.unwrap_or(LOOK_EVERY)).await;
        }
    }

    async fn follow(&self) -> Result<(), Trouble> {
        let under_way = self.ledger.under_way(&self.name, MOST).await?;
        if under_way.is_empty() {
            return Ok(());
        }
        let jobs: Vec<_> = under_way.iter().map(|it| (it.episode.queue.clone(), it.episode.job.clone())).collect();
        let states = self.source.states(&jobs).await?;
        let found: Vec<(&UnderWay, Outcome)> = under_way
            .iter()
            .zip(states)
            .filter_map(|(letter, state)| Some((letter, outcome(letter, state)?)))
            .collect();
        let ended: Vec<(LetterId, Outcome)> =
            found.iter().map(|(letter, outcome)| (letter.id.clone(), *outcome)).collect();
        self.ledger.ended(&ended, now_ms()).await?;
        for (UnderWay { episode, name, .. }, outcome) in found {
            self.figures.outcomes.with_label_values(&[&episode.queue, outcome.word()]).inc();
            if outcome != Outcome::Lost {
                self.ended(&episode.queue, name, outcome == Outcome::Resolved);
            }
        }
        Ok(())
    }
}

/// How a letter ended, if it has.
fn outcome(letter: &UnderWay, state: State) -> Option<Outcome> {
    match state {
        State::UnderWay => None,
        // Most queues keep nothing of what was done.
        State::Completed | State::Gone => Some(Outcome::Resolved),
        // As if it had never been put back: a server that was started anew may have lost its last second.
        State::Failed(at_ms) if at_ms == letter.episode.failed_at_ms => Some(Outcome::Lost),
        State::Failed(_) => Some(Outcome::Recurred),
    }
}
