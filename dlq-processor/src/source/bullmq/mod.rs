//! BullMQ 4 to 6 on Redis: the set `failed` of every queue, and all that is in queues which hold nothing but what is dead.
//!
//! Reads as any client may, and writes by three small scripts of our own: BullMQ's change from one release to the next. The
//! set is the truth; the stream `events` makes it fast.

mod adding;
mod entry;
mod events;
mod job;
mod keys;
mod left_out;
mod load;
mod orders;
mod orphans;
mod perils;
mod taken;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::RedisError;
use secrecy::SecretString;
use tokio::sync::Mutex;

use self::keys::{Keys, every_meta, queue_of};
use self::left_out::LeftOut;
use self::load::Done;
pub use self::taken::DEAD_LETTER_QUEUE;
use self::taken::{Place, Shelf};
use super::redis::{Lists, Lua, Server};
use super::{
    Cursor, Depth, Episode, Found, Lost, Manners, Order, Orphans, Other, PAGE, Page, Peril, Places, Put, Sought,
    Source, SourceError, State, Told,
};
use crate::storm::Load;

/// Queues of a server, at most.
const QUEUES: usize = 10_000;
/// Jobs that go over the wire whole at once, at most: of a mebibyte each they still do within the deadline.
const WHOLE: usize = 50;

/// Queues on one server, under one prefix.
pub struct BullMq {
    server: Server,
    prefix: String,
    redrive: Lua,
    add: Lua,
    forget: Lua,
    /// Queues that hold nothing but what is dead.
    taken: Vec<String>,
    shelves: Mutex<HashMap<String, Shelf>>,
    left_out: LeftOut,
    /// Queues that were listed.
    listed: Mutex<BTreeSet<String>>,
    done: Mutex<Done>,
    /// Of the lease that this asks for.
    epoch: AtomicI64,
    lists: Option<Lists>,
}

impl BullMq {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// The URL is not one of Redis.
    pub fn new(url: &SecretString, prefix: &str) -> Result<Self, RedisError> {
        Ok(Self {
            server: Server::new(url)?,
            prefix: prefix.to_owned(),
            redrive: Lua::new(include_str!("scripts/redrive_failed.lua")),
            add: Lua::new(include_str!("scripts/add_once.lua")),
            forget: Lua::new(include_str!("scripts/forget.lua")),
            taken: vec![DEAD_LETTER_QUEUE.to_owned()],
            shelves: Mutex::default(),
            left_out: LeftOut::default(),
            listed: Mutex::default(),
            done: Mutex::default(),
            epoch: AtomicI64::new(0),
            lists: None,
        })
    }

    /// Takes these queues, instead of `dead-letter-queue`, for such that hold nothing but what failed elsewhere.
    #[must_use]
    pub fn with_taken(mut self, queues: Vec<String>) -> Self {
        self.taken = queues;
        self
    }

    /// Has what becomes of its letters put into these lists.
    #[must_use]
    pub(super) fn with_lists(mut self, lists: Option<Lists>) -> Self {
        self.lists = lists;
        self
    }

    fn keys<'a>(&'a self, queue: &'a str) -> Keys<'a> {
        Keys::new(&self.prefix, queue)
    }

    async fn find_hazards(&self) -> Result<Vec<String>, SourceError> {
        let mut hazards: Vec<String> = self.server.find_eviction("jobs").await?.into_iter().collect();
        hazards.extend(self.find_later_holder().await?);
        Ok(hazards)
    }

    /// A ledger that was lost or set back does not know what was done: the epochs in its queues are later than its own.
    async fn find_later_holder(&self) -> Result<Option<String>, SourceError> {
        let own = self.epoch.load(Ordering::Relaxed);
        let later = self.find_epochs().await?.into_iter().find(|(_, epoch)| *epoch > own);
        Ok(later.map(|(queue, epoch)| {
            format!(
                "another ledger acted in {queue} (epoch {epoch}, this one's is {own}): restore that ledger, or take over \
                with `dlq-processor adopt`"
            )
        }))
    }

    /// Finds under which epochs somebody acted in queues.
    async fn find_epochs(&self) -> Result<Vec<(String, i64)>, SourceError> {
        let queues: Vec<String> = self.listed.lock().await.iter().cloned().collect();
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked = redis::pipe();
        for queue in &queues {
            asked.cmd("GET").arg(self.keys(queue).epoch());
        }
        let epochs: Vec<Option<i64>> = self.server.ask(&asked).await?;
        Ok(queues.into_iter().zip(epochs).filter_map(|(queue, epoch)| Some((queue, epoch?))).collect())
    }

