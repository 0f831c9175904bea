//! Lets go of letters that ended long ago, and puts away those that nobody dealt with.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::chain::Chain;

use super::{Engine, now_ms};
use crate::cold::put_away;
use crate::ledger::{Before, Ledger, LedgerError};
use crate::settings::RetentionSettings;
use crate::source::{Episode, Sought, SourceError, State};

/// Between two rounds.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Between two parts of a round, so that others get to the ledger.
const PAUSE: Duration = Duration::from_millis(50);

/// Works until it is dropped.
pub(crate) async fn let_go(ledger: &Ledger, settings: &RetentionSettings, engines: &[Arc<Engine>]) {
    loop {
        if let Err(error) = round(ledger, settings, engines).await {
            tracing::warn!(error = %Chain(&error), "old letters stay for now");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn round(ledger: &Ledger, settings: &RetentionSettings, engines: &[Arc<Engine>]) -> Result<(), LedgerError> {
    let ago = |length: Duration| now_ms().saturating_sub(i64::try_from(length.as_millis()).unwrap_or(i64::MAX));
    let before = Before {
        ended_ms: ago(settings.ended),
        discarded_ms: ago(settings.discarded),
        waiting_ms: ago(settings.waiting),
    };
    let sources: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
    while ledger.forget_ended(before, &sources).await? > 0 {
        tokio::time::sleep(PAUSE).await;
    }
    for engine in engines {
        engine.forget_given_up(before.discarded_ms).await?;
    }
    loop {
        let letters = ledger.overdue(before).await?;
        if letters.is_empty() {
            return Ok(());
        }
        let cold = match settings.cold_dir.clone() {
            None => None,
            Some(folder) => {
                let (letters, now) = (letters.clone(), Timestamp::now());
                let put = tokio::task::spawn_blocking(move || put_away(&folder, &letters, now)).await;
                match put.map_err(std::io::Error::other).and_then(|put| put) {
                    Ok(path) => Some(path.display().to_string()),
                    Err(error) => {
                        // What is nowhere else stays here.
                        tracing::warn!(%error, "letters cannot be put away");
                        return Ok(());
                    }
                }
            }
        };
        ledger.expire(&letters, cold.as_deref(), now_ms()).await?;
        tracing::warn!(letters = letters.len(), "letters that nobody dealt with were put away");
        tokio::time::sleep(PAUSE).await;
    }
}

impl Engine {
    /// Forgets letters that were given up before a time, but for the names of those whose jobs are still listed as dead: they would
    /// be taken in anew.
    async fn forget_given_up(&self, before_ms: i64) -> Result<(), LedgerError> {
        loop {
            let letters = self.ledger.given_up(&self.name, before_ms).await?;
            if letters.is_empty() {
                return Ok(());
            }
            let (numbers, episodes): (Vec<i64>, Vec<Episode>) = letters.into_iter().unzip();
            let is_gone = match self.have_gone(&episodes).await {
                Ok(is_gone) => is_gone,
                Err(error) => {
                    tracing::debug!(source = self.name, %error, "letters that were given up stay for now");
                    return Ok(());
                }
            };
            let of = |wanted: bool| numbers.iter().zip(&is_gone).filter(move |(_, gone)| **gone == wanted);
            let [gone, listed] = [true, false].map(|gone| of(gone).map(|(number, _)| *number).collect::<Vec<i64>>());
            self.ledger.forget(&gone).await?;
            self.ledger.empty(&listed, now_ms()).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether nothing is left in the source of each of these failures.
    async fn have_gone(&self, episodes: &[Episode]) -> Result<Vec<bool>, SourceError> {
        let jobs: Vec<Sought> = episodes.iter().map(|episode| Sought::of(&episode.queue, &episode.job)).collect();
        let states = self.source.states(&jobs).await?;
        let is_gone = |(state, episode): (State, &Episode)| match state {
            State::Gone | State::Lost | State::Completed => true,
            State::Failed(at_ms) => at_ms != episode.failed_at_ms,
            State::UnderWay => false,
        };
        Ok(states.into_iter().zip(episodes).map(is_gone).collect())
    }
}
