//! How far queues were heard, so that what was thrown away while nobody listened is counted; and which jobs are known.

use std::collections::BTreeMap;

use kit::db::Bind;

use super::{Ledger, LedgerError, ROWS, places};
use crate::source::{CLOCKS_DIFFER_MS, Episode};

impl Ledger {
    /// Returns how far the queues of a source were heard.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn heard(&self, source: &str) -> Result<BTreeMap<String, String>, LedgerError> {
        let sql = "SELECT queue, place FROM heard WHERE source = $1";
        let rows = self.read(async |transaction| transaction.rows::<(String, String)>(sql, &[source.into()]).await);
        Ok(rows.await?.into_iter().collect())
    }

    /// Returns whether a source was there before: it was heard, or a letter is of it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn has_met(&self, source: &str) -> Result<bool, LedgerError> {
        // Both begin with the source: the key of the one, and the index `letters_job` of the other.
        let sql = "SELECT queue FROM heard WHERE source = $1
            UNION ALL SELECT queue FROM letters WHERE source = $1 LIMIT 1";
        let met = self.read(async |transaction| transaction.row::<(String,)>(sql, &[source.into()]).await).await?;
        Ok(met.is_some())
    }

    /// Writes how far queues were heard.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn hear(&self, source: &str, heard: &BTreeMap<String, String>) -> Result<(), LedgerError> {
        self.write(async |transaction| {
            for (queue, place) in heard {
                let sql = "INSERT INTO heard (source, queue, place) VALUES ($1, $2, $3)
                    ON CONFLICT (source, queue) DO UPDATE SET place = excluded.place";
                let binds = [Bind::from(source), queue.as_str().into(), place.as_str().into()];
                transaction.change(sql, &binds).await?;
            }
            Ok(())
        })
        .await
    }

    /// Returns those of a queue's failures that there is no letter of, not even one that is older by as much as clocks differ.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn without_letter(
        &self,
        source: &str,
        queue: &str,
        failures: &[Episode],
    ) -> Result<Vec<Episode>, LedgerError> {
        let mut without = Vec::new();
        for part in failures.chunks(ROWS) {
            let sql = format!(
                "SELECT job, MAX(failed_at_ms) FROM letters WHERE source = ${} AND queue = ${} AND job IN {} GROUP BY job",
                part.len() + 1,
                part.len() + 2,
                places(1, part.len())
            );
            let binds: Vec<Bind<'_>> =
                part.iter().map(|episode| episode.job.as_str()).chain([source, queue]).map(Bind::from).collect();
            let known = self.read(async |transaction| transaction.rows::<(String, i64)>(&sql, &binds).await).await?;
            let known: BTreeMap<String, i64> = known.into_iter().collect();
            let is_known = |episode: &&Episode| {
                known
                    .get(&episode.job)
                    .is_some_and(|latest| latest.saturating_add(CLOCKS_DIFFER_MS) >= episode.failed_at_ms)
            };
            without.extend(part.iter().filter(|episode| !is_known(episode)).cloned());
        }
        Ok(without)
    }
}