    async fn find_queues(&self) -> Result<Vec<String>, SourceError> {
        let (mut found, mut scan) = (BTreeSet::new(), self.server.scan(every_meta(&self.prefix), None));
        while let Some(names) = scan.next().await? {
            // BullMQ writes UTF-8: other keys are somebody else's.
            let names = names.iter().filter_map(|key| str::from_utf8(key).ok());
            let queues = names.filter_map(|key| queue_of(&self.prefix, key));
            found.extend(queues.filter(|queue| !self.left_out.leaves_out(queue)).map(str::to_owned));
            if found.len() > QUEUES {
                return Err(SourceError::Odd(format!("there are more than {QUEUES} queues; name those that count")));
            }
        }
        Ok(found.into_iter().collect())
    }

    async fn list_failed(&self, queue: &str, from: Cursor) -> Result<Page, SourceError> {
        self.note_listed(queue).await;
        let failed = self.keys(queue).of("failed");
        let mut asked = redis::pipe();
        asked.cmd("ZRANGEBYSCORE").arg(&failed).arg(from.failed_at_ms).arg("+inf").arg("WITHSCORES");
        asked.arg("LIMIT").arg(from.read).arg(PAGE);
        asked.cmd("ZCARD").arg(&failed);
        let (members, failed): (Vec<(Vec<u8>, f64)>, u64) = self.server.ask(&asked).await?;
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch are whole and below 2^53")]
        let episode = |(job, score): (Vec<u8>, f64)| {
            // What is no UTF-8 is nothing of BullMQ's, and not found when it is read.
            let job = String::from_utf8_lossy(&job).into_owned();
            Episode { queue: queue.to_owned(), job, failed_at_ms: score as i64 }
        };
        Ok(Page::of(members.into_iter().map(episode).collect(), from, failed))
    }

    /// Notes that somebody may act in a queue.
    async fn note_listed(&self, queue: &str) {
        let mut listed = self.listed.lock().await;
        if !listed.contains(queue) {
            listed.insert(queue.to_owned());
        }
    }

    async fn read_any(&self, episodes: &[Episode]) -> Result<Vec<Option<Found>>, SourceError> {
        let places = self.places(episodes).await;
        let of_own: Vec<Episode> =
            episodes.iter().zip(&places).filter(|(_, places)| places.is_empty()).map(|(own, _)| own.clone()).collect();
        let of_entries: Vec<_> =
            episodes.iter().zip(&places).filter_map(|(episode, places)| Some((episode, places.first()?))).collect();
        let mut of_entries = self.read_taken(&of_entries).await?.into_iter();
        let mut of_own = self.read_failed(&of_own).await?.into_iter();
        let next = |places: &Vec<Place>| if places.is_empty() { of_own.next() } else { of_entries.next() };
        Ok(places.iter().map(next).map(Option::flatten).collect())
    }

    /// Of what may be long: what a job was given, and where it failed.
    async fn find_sizes(&self, episodes: &[Episode]) -> Result<Vec<u64>, SourceError> {
        let mut asked = redis::pipe();
        for (Episode { queue, job, .. }, places) in episodes.iter().zip(self.places(episodes).await) {
            let (queue, job) = places.first().map_or((queue, job), |place| (&place.queue, &place.job));
            for field in ["data", "stacktrace"] {
                asked.cmd("HSTRLEN").arg(self.keys(queue).of(job)).arg(field);
            }
        }
        let lengths: Vec<u64> = if asked.is_empty() { Vec::new() } else { self.server.ask(&asked).await? };
        Ok(lengths.chunks_exact(2).map(|lengths| lengths.iter().sum()).collect())
    }

    async fn read_failed(&self, episodes: &[Episode]) -> Result<Vec<Option<Found>>, SourceError> {
        let mut found = Vec::with_capacity(episodes.len());
        for part in episodes.chunks(WHOLE) {
            let mut asked = redis::pipe();
            for Episode { queue, job, .. } in part {
                asked.cmd("HGETALL").arg(self.keys(queue).of(job));
            }
            let hashes: Vec<Vec<(Vec<u8>, Vec<u8>)>> = self.server.ask(&asked).await?;
            found.extend(part.iter().zip(hashes).map(|(episode, hash)| job::read(&episode.queue, &episode.job, hash)));
        }
        Ok(found)
    }

