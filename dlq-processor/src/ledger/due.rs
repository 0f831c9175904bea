//! Letters that are to be redriven: what is due, and what may not be redriven now.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kit::db::{Bind, Transaction};

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
    /// What it has in common with others.
    pub fingerprint: String,
    /// Whether a person asked for it.
    pub is_asked: bool,
    /// The queue that told of it, if it is another.
    pub found_in: Option<String>,
    /// The queue that it goes to, if it is another.
    pub to: Option<String>,
    /// Since when it is due, in milliseconds since the epoch.
    pub due_at_ms: i64,
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

/// Letters that go to one queue as jobs of one name, asked for by a person or not: what holds one of them back holds all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The queue that they go to.
    pub queue: String,
    /// The jobs' name.
    pub name: String,
    /// Whether a person asked for them.
    pub is_asked: bool,
}

/// Queues that nothing may be done in now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Nothing comes into these, and nothing is taken out of them.
    pub queues: Vec<String>,
    /// What failed in these does not go elsewhere, either.
    pub origins: Vec<String>,
}

/// Some letters that are due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DuePage {
    /// What a person asked for first, and else what is due for the longest.
    pub due: Vec<Due>,
    /// Where to look next; none after the last lane.
    pub next: Option<Place>,
}

/// A lane's place among all of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place(String);

/// Held queues that are left out by name, at most; with more some are read in vain.
const HELD: usize = 1000;
/// Lanes that are looked at for one page, at most, and for how long: each is a question, and a server may be far.
const LANES: usize = 250;
const PATIENCE: Duration = Duration::from_secs(1);

/// Which letters stand behind no other of their order.
pub(super) const FIRST_IN_ORDER: &str = "(order_value IS NULL OR NOT EXISTS (
    SELECT 1 FROM letters AS earlier
    WHERE earlier.source = letters.source AND earlier.queue = letters.queue
        AND earlier.order_value = letters.order_value AND earlier.number < letters.number
        AND (earlier.state IN ('scheduled', 'intended', 'redriven') OR letters.waits_for_stuck = 1
            AND earlier.state IN ('observed', 'parked', 'quarantined', 'escalated', 'uncertain'))))";

/// A lane as one value. What is between is in hardly any name, and only has two lanes be one, as a name does that is longer than any
/// which a person gives: an index of PostgreSQL takes no more than 2,704 bytes.
macro_rules! lane {
    () => {
        "(substr(COALESCE(to_queue, queue), 1, 200) || '\u{1f}' || substr(name, 1, 200) || CASE has_all_tries WHEN 0 THEN '\u{1f}0' ELSE '\u{1f}1' END)"
    };
}
pub(super) use lane;

type DueRow = (String, String, i64, String, String, i64, Option<String>, Option<String>, i64);

impl Ledger {
    /// Returns letters of a source that are due at the time `now_ms` and not held, at most as many as each lane has `room` for, lane
    /// after lane.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn due(
        &self,
        source: &str,
        now_ms: i64,
        held: &Held,
        (most, after): (usize, &Place),
        room: impl Fn(&Lane) -> usize + Send + Sync,
    ) -> Result<DuePage, LedgerError> {
        let found = self.read(async |transaction| {
            let (mut page, mut after) = (DuePage { next: Some(after.clone()), ..DuePage::default() }, after.clone());
            let until = Instant::now() + PATIENCE;
            for _ in 0..LANES {
                let Some((place, lane, first_due_at_ms)) = next_lane(transaction, source, &after).await? else {
                    page.next = None;
                    break;
                };
                let is_held = first_due_at_ms > now_ms || held.queues.contains(&lane.queue);
                let room = if is_held { 0 } else { room(&lane).min(most - page.due.len()) };
                if room > 0 {
                    page.due.extend(due_of(transaction, source, now_ms, held, (&place, room)).await?);
                }
                (page.next, after) = (Some(place.clone()), place);
                if page.due.len() >= most || Instant::now() >= until {
                    break;
                }
            }
            // However lanes are called, what has waited longest has the first tokens.
            page.due.sort_by_key(|due| (!due.is_asked, due.due_at_ms));
            Ok(page)
        });
        found.await
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

/// Returns the lane after a place, and since when the first of its letters is due, or will be.
async fn next_lane(
    transaction: &mut Transaction,
    source: &str,
    after: &Place,
) -> Result<Option<(Place, Lane, i64)>, sqlx::Error> {
    let sql = concat!(
        "SELECT ",
        lane!(),
        ", COALESCE(to_queue, queue), name, has_all_tries, due_at_ms FROM letters WHERE state = 'scheduled' AND source = $1 AND ",
        lane!(),
        " > $2 ORDER BY ",
        lane!(),
        ", due_at_ms LIMIT 1"
    );
    let found =
        transaction.rows::<(String, String, String, i64, i64)>(sql, &[source.into(), after.0.as_str().into()]).await?;
    let lane =
        |(place, queue, name, tries, due_at_ms)| (Place(place), Lane { queue, name, is_asked: tries > 0 }, due_at_ms);
    Ok(found.into_iter().next().map(lane))
}

/// Returns letters of a lane that are due.
async fn due_of(
    transaction: &mut Transaction,
    source: &str,
    now_ms: i64,
    held: &Held,
    (lane, most): (&Place, usize),
) -> Result<Vec<Due>, sqlx::Error> {
    let mut sql = concat!(
        "SELECT queue, job, failed_at_ms, name, fingerprint, has_all_tries, found_in, to_queue, due_at_ms
        FROM letters WHERE state = 'scheduled' AND source = $1 AND ",
        lane!(),
        " = $2 AND due_at_ms <= $3
            AND "
    )
    .to_owned()
        + FIRST_IN_ORDER;
    let mut binds = vec![Bind::from(source), lane.0.as_str().into(), now_ms.into()];
    // As lists: SQLite bears a thousand conditions one in another and no more (sqlite.org/limits.html, section 7).
    if let Some(queues) = list(&mut binds, &held.queues) {
        sql += &format!(" AND (found_in IS NULL OR found_in NOT IN {queues})");
    }
    if let Some(queues) = list(&mut binds, &held.origins) {
        sql += &format!(" AND (to_queue IS NULL OR queue NOT IN {queues})");
    }
    binds.push(i64::try_from(most).unwrap_or(i64::MAX).into());
    sql += &format!(" ORDER BY due_at_ms LIMIT ${}", binds.len());
    let due = |(queue, job, failed_at_ms, name, fingerprint, has_all_tries, found_in, to, due_at_ms)| {
        let episode = Episode { queue, job, failed_at_ms };
        let id = LetterId::of(source, &episode);
        Due { id, episode, name, fingerprint, is_asked: has_all_tries > 0, found_in, to, due_at_ms }
    };
    Ok(transaction.rows::<DueRow>(&sql, &binds).await?.into_iter().map(due).collect())
}

/// Binds at most [`HELD`] queues, and returns them as a list; none if there are none.
fn list<'a>(binds: &mut Vec<Bind<'a>>, queues: &'a [String]) -> Option<String> {
    let first = binds.len();
    binds.extend(queues.iter().take(HELD).map(|queue| Bind::from(queue.as_str())));
    (binds.len() > first).then(|| places_after(first, 1, binds.len() - first))
}
