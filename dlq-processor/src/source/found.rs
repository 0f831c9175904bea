//! Failed jobs as a source has them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kit::trace::Context;

/// One failure of one job: what fences all that is done about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Episode {
    /// The queue.
    pub queue: String,
    /// The job's id in it.
    pub job: String,
    /// When it failed, in milliseconds since the epoch, as the queue has it.
    pub failed_at_ms: i64,
}

impl Episode {
    /// Returns it with names that every database takes as text: PostgreSQL has none with a NUL in it (manual, section 8.3). A job
    /// whose id had one is kept, and found no more where it failed.
    #[must_use]
    pub fn as_text(self) -> Self {
        Self { queue: as_text(&self.queue).into_owned(), job: as_text(&self.job).into_owned(), ..self }
    }
}

/// A name without NUL.
pub(crate) fn as_text(name: &str) -> Cow<'_, str> {
    if name.contains('\0') { name.replace('\0', "\u{fffd}").into() } else { name.into() }
}

/// A failed job, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which failure.
    pub episode: Episode,
    /// The job's name.
    pub name: String,
    /// Its payload, byte for byte.
    pub data: Vec<u8>,
    /// All that the source itself keeps of it, in a form of the source's: enough to make the job anew.
    pub kept: Vec<u8>,
    /// What the queue says of the failure.
    pub reason: Option<String>,
    /// The newest stack trace.
    pub stack: Option<String>,
    /// Tries that came to an end.
    pub attempts: u32,
    /// How often its worker was not heard of again.
    pub stalls: u32,
    /// Whether other jobs wait for it.
    pub is_in_flow: bool,
    /// When it was put in, in milliseconds since the epoch.
    pub put_in_at_ms: Option<i64>,
    /// The span that put it in, if that is known.
    pub asked_by: Option<Context>,
    /// The queue that told of it, where it is not the one that it failed in.
    pub found_in: Option<String>,
}

impl Found {
    /// Returns the queues that something is done in when it is put back.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.episode.queue.as_str()).chain(self.found_in.as_deref())
    }

    /// Whether its source tells of it and has nothing of it any more, as a stream of a pending entry that was trimmed.
    pub fn has_lost_payload(&self) -> bool {
        self.data.is_empty() && self.kept.is_empty()
    }
}

/// How far a list was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The time of failure that was read last, in milliseconds since the epoch.
    pub failed_at_ms: i64,
    /// How many of that very time were read.
    pub read: usize,
}

/// After which place each queue is heard.
pub type Places = BTreeMap<String, Place>;

/// A place in what a queue tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Before all that it still tells.
    Start,
    /// Behind all that it told so far.
    End,
    /// Where it was heard last, as [`Told::place`] had it.
    At(String),
}

/// What a queue told of failures, whether they can still be read or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The queue.
    pub queue: String,
    /// What failed. The time is that of the telling: a job that is read has its own.
    pub failed: Vec<Episode>,
    /// How far it told.
    pub place: String,
    /// Whether it has forgotten some of what it told before that.
    pub has_gap: bool,
    /// Whether that is all that it has told so far.
    pub is_all: bool,
}

/// What a queue holds beside what has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// The queue.
    pub queue: String,
    /// Jobs that wait for a worker; none while the queue is paused.
    pub waiting: u64,
    /// Jobs that a worker holds, as far as they are counted.
    pub active: u64,
    /// Jobs that were done and are still kept.
    pub completed: u64,
    /// When the newest that is kept was done or failed, in milliseconds since the epoch; 0 if none is.
    pub newest_done_ms: i64,
}

/// Jobs of a queue that are there and in none of its sets: nobody will ever run them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Orphans {
    /// The queue.
    pub queue: String,
    /// How many.
    pub count: u64,
    /// The ids of some of them, at most 100.
    pub jobs: Vec<String>,
    /// Whether the queue was looked through whole; of one that holds too much nobody can say.
    pub is_all: bool,
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Failures, oldest first.
    pub episodes: Vec<Episode>,
    /// Where the next part begins.
    pub next: Cursor,
    /// How many failed jobs the queue has in all.
    pub failed: u64,
}

impl Page {
    /// What was read from `from` on, of a queue that has so many failed jobs.
    pub(super) fn of(episodes: Vec<Episode>, from: Cursor, failed: u64) -> Self {
        let next = episodes.last().map_or(from, |last| {
            let last = last.failed_at_ms;
            let of_that_time = episodes.iter().rev().take_while(|episode| episode.failed_at_ms == last).count();
            let before = if last == from.failed_at_ms { from.read } else { 0 };
            Cursor { failed_at_ms: last, read: before + of_that_time }
        });
        Self { episodes, next, failed }
    }
}
