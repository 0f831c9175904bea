//! Our own job tables ([`kit::queue`]), in a SQLite file or in PostgreSQL: jobs that are dead.
//!
//! The program that puts jobs in owns the tables. This makes none and brings none up to date: what is not there yet, or of
//! another release, is away until it is.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kit::chain::Chain;
use kit::db::{self, OpenError, open_postgres};
use kit::queue::{
    Attempts, DeadJob, Death, JobId, LEASE_EXPIRED, ORDER_MEMORY, Place, QueueError, Queues, Redrive, Redriven,
};
use tokio::sync::Mutex;

use super::{
    Cursor, Episode, Found, GUARD, Lost, Order, PAGE, Page, Put, Sought, Source, SourceError, State, asked_by,
};

/// The schema in PostgreSQL that programs of the suite agree on.
const SCHEMA: &str = "jobs";
/// Longest wait for everything that one call asks.
const DEADLINE: Duration = Duration::from_secs(10);
/// Connections, at most: for what is taken in, redriven and followed at the same time.
const CONNECTIONS: u32 = 3;
/// Jobs that are read whole at once, at most: of 256 KiB each ([`kit::queue::MAX_PAYLOAD_BYTES`]).
const WHOLE: usize = 50;

const _: () =
    assert!(ORDER_MEMORY.as_secs() >= GUARD.as_secs(), "an order is remembered as long as it may be repeated");

/// Queues of one store.
#[derive(Debug)]
pub struct Jobs {
    database: db::Source,
    deadline: Duration,
    opened: Mutex<Option<Opened>>,
}

#[derive(Debug)]
struct Opened {
    queues: Queues,
    /// Which file it is; none in a server.
    file: Option<FileId>,
}

/// Device and inode: another file may come to have the same name.
type FileId = (u64, u64);

impl Jobs {
    /// Opens nothing yet.
    pub fn new(database: db::Source) -> Self {
        Self { database, deadline: DEADLINE, opened: Mutex::default() }
    }

    /// Gives every call this deadline instead of 10 s.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What is away is opened anew the next time.
    async fn ask<T>(&self, asking: impl AsyncFnOnce(Queues) -> Result<T, QueueError>) -> Result<T, SourceError> {
        let asked = async { asking(self.open().await?).await.map_err(judged) };
        let late = Err(SourceError::Late(self.deadline));
        let answer = tokio::time::timeout(self.deadline, asked).await.unwrap_or(late);
        if matches!(answer, Err(SourceError::Away(_) | SourceError::Unmade(_))) {
            *self.opened.lock().await = None;
        }
        answer
    }

    async fn open(&self) -> Result<Queues, SourceError> {
        let file = match &self.database {
            db::Source::Sqlite(path) => file_id(path)?,
            db::Source::Postgres(_) => None,
        };
        let mut opened = self.opened.lock().await;
        if let Some(opened) = opened.as_ref().filter(|opened| opened.file == file) {
            return Ok(opened.queues.clone());
        }
        let queues = match &self.database {
            db::Source::Sqlite(path) => Queues::existing_sqlite(path).await,
            db::Source::Postgres(url) => {
                // A pool goes on trying for as long as that: less than the deadline, to say why.
                let pool = open_postgres(url, CONNECTIONS, self.deadline / 2).await;
                let pool = pool.map_err(|error| SourceError::Away(Chain(&error).to_string()))?;
                Queues::existing_postgres(pool, SCHEMA).await
            }
        };
        let queues = queues.map_err(judged)?.with_deadline(self.deadline);
        *opened = Some(Opened { queues: queues.clone(), file });
        Ok(queues)
    }

    async fn list_dead(&self, queue: &str, from: Cursor) -> Result<Page, SourceError> {
        let since = Timestamp::from_millisecond(from.failed_at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let (skip, most) = (u32::try_from(from.read).unwrap_or(u32::MAX), u32::try_from(PAGE).unwrap_or(u32::MAX));
        let deaths = self.ask(async |queues| queues.deaths(queue, since, skip, most).await).await?;
        let episodes = deaths.page.iter().map(|death| episode(queue, *death)).collect();
        Ok(Page::of(episodes, from, deaths.dead))
    }

    async fn read_dead(&self, episodes: &[Episode]) -> Result<Vec<Option<Found>>, SourceError> {
        let mut found = Vec::with_capacity(episodes.len());
        for part in episodes.chunks(WHOLE) {
            let ids: Vec<JobId> = part.iter().filter_map(|episode| episode.job.parse().ok()).collect();
            let dead = self.ask(async |queues| queues.dead_among(&ids).await).await?;
            let dead: HashMap<String, DeadJob> = dead.into_iter().map(|dead| (dead.id.to_string(), dead)).collect();
            for Episode { queue, job, .. } in part {
                let dead = dead.get(job).filter(|dead| dead.queue == *queue);
                found.push(dead.cloned().map(found_of).transpose()?);
            }
        }
        Ok(found)
    }

    /// One after the other: what one order runs into leaves the others be.
    async fn redrive(&self, order: &Order, lost: Option<&DeadJob>) -> Result<Put, SourceError> {
        let Some(death) = death(&order.episode) else { return Ok(Put::Gone) };
        let attempts = if order.has_all_tries { Attempts::All } else { Attempts::One };
        let redrive = Redrive { queue: &order.episode.queue, death, attempts, order: &order.id };
        let redriven = async |queues: Queues| match queues.redrive_once(redrive, lost).await {
            // The same thing is under way already.
            Err(QueueError::KeyTaken(_)) => Ok(Redriven::NotDead),
            redriven => redriven,
        };
        Ok(put_of(self.ask(redriven).await?))
    }

    async fn put_all_back(&self, orders: &[Order]) -> Result<Vec<Put>, SourceError> {
        let mut done = Vec::with_capacity(orders.len());
        for order in orders {
            done.push(self.redrive(order, None).await?);
        }
        Ok(done)
    }

    async fn make_anew(&self, lost: &[Lost]) -> Result<Vec<Put>, SourceError> {
        let mut done = Vec::with_capacity(lost.len());
        for Lost { order, kept } in lost {
            // Of what cannot be read there is nothing to make a job of: it stays gone.
            let kept = serde_json::from_slice::<DeadJob>(kept).ok();
            done.push(self.redrive(order, kept.as_ref()).await?);
        }
        Ok(done)
    }

    async fn find_states(&self, jobs: &[Sought]) -> Result<Vec<State>, SourceError> {
        let ids: Vec<JobId> = jobs.iter().filter_map(|sought| sought.job.parse().ok()).collect();
        let places = self.ask(async |queues| queues.places(&ids).await).await?;
        let places: HashMap<String, Place> = places.into_iter().map(|(id, place)| (id.to_string(), place)).collect();
        let state = |job: &str| match places.get(job) {
            Some(Place::Unfinished) => State::UnderWay,
            Some(Place::Dead(at)) => State::Failed(at.as_millisecond()),
            None => State::Gone,
        };
        Ok(jobs.iter().map(|sought| state(&sought.job)).collect())
    }
}

/// None if there is no such file: whoever opens it says so.
fn file_id(path: &Path) -> Result<Option<FileId>, SourceError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some((Metadata::dev(&found), Metadata::ino(&found)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SourceError::Away(format!("{}: {error}", path.display()))),
    }
}

