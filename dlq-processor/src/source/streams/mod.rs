//! Redis Streams: what a group of consumers was given, and never acknowledged.
//!
//! A queue is a group of a stream, `stream/group`. Nothing there says that an entry is dead: it is one that was delivered often,
//! to several consumers or for long, and that nobody has taken up lately ([`DeadAfter`]). It is read without being claimed, so
//! that looking changes nothing, neither counts nor whose it is; and it is never deleted, since other groups may need it.
//!
//! A job is the entry that was put in first; what is redriven is a copy that says so in its field `x-redrive-of`, and so is its
//! failure another failure of the same job. A copy goes to every group of its stream.

mod entry;
mod entry_id;
mod groups;
mod keys;
mod orders;
mod pending;
mod settings;
mod states;
mod watch;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::RedisError;
use secrecy::SecretString;

use self::keys::Group;
use self::watch::Watch;
use super::redis::{Lists, Lua, Server};
use super::{Cursor, Episode, Found, Lost, Manners, Order, Page, Put, Sought, Source, SourceError, State};

pub(super) use settings::decode_streams;
pub use settings::{DeadAfter, StreamsSettings};

/// Entries that go over the wire whole at once, at most: of a mebibyte each they still do within the deadline.
const WHOLE: usize = 50;

/// Groups of streams on one server.
pub struct RedisStreams {
    server: Server,
    settings: StreamsSettings,
    scripts: Scripts,
    watch: Mutex<Watch>,
    /// Streams that were found, once they were looked for.
    known: Mutex<Option<BTreeSet<String>>>,
    lists: Option<Lists>,
}

struct Scripts {
    look: Lua,
    read: Lua,
    forget: Lua,
    redrive: Lua,
    state: Lua,
    groups: Lua,
}

/// A script, after what begins all of them.
macro_rules! script {
    ($name:literal) => {
        Lua::new(concat!(include_str!("scripts/entry.lua"), include_str!(concat!("scripts/", $name, ".lua"))))
    };
}

impl RedisStreams {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// The URL is not one of Redis.
    pub fn new(url: &SecretString, settings: StreamsSettings) -> Result<Self, RedisError> {
        let scripts = Scripts {
            look: script!("look"),
            read: script!("read"),
            forget: script!("forget"),
            redrive: script!("redrive"),
            state: script!("state"),
            groups: script!("groups"),
        };
        let (watch, known) = (Mutex::default(), Mutex::default());
        Ok(Self { server: Server::new(url)?, settings, scripts, watch, known, lists: None })
    }

    /// Has what becomes of its letters put into these lists.
    #[must_use]
    pub(super) fn with_lists(mut self, lists: Option<Lists>) -> Self {
        self.lists = lists;
        self
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key that an order leaves.
fn guard_of(order: Option<&Order>) -> Option<String> {
    order.and_then(|order| Some(Group::of(&order.episode.queue)?.guard(&order.id)))
}

impl Source for RedisStreams {
    /// What is pending is given to consumers again and again.
    fn manners(&self, _queue: &str) -> Manners {
        // Whoever had an entry before is not known after a start: it may not look dead for a day.
        Manners { keeps_dead: false, lists_again: false, remembers_orders: true, makes_others: false, tells_ends: true }
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        self.find_queues().boxed()
    }

    fn list<'a>(&'a self, queue: &'a str, from: Cursor) -> BoxFuture<'a, Result<Page, SourceError>> {
        self.list_dead(queue, from).boxed()
    }

    fn read<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<Vec<Option<Found>>, SourceError>> {
        self.read_dead(episodes).boxed()
    }

    fn put_back<'a>(&'a self, orders: &'a [Order]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        self.server.confirmed(guard_of(orders.last()), self.redrive(orders)).boxed()
    }

    fn put_anew<'a>(&'a self, lost: &'a [Lost]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        self.server.confirmed(guard_of(lost.last().map(|lost| &lost.order)), self.make_anew(lost)).boxed()
    }

    fn states<'a>(&'a self, jobs: &'a [Sought]) -> BoxFuture<'a, Result<Vec<State>, SourceError>> {
        self.find_states(jobs).boxed()
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

    /// Whether other consumers had such an entry is not known: it is dead by its age alone.
    fn unwatched(&self) -> u64 {
        self.watch().unwatched()
    }

    fn forget<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<u64, SourceError>> {
        self.take_out(episodes).boxed()
    }
}
