//! What came of redriven letters.

use kit::db::Bind;

use super::{Ledger, LedgerError, LetterId, LetterState};
use crate::source::Episode;

/// A redriven letter of which nobody knows yet how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// Which.
    pub id: LetterId,
    /// Which failure it was.
    pub episode: Episode,
    /// The job's name.
    pub name: String,
}

/// How a redriven letter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its job was done.
    Resolved,
    /// Its job failed again.
    Recurred,
    /// The source has lost that it was put back: the same order is to be carried out again.
    Lost,
}

impl Outcome {
    /// Its name in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Recurred => "recurred",
            Self::Lost => "lost",
        }
    }

    fn state(self) -> LetterState {
        match self {
            Self::Resolved => LetterState::Resolved,
            Self::Recurred => LetterState::Recurred,
            Self::Lost => LetterState::Intended,
        }
    }
}

impl Ledger {
    /// Returns redriven letters of a source of which nobody knows yet how they end, from the one that was redriven longest
    /// ago.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn under_way(&self, source: &str, most: usize) -> Result<Vec<UnderWay>, LedgerError> {
        let sql = "SELECT queue, job, failed_at_ms, name FROM letters WHERE state = 'redriven' AND source = $1
            ORDER BY changed_at_ms LIMIT $2";
        let binds = [Bind::from(source), i64::try_from(most).unwrap_or(i64::MAX).into()];
        let rows =
            self.read(async |transaction| transaction.rows::<(String, String, i64, String)>(sql, &binds).await).await?;
        let letter = |(queue, job, failed_at_ms, name)| {
            let episode = Episode { queue, job, failed_at_ms };
            UnderWay { id: LetterId::of(source, &episode), episode, name }
        };
        Ok(rows.into_iter().map(letter).collect())
    }

    /// Writes how redriven letters ended.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn ended(&self, ended: &[(LetterId, Outcome)], now_ms: i64) -> Result<(), LedgerError> {
        self.write(async |transaction| {
            for (id, outcome) in ended {
                let sql = "UPDATE letters SET state = $1, changed_at_ms = $2, version = version + 1
                    WHERE id = $3 AND state = 'redriven'";
                let binds = [Bind::from(outcome.state().word()), now_ms.into(), id.as_str().into()];
                transaction.change(sql, &binds).await?;
            }
            Ok(())
        })
        .await
    }
}
