//! Lets go of letters that ended long ago and of what they leave behind, and puts away those that nobody dealt with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kit::chain::Chain;

use super::{Engine, millis, now_ms};
use crate::cold::put_away;
use crate::ledger::{Before, Ledger, LedgerError};
use crate::settings::RetentionSettings;
use crate::source::{Episode, Sought, SourceError, State};

/// Between two rounds.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Between two looks at what letters leave behind: all of it is looked through.
const REMAINS_EVERY: Duration = Duration::from_secs(3600);
/// Between two parts of a round, so that others get to the ledger.
const PAUSE: Duration = Duration::from_millis(50);

/// Works until it is dropped.
pub(crate) async fn let_go(ledger: &Ledger, settings: &RetentionSettings, engines: &[Arc<Engine>]) {
    let mut looked_at: Option<Instant> = None;
    loop {
        if let Err(error) = round(ledger, settings, engines).await {
            tracing::warn!(error = %Chain(&error), "old letters stay for now");
        }
        if looked_at.is_none_or(|looked_at| looked_at.elapsed() >= REMAINS_EVERY) {
            match forget_remains(ledger, settings).await {
                Ok(()) => looked_at = Some(Instant::now()),
                Err(error) => tracing::warn!(error = %Chain(&error), "what old letters leave behind stays for now"),
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The kinds of failures of letters that have gone, and who did what with them.
async fn forget_remains(ledger: &Ledger, settings: &RetentionSettings) -> Result<(), LedgerError> {
    let (before_ms, mut after) = (ago_ms(settings.longest()), String::new());
    while let Some(kind) = ledger.forget_kinds(before_ms, &after).await? {
        after = kind;
        tokio::time::sleep(PAUSE).await;
    }
    let (before_ms, mut after) = (ago_ms(settings.audit), 0);
    while let Some(number) = ledger.forget_audit(before_ms, after).await? {
        after = number;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// In milliseconds since the epoch.
fn ago_ms(length: Duration) -> i64 {
    now_ms().saturating_sub(millis(length))
}

async fn round(ledger: &Ledger, settings: &RetentionSettings, engines: &[Arc<Engine>]) -> Result<(), LedgerError> {
    let before = Before {
        ended_ms: ago_ms(settings.ended),
        discarded_ms: ago_ms(settings.discarded),
        waiting_ms: ago_ms(settings.waiting),
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
