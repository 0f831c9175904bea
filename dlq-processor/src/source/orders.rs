//! What a source is asked to do, and what came of it.

use super::found::Episode;

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

/// A job that is to be made anew, since its queue has nothing of it any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Lost {
    /// What is to be done with it.
    pub order: Order,
    /// What its source kept of it: [`Found::kept`](super::Found::kept).
    pub kept: Vec<u8>,
}

/// What came of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is back in its queue.
    Moved,
    /// The same order was carried out before.
    Already,
    /// There is no such job any more.
    Gone,
    /// It is in its queue, and has not failed.
    NotFailed,
    /// It failed again since.
    Fenced,
    /// Other jobs wait for it: only what knows of them may put it back.
    Flow,
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
            Self::Gone => "gone",
            Self::NotFailed => "not_failed",
            Self::Fenced => "fence",
            Self::Flow => "flow",
            Self::Refused => "refused",
            Self::Untaken => "untaken",
            Self::Unsure => "unsure",
        }
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
}
