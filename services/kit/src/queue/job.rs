//! What callers put in and get out: ids, options, claimed and dead jobs.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::trace::Context;

/// A job's id: a UUIDv7 (RFC 9562 section 5.7), so that ids sort by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(Uuid);

impl JobId {
    pub(super) fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A JSON list, for `{list}` in SQL.
pub(super) fn list(ids: &[JobId]) -> String {
    ids.iter().map(JobId::to_string).collect::<serde_json::Value>().to_string()
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl TryFrom<String> for JobId {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The number of a job's claims so far. It rises with every claim and never falls: whoever holds an older one is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub(super) i64);

impl From<i64> for Epoch {
    fn from(number: i64) -> Self {
        Self(number)
    }
}

/// How a job is put in.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Not before this time; now if none.
    pub run_at: Option<Timestamp>,
    /// Claims until a failure is final.
    pub max_attempts: NonZeroU32,
    /// While a job with this key is waiting or running in the queue, no second one is put in: the first one's id comes
    /// back. A dead job does not hold its key.
    pub key: Option<&'a str>,
    /// Higher goes first.
    pub priority: i16,
    /// Refuse when this many jobs of the queue are waiting, scheduled or running. They are counted at every call: meant
    /// for bounds of some ten thousands.
    pub max_unfinished: Option<u32>,
}

impl Default for Options<'_> {
    /// At once, five attempts, no key, priority 0, no bound. Five are ours: with waits that double from 1 s on they last up
    /// to 15 s, longer than a restart of what the job needs.
    fn default() -> Self {
        let max_attempts = NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN);
        Self { run_at: None, max_attempts, key: None, priority: 0, max_unfinished: None }
    }
}

/// The right to decide about a job, until its lease runs out and somebody else claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The job.
    pub id: JobId,
    /// Which claim of it this is.
    pub epoch: Epoch,
}

/// A claimed job.
#[derive(Debug, Clone)]
pub struct Job {
    /// To decide about it.
    pub claim: Claim,
    /// Its queue.
    pub queue: String,
    /// What is to be done, as the one who put it in named it.
    pub name: String,
    /// JSON, byte for byte as it was put in.
    pub payload: String,
    /// Which attempt this is; the first is 1.
    pub attempt: u32,
    /// The last attempt.
    pub max_attempts: u32,
    /// When it was put in.
    pub created_at: Timestamp,
    /// When the lease runs out.
    pub until: Timestamp,
    /// The span that put it in, if that was traced.
    pub asked_by: Option<Context>,
}

impl Job {
    /// Decodes the payload.
    ///
    /// # Errors
    /// When it is JSON of another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.payload)
    }
}

/// What comes after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt, not before this time has passed; none if this one was the last.
    After(Duration),
    /// None: another attempt cannot help.
    Dead,
}

/// What became of a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It will be tried again.
    Waits,
    /// It is dead.
    Dead,
}

/// A job that will not run again by itself. (`id`, `epoch`) names this one death: a job that is brought back and dies
/// again has a higher epoch. Written down it is enough to make the job anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadJob {
    /// Its id.
    pub id: JobId,
    /// Its claims so far.
    pub epoch: Epoch,
    /// Its queue.
    pub queue: String,
    /// What was to be done.
    pub name: String,
    /// JSON, byte for byte as it was put in.
    pub payload: String,
    /// Attempts made since it was put in or last brought back.
    pub attempts: u32,
    /// Attempts allowed.
    pub max_attempts: u32,
    /// Why the last attempt failed.
    pub reason: String,
    /// When it was put in.
    pub created_at: Timestamp,
    /// When an attempt failed first.
    pub first_failed_at: Timestamp,
    /// When it died.
    pub failed_at: Timestamp,
    /// Its key, which it does not hold while it is dead.
    pub key: Option<String>,
    /// Higher goes first.
    pub priority: i16,
    /// The span that put it in, if that was traced, as a `traceparent` (W3C Trace Context section 3.2).
    pub traceparent: Option<String>,
    /// What vendors said of that trace (W3C Trace Context section 3.3).
    #[serde(default)]
    pub tracestate: Option<String>,
}

impl DeadJob {
    /// Which death it is.
    pub fn death(&self) -> Death {
        Death { id: self.id, at: self.failed_at }
    }
}

/// One death of one job. A job never fails twice at the same time, nor earlier than before, whatever clocks do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Death {
    /// The job.
    pub id: JobId,
    /// When it died, to the millisecond.
    pub at: Timestamp,
}

/// How many jobs of a queue there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Due and not claimed.
    pub waiting: u64,
    /// Not due yet.
    pub scheduled: u64,
    /// Claimed, also if the lease has run out and nobody came since.
    pub running: u64,
    /// Dead.
    pub dead: u64,
    /// How long the longest waiting one has been due; none if none waits.
    pub oldest_age: Option<Duration>,
}

/// What a keyed job is to become: see [`super::Queues::amend`] and [`super::Queues::settle`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What is to be done.
    pub name: &'static str,
    /// JSON.
    pub payload: String,
    /// Not before this time.
    pub run_at: Timestamp,
    /// Higher goes first.
    pub priority: i16,
}
