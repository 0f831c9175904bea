//! That letters will be redriven, written before it is done; and what came of it at once.

use kit::db::{Bind, Transaction};
use kit::trace::Context;
use uuid::Uuid;

use super::{Due, Ledger, LedgerError, LetterId, LetterState, ROWS, places_after};
use crate::source::{Episode, Order, Put};

/// A letter that will be redriven, or was, and the order for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Intended {
    /// Which.
    pub id: LetterId,
    /// The job's name.
    pub name: String,
    /// What the source is asked.
    pub order: Order,
    /// When that was written for the first time, in milliseconds since the epoch.
    pub since_ms: i64,
    /// How often its job was redriven unasked, this time included.
    pub redrives: i64,
    /// The span that put its job in, if that is known.
    pub asked_by: Option<Context>,
    /// The queue that told of it, if it is another.
    pub found_in: Option<String>,
    /// The queue that it goes to, if it is another.
    pub to: Option<String>,
    /// Whether somebody edited what its job held.
    pub is_edited: bool,
}

impl Intended {
    /// Returns the queue that it goes to.
    pub fn target(&self) -> &str {
        self.to.as_deref().unwrap_or(&self.order.episode.queue)
    }

    /// Returns the queues that something is done in when it is redriven.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        [self.order.episode.queue.as_str()].into_iter().chain(self.found_in.as_deref()).chain(self.to.as_deref())
    }

    /// Whether it is put back as another job.
    pub fn is_other(&self) -> bool {
        self.to.is_some() || self.is_edited
    }
}

/// After how long what nobody took is tried again, in milliseconds.
const AGAIN_MS: i64 = 30_000;

/// What tells of an order.
const INTENDED: &str =
    "queue, job, failed_at_ms, name, letters.redrive, changed_at_ms, has_all_tries, redrives, traceparent,
    found_in, to_queue, edited_at_ms";

/// A row of it.
#[derive(sqlx::FromRow)]
struct Row {
    queue: String,
    job: String,
    failed_at_ms: i64,
    name: String,
    redrive: String,
    changed_at_ms: i64,
    has_all_tries: i64,
    redrives: i64,
    traceparent: Option<String>,
    found_in: Option<String>,
    to_queue: Option<String>,
    edited_at_ms: Option<i64>,
}

impl Ledger {
    /// Writes that letters will be redriven, and returns the orders for those that still were to be: somebody else may have
    /// been faster. `order` names each order for ever.
    ///
    /// # Errors
    /// [`LedgerError`]; then nothing may be redriven.
    pub async fn intend(
        &self,
        source: &str,
        due: &[Due],
        now_ms: i64,
        mut order: impl FnMut() -> String,
    ) -> Result<Vec<Intended>, LedgerError> {
        let orders: Vec<String> = due.iter().map(|_| order()).collect();
        self.write(async |transaction| {
            let mut intended = Vec::new();
            for (part, orders) in due.chunks(ROWS).zip(orders.chunks(ROWS)) {
                let sql = format!(
                    "UPDATE letters SET state = 'intended', redrive = orders.column2, changed_at_ms = $1,
                        version = version + 1, redrives = redrives + 1 - has_all_tries,
                        listed = CASE WHEN listed IS NULL THEN NULL ELSE '' END
                    FROM (VALUES {}) AS orders
                    WHERE letters.id = orders.column1 AND letters.state = 'scheduled' AND letters.source = ${}
                    RETURNING {INTENDED}",
                    places_after(1, part.len(), 2),
                    part.len() * 2 + 2,
                );
                let mut binds = vec![Bind::from(now_ms)];
                for (due, order) in part.iter().zip(orders) {
                    binds.extend([Bind::from(due.id.as_str()), order.as_str().into()]);
                }
                binds.push(source.into());
                let rows: Vec<Row> = transaction.rows(&sql, &binds).await?;
                intended.extend(rows.into_iter().map(|row| intended_of(source, row)));
            }
            Ok(intended)
        })
        .await
    }

