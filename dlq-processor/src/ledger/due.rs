//! Letters that are to be redriven: what is due, and what may not be redriven now.

use std::collections::BTreeSet;

use kit::db::Bind;

use super::{Ledger, LedgerError, LetterId, places_after};
use crate::source::Episode;

/// A letter that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub id: LetterId,
    /// Which failure it is.
    pub episode: Episode,
    /// The job's name.
    pub name: String,
    /// Whether a person asked for it.
    pub is_asked: bool,
    /// The queue that told of it, if it is another.
    pub found_in: Option<String>,
    /// The queue that it goes to, if it is another.
    pub to: Option<String>,
}

impl Due {
    /// Returns the queue that it goes to.
    pub fn target(&self) -> &str {
        self.to.as_deref().unwrap_or(&self.episode.queue)
    }

    /// Returns the queues that something is done in when it is redriven.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        [self.episode.queue.as_str()].into_iter().chain(self.found_in.as_deref()).chain(self.to.as_deref())
    }
}

/// What may not be redriven now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Queues.
    pub queues: Vec<String>,
    /// Queues and names of jobs.
    pub names: Vec<(String, String)>,
    /// Queues, but for what a person asked for.
    pub unasked: Vec<String>,
    /// Queues of what goes elsewhere.
    pub origins: Vec<String>,
}

/// Held queues and names that are left out by name, at most; with more some are read in vain.
const HELD: usize = 1000;

type DueRow = (String, String, i64, String, i64, Option<String>, Option<String>);

impl Ledger {
    /// Returns letters of a source that are due at the time `now_ms` and not held, the longest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn due(&self, source: &str, now_ms: i64, held: &Held, most: usize) -> Result<Vec<Due>, LedgerError> {
        let mut sql = "SELECT queue, job, failed_at_ms, name, has_all_tries, found_in, to_queue FROM letters
            WHERE state = 'scheduled' AND source = $1 AND due_at_ms <= $2
                AND (order_value IS NULL OR NOT EXISTS (
                    SELECT 1 FROM letters AS earlier
                    WHERE earlier.source = letters.source AND earlier.queue = letters.queue
                        AND earlier.order_value = letters.order_value AND earlier.number < letters.number
                        AND (earlier.state IN ('scheduled', 'intended', 'redriven') OR letters.waits_for_stuck = 1
                            AND earlier.state IN ('observed', 'parked', 'quarantined', 'escalated', 'uncertain'))))"
            .to_owned();
        let mut binds = vec![Bind::from(source), now_ms.into()];
        // As lists: SQLite bears a thousand conditions one in another and no more (sqlite.org/limits.html, section 7).
        if let Some(queues) = list(&mut binds, &held.queues) {
            sql += &format!(
                " AND COALESCE(to_queue, queue) NOT IN {queues} AND (found_in IS NULL OR found_in NOT IN {queues})"
            );
        }
        if let Some(queues) = list(&mut binds, &held.origins) {
            sql += &format!(" AND (to_queue IS NULL OR queue NOT IN {queues})");
        }
        if let Some(queues) = list(&mut binds, &held.unasked) {
            sql += &format!(" AND NOT (COALESCE(to_queue, queue) IN {queues} AND has_all_tries = 0)");
        }
        if !held.names.is_empty() {
            let (first, names) = (binds.len(), held.names.len().min(HELD));
            let both = held.names.iter().take(HELD).flat_map(|(queue, name)| [queue.as_str(), name.as_str()]);
            binds.extend(both.map(Bind::from));
            let names = places_after(first, names, 2);
            sql += &format!(" AND (COALESCE(to_queue, queue), name) NOT IN (VALUES {names})");
        }
        binds.push(i64::try_from(most).unwrap_or(i64::MAX).into());
        sql += &format!(" ORDER BY due_at_ms LIMIT ${}", binds.len());
        let rows = self.read(async |transaction| transaction.rows::<DueRow>(&sql, &binds).await);
        let due = |(queue, job, failed_at_ms, name, has_all_tries, found_in, to)| {
            let episode = Episode { queue, job, failed_at_ms };
            Due { id: LetterId::of(source, &episode), episode, name, is_asked: has_all_tries > 0, found_in, to }
        };
        Ok(rows.await?.into_iter().map(due).collect())
    }

    /// Returns those of some queues that something is to be done in for letters which are scheduled; of more than a thousand, all
    /// the others.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn scheduled_in(&self, source: &str, queues: &[String]) -> Result<BTreeSet<String>, LedgerError> {
        let mut binds = vec![Bind::from(source)];
        let Some(list) = list(&mut binds, queues) else { return Ok(BTreeSet::new()) };
        let sql = format!(
            "SELECT DISTINCT queue, found_in, to_queue FROM letters
            WHERE source = $1 AND state = 'scheduled' AND (queue IN {list} OR found_in IN {list} OR to_queue IN {list})"
        );
        type Row = (String, Option<String>, Option<String>);
        let rows = self.read(async |transaction| transaction.rows::<Row>(&sql, &binds).await).await?;
        let found =
            rows.into_iter().flat_map(|(queue, found_in, to)| [Some(queue), found_in, to].into_iter().flatten());
        let found: BTreeSet<String> = found.collect();
        let known = queues.iter().take(HELD).filter(|queue| found.contains(*queue));
        Ok(known.chain(queues.iter().skip(HELD)).cloned().collect())
    }
}

/// Binds at most [`HELD`] queues, and returns them as a list; none if there are none.
fn list<'a>(binds: &mut Vec<Bind<'a>>, queues: &'a [String]) -> Option<String> {
    let first = binds.len();
    binds.extend(queues.iter().take(HELD).map(|queue| Bind::from(queue.as_str())));
    (binds.len() > first).then(|| places_after(first, 1, binds.len() - first))
}