fn episode(queue: &str, death: Death) -> Episode {
    Episode { queue: queue.to_owned(), job: death.id.to_string(), failed_at_ms: death.at.as_millisecond() }
}

/// None if it is none of ours.
fn death(episode: &Episode) -> Option<Death> {
    let at = Timestamp::from_millisecond(episode.failed_at_ms).ok()?;
    Some(Death { id: episode.job.parse().ok()?, at })
}

fn found_of(dead: DeadJob) -> Result<Found, SourceError> {
    let kept = serde_json::to_vec(&dead).map_err(|error| SourceError::Odd(format!("job {}: {error}", dead.id)))?;
    Ok(Found {
        episode: episode(&dead.queue, dead.death()),
        name: dead.name,
        data: dead.payload.into_bytes(),
        kept,
        stack: None,
        attempts: dead.attempts,
        // The tables know of the last attempt only.
        stalls: u32::from(dead.reason == LEASE_EXPIRED),
        is_in_flow: false,
        put_in_at_ms: Some(dead.created_at.as_millisecond()),
        asked_by: dead.traceparent.as_deref().and_then(asked_by::read),
        found_in: None,
        reason: Some(dead.reason),
    })
}

fn put_of(redriven: Redriven) -> Put {
    match redriven {
        Redriven::Done => Put::Moved,
        Redriven::Before => Put::Already,
        Redriven::Gone => Put::Gone,
        Redriven::NotDead => Put::NotFailed,
        Redriven::DiedAgain => Put::Fenced,
    }
}

fn judged(error: QueueError) -> SourceError {
    let said = format!("job tables: {}", Chain(&error));
    match error {
        QueueError::Late(deadline) => SourceError::Late(deadline),
        QueueError::Missing(_) => SourceError::Unmade(said),
        QueueError::Older { .. } | QueueError::File { .. } | QueueError::Open(OpenError::Failed { .. }) => {
            SourceError::Away(said)
        }
        QueueError::Store(error) if !is_odd(&error) => SourceError::Away(said),
        _ => SourceError::Odd(said),
    }
}

/// Whether there was an answer, and nothing to be made of it.
fn is_odd(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::RowNotFound
    )
}

impl Source for Jobs {
    fn queues(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        self.ask(async |queues| Ok(queues.names().await?.into_iter().collect())).boxed()
    }

    fn list<'a>(&'a self, queue: &'a str, from: Cursor) -> BoxFuture<'a, Result<Page, SourceError>> {
        self.list_dead(queue, from).boxed()
    }

    fn read<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<Vec<Option<Found>>, SourceError>> {
        self.read_dead(episodes).boxed()
    }

    fn put_back<'a>(&'a self, orders: &'a [Order]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        self.put_all_back(orders).boxed()
    }

    fn put_anew<'a>(&'a self, lost: &'a [Lost]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        self.make_anew(lost).boxed()
    }

    fn states<'a>(&'a self, jobs: &'a [Sought]) -> BoxFuture<'a, Result<Vec<State>, SourceError>> {
        self.find_states(jobs).boxed()
    }

    fn forget<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<u64, SourceError>> {
        let deaths: Vec<Death> = episodes.iter().filter_map(death).collect();
        async move { self.ask(async |queues| queues.discard_deaths(&deaths).await).await }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dead_job_says_which_span_put_it_in_where_that_can_be_read() {
        let at = "2026-01-01T00:00:00Z";
        let asked_by = |traceparent: Option<&str>| {
            let dead: DeadJob = serde_json::from_value(json!({
                "id": "01890a5d-ac96-774b-bcce-b302099a8057", "epoch": 1, "queue": "mails", "name": "send",
                "payload": "{}", "attempts": 1, "max_attempts": 1, "reason": "x", "created_at": at,
                "first_failed_at": at, "failed_at": at, "key": null, "priority": 0, "traceparent": traceparent,
            }))
            .unwrap();
            found_of(dead).unwrap().asked_by
        };
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(asked_by(Some(given)).unwrap().traceparent(), given);
        assert_eq!([asked_by(Some("nonsense")), asked_by(None)], [None, None]);
    }
}
