//! Taking letters in: the copy, the decision and what it says of earlier failures of the same job, in one transaction.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use kit::db::{Bind, Transaction};

use super::alike::{self, Kind};
use super::insert::{clean, insert};
use super::letter::{LetterId, Past, of_jobs, pasts};
use super::told::end_told;
use super::{Ledger, LedgerError, LetterState, ROWS, places};
use crate::policy::{Decision, ErrorFacts, Fingerprint};
use crate::source::{Episode, Found};

/// What is decided of a letter when it is taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling {
    /// What its failure says.
    pub error: ErrorFacts,
    /// Which others are alike.
    pub fingerprint: Fingerprint,
    /// What is to be done.
    pub decision: Decision,
    /// How far it has come with that.
    pub state: LetterState,
    /// When it is redriven at the earliest, in milliseconds since the epoch.
    pub due_at_ms: Option<i64>,
    /// Until when it is redriven without anybody's asking, in milliseconds since the epoch.
    pub until_ms: Option<i64>,
    /// After which others.
    pub order: Option<InOrder>,
    /// Whether what becomes of it is put into lists.
    pub is_listed: bool,
}

/// Letters of a queue with the same value are redriven one after another, as they were taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InOrder {
    /// The value.
    pub value: String,
    /// Whether it also waits for those that wait for a person.
    pub waits_for_stuck: bool,
}

/// What came of taking letters in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Captured {
    /// Those that were new, with what was decided.
    pub new: Vec<(LetterId, Ruling)>,
    /// Failures like which there had been none.
    pub new_fingerprints: BTreeSet<Fingerprint>,
    /// Earlier letters of the same jobs that had been redriven, and so have failed again.
    pub recurred: Vec<Recurred>,
}

/// A letter whose job failed again after it was redriven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurred {
    /// Which.
    pub id: LetterId,
    /// Its queue.
    pub queue: String,
    /// Its job's name.
    pub name: String,
}

impl Ledger {
    /// Returns those failures that the ledger does not have yet.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn unknown(&self, source: &str, episodes: &[Episode]) -> Result<Vec<Episode>, LedgerError> {
        let mut unknown = Vec::new();
        for part in episodes.chunks(ROWS) {
            let ids: Vec<LetterId> = part.iter().map(|episode| LetterId::of(source, episode)).collect();
            let sql = format!("SELECT id FROM letters WHERE id IN ({})", places(1, ids.len()).trim_matches(['(', ')']));
            let binds: Vec<Bind<'_>> = ids.iter().map(|id| Bind::from(id.as_str())).collect();
            let known = self.read(async |transaction| transaction.rows::<(String,)>(&sql, &binds).await).await?;
            let known: BTreeSet<&str> = known.iter().map(|(id,)| id.as_str()).collect();
            let is_new = |(_, id): &(&Episode, &LetterId)| !known.contains(id.as_str());
            unknown.extend(part.iter().zip(&ids).filter(is_new).map(|(episode, _)| episode.clone()));
        }
        Ok(unknown)
    }

    /// Returns the failures of those of the newest `most` letters of a queue with which something may still be done.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn newest_open(&self, source: &str, queue: &str, most: usize) -> Result<Vec<Episode>, LedgerError> {
        let sql = "SELECT job, failed_at_ms FROM (
                SELECT source, job, failed_at_ms, state FROM letters WHERE queue = $1 ORDER BY number DESC LIMIT $3
            ) AS newest WHERE source = $2
                AND state IN ('observed', 'scheduled', 'parked', 'quarantined', 'escalated', 'uncertain')";
        let binds = [Bind::from(queue), source.into(), i64::try_from(most).unwrap_or(i64::MAX).into()];
        let rows = self.read(async |transaction| transaction.rows::<(String, i64)>(sql, &binds).await).await?;
        let episode = |(job, failed_at_ms)| Episode { queue: queue.to_owned(), job, failed_at_ms };
        Ok(rows.into_iter().map(episode).collect())
    }

    /// Takes failures in at the time `now_ms`; `decide` is asked of each that is new, with what is known of its job. What is
    /// there already stays as it is.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn capture<'f>(
        &self,
        source: &str,
        found: &'f [impl Borrow<Found>],
        now_ms: i64,
        mut decide: impl FnMut(&'f Found, Option<Past>) -> Ruling,
    ) -> Result<Captured, LedgerError> {
        self.write(async |transaction| {
            let mut captured = Captured::default();
            // Of failures of one job the later must know of the earlier.
            for part in parts(found.iter().map(Borrow::borrow)) {
                let pasts = pasts(transaction, source, &part).await?;
                let rows: Vec<(LetterId, &Found, Ruling, Option<Past>)> = part
                    .iter()
                    .zip(pasts)
                    .map(|(found, past)| (LetterId::of(source, &found.episode), *found, decide(found, past), past))
                    .collect();
                let new = insert(transaction, source, &rows, now_ms).await?;
                let again: Vec<&Found> =
                    rows.iter().filter(|(.., past)| past.is_some()).map(|(_, found, ..)| *found).collect();
                if !again.is_empty() {
                    let later = Later { source, part: &again, now_ms };
                    captured.recurred.extend(later.end(transaction, REDRIVEN).await?);
                    later.end(transaction, OPEN).await?;
                }
                end_told(transaction, source, &part, now_ms).await?;
                let rows = rows.into_iter().filter(|(id, ..)| new.contains(id.as_str()));
                let rows: Vec<_> = rows.map(|(id, found, ruling, _)| (id, found, ruling)).collect();
                captured.new_fingerprints.extend(count_alike(transaction, &rows, now_ms).await?);
                captured.new.extend(rows.into_iter().map(|(id, _, ruling)| (id, ruling)));
            }
            Ok(captured)
        })
        .await
    }
}

