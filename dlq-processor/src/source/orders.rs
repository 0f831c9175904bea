//! What a source is asked to do, and what came of it.

use super::found::Episode;

/// Begins ids of jobs that are made for an order. No number, and without a colon: BullMQ takes no others (`Job.validateOptions`).
const NEW_JOB: &str = "dlq~";

/// A job that is to be put back.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Which failure is meant: a later one is not.
    pub episode: Episode,
    /// Names this order for ever: the same one is carried out once.
    pub id: String,
    /// Whether it gets all its tries again, or the one that a job without any left has.
    pub has_all_tries: bool,
}

impl Order {
    /// Returns the id of the job that is made for it where none may have the id of the dead one.
    pub fn new_job(&self) -> String {
        format!("{NEW_JOB}{}", self.id)
    }
}

/// A job that is to be made anew, since its queue has nothing of it any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Lost {
    /// What is to be done with it.
    pub order: Order,
    /// What its source kept of it: [`Found::kept`](super::Found::kept).
    pub kept: Vec<u8>,
}

/// A job that is to be put back as another one, with an id of the order's: into another queue, or with something else in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Other {
    /// What is to be done, and with which failure.
    pub order: Order,
    /// What its source kept of it: [`Found::kept`](super::Found::kept).
    pub kept: Vec<u8>,
    /// The queue.
    pub queue: String,
    /// What it holds, if not what it held.
    pub data: Option<Vec<u8>>,
}

/// What came of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is back in its queue.
    Moved,
    /// The same order was carried out before.
    Already,
    /// It is in its queue as another job, [`Order::new_job`]; also if the same order was carried out before.
    Anew,
    /// There is no such job any more.
    Gone,
    /// It is in its queue, and has not failed.
    NotFailed,
    /// It failed again since.
    Fenced,
    /// It is part of a flow that went on without it: nobody waits for it any more.
    Flow,
    /// A newer job that stands for the same is under way.
    Newer,
    /// It cannot be put there, now or later: there is no place for it.
    Refused,
    /// Nothing was done of it, and it may be given again later.
    Untaken,
    /// It may be back, or not.
    Unsure,
}

impl Put {
    /// Its name in metrics, answers and the audit.
    pub fn word(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Already => "already",
            Self::Anew => "anew",
            Self::Gone => "gone",
            Self::NotFailed => "not_failed",
            Self::Fenced => "fence",
            Self::Flow => "flow",
            Self::Newer => "newer",
            Self::Refused => "refused",
            Self::Untaken => "untaken",
            Self::Unsure => "unsure",
        }
    }
}

/// A job that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Its queue.
    pub queue: String,
    /// Its id.
    pub job: String,
    /// The order that put it there, if one did.
    pub order: Option<String>,
}

impl Sought {
    /// One that nobody has put back.
    pub fn of(queue: &str, job: &str) -> Self {
        Self { queue: queue.to_owned(), job: job.to_owned(), order: None }
    }
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits, runs, or waits to run.
    UnderWay,
    /// It failed, at this time in milliseconds since the epoch.
    Failed(i64),
    /// It was done.
    Completed,
    /// The queue has nothing of it.
    Gone,
    /// The queue has nothing of it, and nothing of the order that put it there, as if that had never been carried out.
    Lost,
}
