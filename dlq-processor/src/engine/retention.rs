//! Lets go of letters that ended long ago, and puts away those that nobody dealt with.

use std::time::Duration;

use jiff::Timestamp;
use kit::chain::Chain;

use super::now_ms;
use crate::cold::put_away;
use crate::ledger::{Before, Ledger, LedgerError};
use crate::settings::RetentionSettings;

/// Between two rounds.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Between two parts of a round, so that others get to the ledger.
const PAUSE: Duration = Duration::from_millis(50);

/// Works until it is dropped.
pub(crate) async fn let_go(ledger: &Ledger, settings: &RetentionSettings) {
    loop {
        if let Err(error) = round(ledger, settings).await {
            tracing::warn!(error = %Chain(&error), "old letters stay for now");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn round(ledger: &Ledger, settings: &RetentionSettings) -> Result<(), LedgerError> {
    let ago = |length: Duration| now_ms().saturating_sub(i64::try_from(length.as_millis()).unwrap_or(i64::MAX));
    let before = Before {
        ended_ms: ago(settings.ended),
        discarded_ms: ago(settings.discarded),
        waiting_ms: ago(settings.waiting),
    };
    while ledger.forget_ended(before).await? > 0 {
        tokio::time::sleep(PAUSE).await;
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