    /// Returns what was intended, and of which nobody has said what came of it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn intended(&self, source: &str) -> Result<Vec<Intended>, LedgerError> {
        let sql = format!(
            "SELECT {INTENDED} FROM letters
            WHERE state = 'intended' AND source = $1 AND redrive IS NOT NULL ORDER BY number"
        );
        let rows = self.read(async |transaction| transaction.rows::<Row>(&sql, &[source.into()]).await).await?;
        Ok(rows.into_iter().map(|row| intended_of(source, row)).collect())
    }

    /// Writes what came of orders.
    ///
    /// # Errors
    /// [`LedgerError`]; the orders are then carried out, and asked for again: that does nothing.
    pub async fn redriven(&self, done: &[(Intended, Put)], now_ms: i64) -> Result<(), LedgerError> {
        self.write(async |transaction| {
            let mut came = Vec::with_capacity(done.len());
            for (intended, put) in done {
                match state_after(*put) {
                    None => reschedule(transaction, intended, now_ms).await?,
                    Some(state) => came.push((intended, *put, state)),
                }
            }
            for part in came.chunks(ROWS) {
                let sql = format!(
                    "UPDATE letters SET state = came.column3, reason = came.column4, new_job = came.column5,
                        changed_at_ms = $1, version = version + 1,
                        alarm = CASE WHEN came.column3 IN ('parked', 'uncertain') AND alarm = 'none' THEN 'ticket'
                            ELSE alarm END
                    FROM (VALUES {}) AS came
                    WHERE letters.id = came.column1 AND letters.redrive = came.column2 AND letters.state = 'intended'",
                    places_after(1, part.len(), 5),
                );
                let new_jobs =
                    part.iter().map(|(intended, put, _)| (*put == Put::Anew).then(|| intended.order.new_job()));
                let new_jobs: Vec<Option<String>> = new_jobs.collect();
                let mut binds = vec![Bind::from(now_ms)];
                for ((intended, put, state), new_job) in part.iter().zip(&new_jobs) {
                    let reason = if *state == LetterState::Redriven { "class" } else { put.word() };
                    let words = [intended.id.as_str(), intended.order.id.as_str(), state.word(), reason];
                    binds.extend(words.map(Bind::from));
                    binds.push(new_job.as_deref().into());
                }
                transaction.change(&sql, &binds).await?;
            }
            Ok(())
        })
        .await
    }

    /// Leaves to a person what could not be redriven for so long that nobody asked for it any more, and returns how many there
    /// were.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn give_up(&self, source: &str, now_ms: i64) -> Result<u64, LedgerError> {
        let sql = "UPDATE letters SET state = 'parked', reason = 'time_spent', due_at_ms = NULL, changed_at_ms = $1,
                version = version + 1, alarm = CASE WHEN alarm = 'none' THEN 'ticket' ELSE alarm END
            WHERE state = 'scheduled' AND source = $2 AND has_all_tries = 0 AND until_ms < $1";
        self.write(async |transaction| transaction.change(sql, &[now_ms.into(), source.into()]).await).await
    }

    /// Writes that nothing was done of what was intended: it is due in half a minute.
    ///
    /// # Errors
    /// [`LedgerError`]; then nobody knows whether it was done.
    pub async fn reschedule(&self, letters: &[Intended], now_ms: i64) -> Result<(), LedgerError> {
        if letters.is_empty() {
            return Ok(());
        }
        self.write(async |transaction| {
            for letter in letters {
                reschedule(transaction, letter, now_ms).await?;
            }
            Ok(())
        })
        .await
    }

    /// Writes that it cannot be known any more whether letters were redriven.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn uncertain(&self, letters: &[Intended], now_ms: i64) -> Result<(), LedgerError> {
        if letters.is_empty() {
            return Ok(());
        }
        self.write(async |transaction| {
            for letter in letters {
                let sql = "UPDATE letters SET state = 'uncertain', changed_at_ms = $1, version = version + 1,
                        alarm = CASE WHEN alarm = 'none' THEN 'ticket' ELSE alarm END
                    WHERE id = $2 AND state = 'intended'";
                transaction.change(sql, &[now_ms.into(), letter.id.as_str().into()]).await?;
            }
            Ok(())
        })
        .await
    }

    /// Returns what sources kept of letters, in their order.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn kept(&self, letters: &[&Intended]) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.read(async |transaction| {
            let mut kept = Vec::with_capacity(letters.len());
            for letter in letters {
                let sql = "SELECT kept FROM payloads WHERE letter = (SELECT number FROM letters WHERE id = $1)";
                let found = transaction.row::<(Vec<u8>,)>(sql, &[letter.id.as_str().into()]).await?;
                kept.push(found.map(|(kept,)| kept).unwrap_or_default());
            }
            Ok(kept)
        })
        .await
    }
}

/// What an order that came to this makes of its letter; none if it is to be given again.
fn state_after(put: Put) -> Option<LetterState> {
    match put {
        Put::Untaken => None,
        Put::Moved | Put::Already | Put::Anew => Some(LetterState::Redriven),
        Put::NotFailed => Some(LetterState::Withdrawn),
        Put::Fenced => Some(LetterState::Recurred),
        // Somebody must say what is to be done with it.
        Put::Gone | Put::Flow | Put::Newer | Put::Refused => Some(LetterState::Parked),
        Put::Unsure => Some(LetterState::Uncertain),
    }
}

async fn reschedule(transaction: &mut Transaction, letter: &Intended, now_ms: i64) -> Result<(), sqlx::Error> {
    let sql = "UPDATE letters SET state = 'scheduled', due_at_ms = $1, changed_at_ms = $2,
            version = version + 1, redrives = redrives - 1 + has_all_tries
        WHERE id = $3 AND state = 'intended' AND redrive = $4";
    let Intended { id, order, .. } = letter;
    let due_at_ms = now_ms.saturating_add(AGAIN_MS);
    let binds = [Bind::from(due_at_ms), now_ms.into(), id.as_str().into(), order.id.as_str().into()];
    transaction.change(sql, &binds).await.map(drop)
}

fn intended_of(source: &str, row: Row) -> Intended {
    let episode = Episode { queue: row.queue, job: row.job, failed_at_ms: row.failed_at_ms };
    // It may be given again later.
    let since_ms = given_ms(&row.redrive).unwrap_or(row.changed_at_ms);
    Intended {
        id: LetterId::of(source, &episode),
        name: row.name,
        order: Order { episode, id: row.redrive, has_all_tries: row.has_all_tries > 0 },
        since_ms,
        redrives: row.redrives,
        asked_by: row.traceparent.as_deref().and_then(Context::parse),
        found_in: row.found_in,
        to: row.to_queue,
        is_edited: row.edited_at_ms.is_some(),
    }
}

/// Returns when an order was given, in milliseconds since the epoch: its name says so (UUIDv7, RFC 9562 section 5.7).
pub(crate) fn given_ms(order: &str) -> Option<i64> {
    let (secs, nanos) = Uuid::try_parse(order).ok()?.get_timestamp()?.to_unix();
    i64::try_from(secs).ok()?.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000))
}
