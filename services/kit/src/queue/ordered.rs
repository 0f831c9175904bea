//! Dead jobs brought back by order of somebody who may not hear the answer: each order is carried out once, on the death
//! that was meant, and remembered also when the job is long done.

use std::time::Duration;

use super::QueueError;
use super::counts::Operation;
use super::engine::Transaction;
use super::job::{DeadJob, Death};
use super::put::{check_name, check_payload};
use super::store::Queues;

/// How long an order is remembered. A week: who asks again after a longer absence cannot know what came of it.
pub const ORDER_MEMORY: Duration = Duration::from_secs(7 * 86_400);

/// How often a job that comes back is tried before it dies again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempts {
    /// As often as it was to be at first.
    All,
    /// Once.
    One,
}

/// An order to bring a dead job back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redrive<'a> {
    /// The job's queue.
    pub queue: &'a str,
    /// Which death is meant: a later one is not.
    pub death: Death,
    /// How often it is tried.
    pub attempts: Attempts,
    /// Names this order, among all of this store.
    pub order: &'a str,
}

/// What came of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redriven {
    /// The job waits.
    Done,
    /// The same order was carried out before.
    Before,
    /// There is no such job.
    Gone,
    /// It is not dead.
    NotDead,
    /// It died again since.
    DiedAgain,
}

impl Queues {
    /// Brings a dead job back, once for each order within [`ORDER_MEMORY`]. If there is nothing of it any more and `lost`
    /// is what was dead, makes it anew, under its id and its key.
    ///
    /// # Errors
    /// [`QueueError::KeyTaken`]; [`QueueError::Name`] for the order, and [`QueueError::PayloadTooLarge`] for what was lost;
    /// [`QueueError::Late`] and [`QueueError::Store`].
    ///
    /// # Cancel safety
    /// It may be done or not: give the same order again.
    pub async fn redrive_once(&self, redrive: Redrive<'_>, lost: Option<&DeadJob>) -> Result<Redriven, QueueError> {
        check_name("order", redrive.order)?;
        let lost = lost.filter(|lost| lost.id == redrive.death.id && lost.queue == redrive.queue);
        let carried_out = async |transaction: &mut Transaction| carry_out(transaction, redrive, lost).await;
        let redriven = self.write(Operation::Redrive, carried_out).await?;
        if redriven == Redriven::Done {
            self.tell();
        }
        Ok(redriven)
    }

    /// Deletes jobs that are dead by these very deaths, and returns how many there were.
    ///
    /// # Errors
    /// [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn discard_deaths(&self, deaths: &[Death]) -> Result<u64, QueueError> {
        let discarded = async |transaction: &mut Transaction| {
            let mut discarded = 0;
            for death in deaths {
                let sql = "DELETE FROM {jobs} WHERE id = $2 AND state = 'dead' AND failed_at_ms = $3";
                let id = death.id.to_string();
                discarded += transaction.change(sql, &[id.as_str().into(), death.at.as_millisecond().into()]).await?;
            }
            Ok(discarded)
        };
        self.write(Operation::Discard, discarded).await
    }
}

async fn carry_out(
    transaction: &mut Transaction,
    redrive: Redrive<'_>,
    lost: Option<&DeadJob>,
) -> Result<Redriven, QueueError> {
    // Orders that are given twice at the same time come one after the other.
    transaction.lock_queue(redrive.queue).await?;
    let known: Vec<(i64,)> =
        transaction.rows("SELECT at_ms FROM {orders} WHERE id = $2", &[redrive.order.into()]).await?;
    if !known.is_empty() {
        return Ok(Redriven::Before);
    }
    let (id, at_ms) = (redrive.death.id.to_string(), redrive.death.at.as_millisecond());
    let sql = "SELECT state, failed_at_ms FROM {jobs} WHERE id = $2 AND queue = $3 {for_update}";
    let found: Vec<(String, Option<i64>)> = transaction.rows(sql, &[id.as_str().into(), redrive.queue.into()]).await?;
    match (found.first(), lost) {
        (Some((state, _)), _) if state != "dead" => return Ok(Redriven::NotDead),
        (Some((_, found_ms)), _) if *found_ms != Some(at_ms) => return Ok(Redriven::DiedAgain),
        (Some(_), _) => {}
        (None, None) => return Ok(Redriven::Gone),
        (None, Some(lost)) if lost.failed_at.as_millisecond() != at_ms => return Ok(Redriven::DiedAgain),
        (None, Some(lost)) => lay_down(transaction, &id, lost).await?,
    }
    bring_back(transaction, &id, redrive).await?;
    note(transaction, redrive.order).await?;
    Ok(Redriven::Done)
}

/// Makes the job as dead as it was.
async fn lay_down(transaction: &mut Transaction, id: &str, lost: &DeadJob) -> Result<(), QueueError> {
    check_payload(&lost.payload)?;
    let sql = "INSERT INTO {jobs} (id, queue, name, payload, key, priority, state, attempts, max_attempts, run_at_ms,
            created_at_ms, epoch, reason, failed_at_ms, first_failed_at_ms, traceparent, tracestate)
        VALUES ($2, $3, $4, $5, $6, $7, 'dead', $8, $9, $10, $11, $12, $13, $10, $14, $15, $16)";
    let binds = [
        id.into(),
        lost.queue.as_str().into(),
        lost.name.as_str().into(),
        lost.payload.as_str().into(),
        lost.key.as_deref().into(),
        i64::from(lost.priority).into(),
        i64::from(lost.attempts).into(),
        i64::from(lost.max_attempts.max(1)).into(),
        lost.failed_at.as_millisecond().into(),
        lost.created_at.as_millisecond().into(),
        lost.epoch.0.into(),
        lost.reason.as_str().into(),
        lost.first_failed_at.as_millisecond().into(),
        lost.traceparent.as_deref().into(),
        lost.tracestate.as_deref().into(),
    ];
    transaction.change(sql, &binds).await?;
    Ok(())
}

async fn bring_back(transaction: &mut Transaction, id: &str, redrive: Redrive<'_>) -> Result<(), QueueError> {
    let sql = match redrive.attempts {
        Attempts::All => "UPDATE {jobs} SET state = 'waiting', run_at_ms = {now}, attempts = 0 WHERE id = $2",
        // The next claim is the last one.
        Attempts::One => {
            "UPDATE {jobs} SET state = 'waiting', run_at_ms = {now}, attempts = max_attempts - 1 WHERE id = $2"
        }
    };
    match transaction.change(sql, &[id.into()]).await {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(QueueError::KeyTaken(redrive.death.id)),
        changed => Ok(changed.map(drop)?),
    }
}

/// Remembers an order, and forgets those that are too old.
async fn note(transaction: &mut Transaction, order: &str) -> Result<(), QueueError> {
    transaction.change("INSERT INTO {orders} (id, at_ms) VALUES ($2, {now})", &[order.into()]).await?;
    let memory_ms = i64::try_from(ORDER_MEMORY.as_millis()).unwrap_or(i64::MAX);
    transaction.change("DELETE FROM {orders} WHERE at_ms < {now} - $2", &[memory_ms.into()]).await?;
    Ok(())
}
