//! What came of redriven letters.

use std::collections::BTreeSet;

use kit::db::Bind;

use super::canary::pass;
use super::{Ledger, LedgerError, LetterId, LetterState, ROWS, places, places_after};
use crate::source::{Episode, Sought};

/// A redriven letter of which nobody knows yet how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// Counts letters.
    pub number: i64,
    /// Which.
    pub id: LetterId,
    /// Which failure it was.
    pub episode: Episode,
    /// The job's name.
    pub name: String,
    /// The queue and the id under which its job is now, and the order that put it there.
    pub now: Sought,
}

/// How a redriven letter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its job was done.
    Resolved,
    /// Its queue has nothing of it any more: most keep nothing of what was done.
    Unverified,
    /// The same, where that says nothing: nobody tells how jobs end, or what fails is thrown away as well.
    Untold,
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
            Self::Unverified | Self::Untold => "unverified",
            Self::Recurred => "recurred",
            Self::Lost => "lost",
        }
    }

    fn state(self) -> LetterState {
        match self {
            Self::Resolved | Self::Unverified | Self::Untold => LetterState::Resolved,
            Self::Recurred => LetterState::Recurred,
            Self::Lost => LetterState::Intended,
        }
    }
}

impl Ledger {
    /// Returns redriven letters of a source of which nobody knows yet how they end, those after the letter of a number.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn under_way(&self, source: &str, after: i64, most: usize) -> Result<Vec<UnderWay>, LedgerError> {
        let sql =
            "SELECT number, queue, job, failed_at_ms, name, COALESCE(to_queue, queue), COALESCE(new_job, job), redrive
            FROM letters
            WHERE state = 'redriven' AND source = $1 AND number > $2 ORDER BY number LIMIT $3";
        let binds = [Bind::from(source), after.into(), i64::try_from(most).unwrap_or(i64::MAX).into()];
        type Row = (i64, String, String, i64, String, String, String, Option<String>);
        let rows = self.read(async |transaction| transaction.rows::<Row>(sql, &binds).await);
        let letter = |(number, queue, job, failed_at_ms, name, now_queue, now_job, order)| {
            let (episode, now) =
                (Episode { queue, job, failed_at_ms }, Sought { queue: now_queue, job: now_job, order });
            UnderWay { number, id: LetterId::of(source, &episode), episode, name, now }
        };
        Ok(rows.await?.into_iter().map(letter).collect())
    }

    /// Returns those of some letters of which it is still to be seen how their redrive ends.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn awaited(&self, letters: &[&str]) -> Result<BTreeSet<String>, LedgerError> {
        let mut awaited = BTreeSet::new();
        for part in letters.chunks(ROWS) {
            let sql = format!(
                "SELECT id FROM letters WHERE state IN ('intended', 'redriven') AND id IN {}",
                places(1, part.len())
            );
            let binds: Vec<Bind<'_>> = part.iter().map(|id| Bind::from(*id)).collect();
            let rows = self.read(async |transaction| transaction.rows::<(String,)>(&sql, &binds).await).await?;
            awaited.extend(rows.into_iter().map(|(id,)| id));
        }
        Ok(awaited)
    }

    /// Writes how redriven letters ended, and which flocks follow those that were done. Returns those that nobody else had written
    /// of meanwhile.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn ended(&self, ended: &[(LetterId, Outcome)], now_ms: i64) -> Result<BTreeSet<LetterId>, LedgerError> {
        self.write(async |transaction| {
            let mut written = BTreeSet::new();
            for part in ended.chunks(ROWS) {
                let done = part.iter().filter(|(_, it)| matches!(it, Outcome::Resolved | Outcome::Unverified));
                pass(transaction, &done.map(|(id, _)| id.as_str()).collect::<Vec<_>>(), now_ms).await?;
                let sql = format!(
                    "UPDATE letters SET state = ended.column2, changed_at_ms = $1, version = version + 1,
                        reason = CASE WHEN ended.column3 = 'unverified' THEN 'unverified' ELSE reason END
                    FROM (VALUES {}) AS ended WHERE letters.id = ended.column1 AND letters.state = 'redriven'
                    RETURNING id",
                    places_after(1, part.len(), 3),
                );
                let mut binds = vec![Bind::from(now_ms)];
                for (id, outcome) in part {
                    binds.extend([id.as_str(), outcome.state().word(), outcome.word()].map(Bind::from));
                }
                let ids: Vec<(String,)> = transaction.rows(&sql, &binds).await?;
                let ids: BTreeSet<&str> = ids.iter().map(|(id,)| id.as_str()).collect();
                written.extend(part.iter().filter(|(id, _)| ids.contains(id.as_str())).map(|(id, _)| id.clone()));
            }
            Ok(written)
        })
        .await
    }
}