    async fn find_states(&self, jobs: &[Sought]) -> Result<Vec<State>, SourceError> {
        let mut states = Vec::with_capacity(jobs.len());
        for part in jobs.chunks(PAGE) {
            let mut asked = redis::pipe();
            for Sought { queue, job, order } in part {
                let keys = self.keys(queue);
                asked.cmd("EXISTS").arg(keys.of(job));
                asked.cmd("ZSCORE").arg(keys.of("failed")).arg(job);
                asked.cmd("ZSCORE").arg(keys.of("completed")).arg(job);
                asked.cmd("EXISTS").arg(keys.guard(order.as_deref().unwrap_or_default()));
            }
            let answers: Vec<Option<f64>> = self.server.ask(&asked).await?;
            let found = part.iter().zip(answers.chunks(4));
            states.extend(found.map(|(sought, answers)| state_of(answers, sought.order.is_some())));
        }
        Ok(states)
    }
}

/// Of whether there is a job, when it failed or was completed, and whether the order is remembered that put it there, if one did.
fn state_of(answers: &[Option<f64>], is_put_back: bool) -> State {
    match answers {
        [_, Some(failed_at_ms), ..] =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "milliseconds since the epoch are whole and below 2^53"
            )]
            State::Failed(*failed_at_ms as i64)
        }
        [_, _, Some(_), _] => State::Completed,
        [Some(exists), ..] if *exists > 0.0 => State::UnderWay,
        [.., Some(remembers)] if is_put_back && *remembers == 0.0 => State::Lost,
        _ => State::Gone,
    }
}

impl Source for BullMq {
    fn manners(&self, queue: &str) -> Manners {
        Manners {
            keeps_dead: !self.is_taken(queue),
            lists_again: true,
            remembers_orders: true,
            makes_others: true,
            tells_ends: true,
        }
    }

    fn lead(&self, epoch: i64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        self.find_queues().boxed()
    }

    fn list<'a>(&'a self, queue: &'a str, from: Cursor) -> BoxFuture<'a, Result<Page, SourceError>> {
        async move {
            if self.is_taken(queue) { self.list_taken(queue, from).await } else { self.list_failed(queue, from).await }
        }
        .boxed()
    }

    fn sizes<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<Vec<u64>, SourceError>> {
        self.find_sizes(episodes).boxed()
    }

    fn read<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<Vec<Option<Found>>, SourceError>> {
        self.read_any(episodes).boxed()
    }

    fn hear<'a>(&'a self, places: &'a Places, patience: Duration) -> BoxFuture<'a, Result<Vec<Told>, SourceError>> {
        self.find_told(places, patience).boxed()
    }

    fn put_back<'a>(&'a self, orders: &'a [Order]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        let guard = orders.last().map(|order| self.keys(&order.episode.queue).guard(&order.id));
        self.server.confirmed(guard, self.redrive(orders)).boxed()
    }

    fn put_anew<'a>(&'a self, lost: &'a [Lost]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        let guard = lost.last().map(|Lost { order, .. }| self.keys(&order.episode.queue).guard(&order.id));
        self.server.confirmed(guard, self.make_anew(lost)).boxed()
    }

    fn put_others<'a>(&'a self, others: &'a [Other]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        let guard = others.last().map(|other| self.keys(&other.queue).guard(&other.order.id));
        self.server.confirmed(guard, self.make_others(others)).boxed()
    }

    fn states<'a>(&'a self, jobs: &'a [Sought]) -> BoxFuture<'a, Result<Vec<State>, SourceError>> {
        self.find_states(jobs).boxed()
    }

    fn latest_epoch(&self) -> BoxFuture<'_, Result<i64, SourceError>> {
        async { Ok(self.find_epochs().await?.into_iter().map(|(_, epoch)| epoch).max().unwrap_or_default()) }.boxed()
    }

    fn lists(&self) -> Option<&Lists> {
        self.lists.as_ref()
    }

    fn hazards(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        self.find_hazards().boxed()
    }

    fn notes(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        self.server.find_notes().boxed()
    }

    fn time(&self) -> BoxFuture<'_, Result<Option<i64>, SourceError>> {
        self.server.find_time().boxed()
    }

    fn perils<'a>(&'a self, queues: &'a [String]) -> BoxFuture<'a, Result<Vec<Peril>, SourceError>> {
        self.find_perils(queues).boxed()
    }

    fn load<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<Load, SourceError>> {
        self.find_load(queue).boxed()
    }

    fn depths<'a>(&'a self, queues: &'a [String]) -> BoxFuture<'a, Result<Vec<Depth>, SourceError>> {
        self.find_depths(queues).boxed()
    }

    fn orphans<'a>(&'a self, queues: &'a [String]) -> BoxFuture<'a, Result<Vec<Orphans>, SourceError>> {
        self.find_orphans(queues).boxed()
    }

    fn forget<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<u64, SourceError>> {
        self.remove(episodes).boxed()
    }
}
