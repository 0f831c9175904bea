//! Where dead letters come from. A source lists failed jobs, reads them whole, and puts them back or removes them, each time
//! fenced by the failure that is meant. It keeps nothing, decides nothing, and runs no job.

mod asked_by;
pub mod bullmq;
mod found;
pub mod jobs;
mod kinds;
mod orders;
mod peril;
pub mod rabbitmq;
mod redis;
pub mod streams;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::storm::Load;
pub(crate) use found::as_text;
pub use found::{Cursor, Depth, Episode, Found, Orphans, Page, Place, Places, Told};
pub(crate) use kinds::kind;
pub use orders::{Lost, Order, Other, Put, Sought, State};
pub use peril::{Peril, PerilKind};
pub(crate) use redis::List;
pub use redis::Lists;

/// One kind of queue.
///
/// Every call ends by itself within the source's deadline; those that look through all keys of a server ([`Source::queues`],
/// [`Source::orphans`]) take as long as that takes, and each step of theirs has the deadline. What is asked twice is done once,
/// as long as the guard of an order lasts ([`GUARD`]), unless [`Manners`] say otherwise.
pub trait Source: Send + Sync {
    /// Says how a queue deals with what is dead.
    fn manners(&self, _queue: &str) -> Manners {
        Manners { keeps_dead: true, lists_again: true, remembers_orders: true, makes_others: false, tells_ends: true }
    }

    /// Is told that whoever asks from now on holds the lease of this epoch: what an earlier one still asks is refused, where a
    /// source can remember that.
    fn lead(&self, _epoch: i64) {}