/// At most [`ROWS`] failures each, and no job twice in one of them.
fn parts<'f>(found: impl Iterator<Item = &'f Found>) -> Vec<Vec<&'f Found>> {
    let mut parts: Vec<Vec<&'f Found>> = Vec::new();
    let mut jobs = BTreeSet::new();
    for found in found {
        let job = (&found.episode.queue, &found.episode.job);
        let is_full = parts.last().is_none_or(|part| part.len() == ROWS);
        if is_full || jobs.contains(&job) {
            parts.push(Vec::new());
            jobs.clear();
        }
        jobs.insert(job);
        parts.last_mut().into_iter().for_each(|part| part.push(found));
    }
    parts
}

/// Letters of jobs that were redriven: also where nobody has noted yet that it was done.
const REDRIVEN: &str = "'intended', 'redriven'";
/// Letters of jobs that wait for something: what failed later says all that can be done. Quarantine is left by a release alone.
pub(super) const OPEN: &str = "'observed', 'scheduled', 'parked', 'escalated', 'uncertain'";

/// Failures that end the earlier letters of the same jobs. Another job may have got the id of one that was done: what was put in
/// at another time is another.
struct Later<'a> {
    source: &'a str,
    part: &'a [&'a Found],
    now_ms: i64,
}

impl Later<'_> {
    /// Returns those that were in these states.
    async fn end(&self, transaction: &mut Transaction, states: &str) -> Result<Vec<Recurred>, sqlx::Error> {
        let Self { source, part, now_ms } = self;
        let sql = format!(
            "UPDATE letters SET state = 'recurred', changed_at_ms = $1, version = version + 1
            WHERE number IN (
                SELECT number FROM {} AND source = ${} AND state IN ({states}) AND failed_at_ms < failed.column3
                    AND COALESCE(put_in_at_ms, -1) = failed.column4)
            RETURNING queue, job, failed_at_ms, name",
            of_jobs(1, part.len(), 4),
            part.len() * 4 + 2,
        );
        let jobs: Vec<String> = part.iter().map(|found| clean(&found.episode.job)).collect();
        let mut binds = vec![Bind::from(*now_ms)];
        for (Found { episode: Episode { queue, failed_at_ms, .. }, put_in_at_ms, .. }, job) in part.iter().zip(&jobs) {
            let put_in_at_ms = put_in_at_ms.unwrap_or(-1);
            binds.extend([
                Bind::from(queue.as_str()),
                job.as_str().into(),
                (*failed_at_ms).into(),
                put_in_at_ms.into(),
            ]);
        }
        binds.push((*source).into());
        let rows: Vec<(String, String, i64, String)> = transaction.rows(&sql, &binds).await?;
        let recurred = |(queue, job, failed_at_ms, name)| {
            let episode = Episode { queue, job, failed_at_ms };
            Recurred { id: LetterId::of(source, &episode), queue: episode.queue, name }
        };
        Ok(rows.into_iter().map(recurred).collect())
    }
}

/// Counts failures that are alike, and returns those like which there had been none.
async fn count_alike(
    transaction: &mut Transaction,
    rows: &[(LetterId, &Found, Ruling)],
    now_ms: i64,
) -> Result<Vec<Fingerprint>, sqlx::Error> {
    let mut alike: BTreeMap<&Fingerprint, (i64, &Found, &Ruling)> = BTreeMap::new();
    for (_, found, ruling) in rows {
        alike.entry(&ruling.fingerprint).or_insert((0, found, ruling)).0 += 1;
    }
    let mut new = Vec::new();
    for (fingerprint, (count, found, ruling)) in alike {
        let [name, message] = [&found.name, &ruling.error.message].map(|text| clean(text));
        let kind = Kind {
            fingerprint: fingerprint.as_str(),
            queue: &found.episode.queue,
            name: &name,
            class: ruling.decision.class.word(),
            message: &message,
        };
        if alike::count_alike(transaction, kind, count, now_ms).await? {
            new.push(fingerprint.clone());
        }
    }
    Ok(new)
}