    /// Returns the latest epoch that somebody acted under in its queues; 0 if nobody did, or that is not remembered.
    fn latest_epoch(&self) -> BoxFuture<'_, Result<i64, SourceError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    /// Finds its queues.
    fn queues(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>>;

    /// Lists failures after `from`, oldest first, at most [`PAGE`] of them.
    fn list<'a>(&'a self, queue: &'a str, from: Cursor) -> BoxFuture<'a, Result<Page, SourceError>>;

    /// Says about how many bytes it takes to read each of some failed jobs, in their order; nothing where a source bounds that itself.
    fn sizes<'a>(&'a self, _episodes: &'a [Episode]) -> BoxFuture<'a, Result<Vec<u64>, SourceError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Reads failed jobs whole, in the order of `episodes`; none of what has gone, or has not failed any more. Of a job that has
    /// failed again since it is the later failure.
    fn read<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<Vec<Option<Found>>, SourceError>>;

    /// Waits until queues tell of something after these places, for at most `patience`, and returns what each told that did.
    /// Where queues tell of nothing, this never returns.
    fn hear<'a>(&'a self, _places: &'a Places, _patience: Duration) -> BoxFuture<'a, Result<Vec<Told>, SourceError>> {
        Box::pin(std::future::pending())
    }

    /// Waits until it is worth while to list queues again; for at most `patience`.
    fn wait<'a>(&'a self, _queues: &'a [String], patience: Duration) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            tokio::time::sleep(patience.min(LOOK_EVERY)).await;
            Ok(())
        })
    }

    /// Puts jobs back, in the order of `orders`, and says of each what came of it.
    fn put_back<'a>(&'a self, orders: &'a [Order]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>>;

    /// Makes jobs anew that have gone, each under its id and from what was kept of it, and puts them back, in the order of
    /// `lost`. An order is carried out once, be it by this or by [`Self::put_back`].
    ///
    /// Nobody can say here why a job has gone: also one that was done goes, and would be done again.
    fn put_anew<'a>(&'a self, lost: &'a [Lost]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>>;

    /// Makes other jobs of dead ones, each under [`Order::new_job`], in the order of `others`; the dead ones stay as they are.
    /// Most kinds of queues refuse that ([`Manners::makes_others`]).
    fn put_others<'a>(&'a self, others: &'a [Other]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        Box::pin(std::future::ready(Ok(vec![Put::Refused; others.len()])))
    }

    /// Says where jobs are now, in the order of `jobs`.
    fn states<'a>(&'a self, jobs: &'a [Sought]) -> BoxFuture<'a, Result<Vec<State>, SourceError>>;

    /// Says why nothing should be redriven there at all, one sentence each: what is put back could be lost. Most kinds of
    /// queues have no such reasons.
    fn hazards(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Says what is worth knowing of its server and stops nothing, one sentence each.
    fn notes(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Returns the lists that what becomes of its letters is put into, if it is to have some.
    fn lists(&self) -> Option<&Lists> {
        None
    }

    /// Says what time it is there, in milliseconds since the epoch; nothing where nobody can tell.
    fn time(&self) -> BoxFuture<'_, Result<Option<i64>, SourceError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Says what makes queues unsafe for their dead letters. Nothing is redriven in such a queue, unless its configuration
    /// accepts that.
    fn perils<'a>(&'a self, _queues: &'a [String]) -> BoxFuture<'a, Result<Vec<Peril>, SourceError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Says how busy a queue is; nothing where that cannot be known.
    fn load<'a>(&'a self, _queue: &'a str) -> BoxFuture<'a, Result<Load, SourceError>> {
        Box::pin(std::future::ready(Ok(Load::default())))
    }

    /// Says what queues hold beside what has failed; nothing where that is not counted, and of none that is for the dead alone.
    fn depths<'a>(&'a self, _queues: &'a [String]) -> BoxFuture<'a, Result<Vec<Depth>, SourceError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Finds jobs that are in no set of their queue, of each of these queues; nothing where there can be none.
    fn orphans<'a>(&'a self, _queues: &'a [String]) -> BoxFuture<'a, Result<Vec<Orphans>, SourceError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Counts what could not be watched for signs of failure, because there was too much of it. Most kinds of queues say
    /// themselves what has failed.
    fn unwatched(&self) -> u64 {
        0
    }

    /// Removes failed jobs for good, and says how many there were.
    fn forget<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<u64, SourceError>>;
}

/// How many failures a page has, at most: what one round trip brings without keeping a server from others.
pub const PAGE: usize = 500;
/// Between two looks at queues that do not say when there is something.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far clocks of whoever puts jobs in, works, and tells of failures may differ, in milliseconds; and how long it may take to
/// tell of one.
pub const CLOCKS_DIFFER_MS: i64 = 60_000;

/// How a queue deals with what is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// Whether a dead job stays, in nobody's way, until it is put back, and stands by the time it failed: what fails later is
    /// listed later, as far as clocks agree. Else it is taken out ([`Source::forget`]) once the ledger has it and its queue is
    /// acted in, and put back from what the ledger keeps ([`Source::put_anew`]).
    pub keeps_dead: bool,
    /// Whether what is dead is listed again after a start, for as long as it is there. Else what the ledger had when power was
    /// cut is taken out by its name.
    pub lists_again: bool,
    /// Whether orders are remembered. Else nobody gives one twice, and an error of [`Source::put_anew`] says that nothing at
    /// all was done: what may be done is an answer, [`Put::Unsure`].
    pub remembers_orders: bool,
    /// Whether it tells soon how what was put back ended. Else nobody waits for that.
    pub tells_ends: bool,
    /// Whether it makes other jobs of dead ones ([`Source::put_others`]), and remembers these orders.
    pub makes_others: bool,
}

/// How long a source remembers what was done for an order: who comes back later cannot know.
pub const GUARD: Duration = Duration::from_secs(7 * 86_400);

/// Whether a source still remembers, at the time `now_ms`, an order that was given at the time `given_ms`: both in milliseconds
/// since the epoch.
pub(crate) fn is_remembered(given_ms: i64, now_ms: i64) -> bool {
    i128::from(now_ms) - i128::from(given_ms) < GUARD.as_millis().cast_signed()
}

/// Why a source did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is not there, or does not take us; another try may work.
    #[error("{0}")]
    Away(String),
    /// Nobody has made it yet, so that nothing in it can be missed; another try may work.
    #[error("{0}")]
    Unmade(String),
    /// It did not answer in time; what was asked for may be done.
    #[error("no answer within {}", kit::config::show_duration(*.0))]
    Late(Duration),
    /// It answered what it never should.
    #[error("{0}")]
    Odd(String),
}
