//! Claiming jobs under a lease, and deciding about them: all fenced by the claim's epoch.

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;

use super::counts::Operation;
use super::engine::{Bind, Transaction};
use super::job::{Claim, Epoch, Failed, Job, JobId, Retry};
use super::put::check_name;
use super::store::Queues;
use super::{LEASE_EXPIRED, MAX_REASON_BYTES, QueueError};
use crate::trace::Context;

/// What stands at the end of a reason that was cut.
const CUT_MARK: &str = " [cut]";

/// Its place in the order of claims.
#[derive(Debug, sqlx::FromRow)]
struct Due {
    priority: i64,
    run_at_ms: i64,
    id: String,
}

#[derive(Debug, sqlx::FromRow)]
struct Taken {
    #[sqlx(flatten)]
    due: Due,
    queue: String,
    name: String,
    payload: String,
    epoch: i64,
    #[sqlx(try_from = "i64")]
    attempts: u32,
    #[sqlx(try_from = "i64")]
    max_attempts: u32,
    created_at_ms: i64,
    until_ms: i64,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Queues {
    /// Claims up to `limit` due jobs for `lease`: the highest priority first, then the longest due, then the oldest, over
    /// all `queues` together. Jobs whose lease ran out come back here, or die if that was their last attempt.
    ///
    /// # Errors
    /// [`QueueError::Name`] for the owner, [`QueueError::Late`] and [`QueueError::Store`].
    ///
    /// # Cancel safety
    /// What was claimed and not returned comes back when its lease runs out.
    pub async fn claim(
        &self,
        queues: &[&str],
        owner: &str,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<Job>, QueueError> {
        check_name("owner", owner)?;
        let claimed = async |transaction: &mut Transaction| {
            let mut due = Vec::new();
            for queue in queues {
                expire(transaction, queue).await?;
                due.extend(find_due(transaction, queue, limit).await?);
            }
            due.sort_by(|left, right| left.rank().cmp(&right.rank()));
            due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            let mut taken = if due.is_empty() { Vec::new() } else { take(transaction, &due, owner, lease).await? };
            taken.sort_by(|left, right| left.due.rank().cmp(&right.due.rank()));
            Ok(taken)
        };
        let taken = self.write(Operation::Claim, claimed).await?;
        taken.into_iter().map(|row| Ok(row.into_job()?)).collect()
    }

    /// Makes the lease last for `lease` from now, and returns when it will run out.
    ///
    /// # Errors
    /// [`QueueError::Lost`], [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn extend(&self, claim: Claim, lease: Duration) -> Result<Timestamp, QueueError> {
        let extended = async |transaction: &mut Transaction| {
            let sql = "UPDATE {jobs} SET until_ms = {now} + $4 WHERE id = $2 AND epoch = $3 AND state = 'running'
                RETURNING until_ms";
            let id = claim.id.to_string();
            let binds = [id.as_str().into(), claim.epoch.0.into(), whole_ms(lease).into()];
            let rows: Vec<(i64,)> = transaction.rows(sql, &binds).await?;
            rows.first().map(|(until_ms,)| wall(*until_ms)).ok_or(QueueError::Lost(claim.id))
        };
        self.write(Operation::Extend, extended).await
    }

    /// Deletes the job: it is done.
    ///
    /// # Errors
    /// [`QueueError::Lost`], [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn complete(&self, claim: Claim) -> Result<(), QueueError> {
        let completed = async |transaction: &mut Transaction| {
            let sql = "DELETE FROM {jobs} WHERE id = $2 AND epoch = $3 AND state = 'running'";
            let id = claim.id.to_string();
            let deleted = transaction.change(sql, &[id.as_str().into(), claim.epoch.0.into()]).await?;
            if deleted == 0 { Err(QueueError::Lost(claim.id)) } else { Ok(()) }
        };
        self.write(Operation::Complete, completed).await
    }

    /// Notes that the attempt failed. After the last attempt the job dies whatever `retry` says.
    ///
    /// A reason over [`super::MAX_REASON_BYTES`] is cut.
    ///
    /// # Errors
    /// [`QueueError::Lost`], [`QueueError::Late`] and [`QueueError::Store`].
    pub async fn fail(&self, claim: Claim, reason: &str, retry: Retry) -> Result<Failed, QueueError> {
        let wait_ms = match retry {
            Retry::After(wait) => Some(whole_ms(wait)),
            Retry::Dead => None,
        };
        let (id, reason) = (claim.id.to_string(), cut(reason));
        let failed = async |transaction: &mut Transaction| {
            let rows: Vec<(String,)> = transaction
                .rows(
                    "UPDATE {jobs} SET owner = NULL, until_ms = NULL, reason = $4,
                        failed_at_ms = CASE WHEN failed_at_ms >= {now} THEN failed_at_ms + 1 ELSE {now} END,
                        first_failed_at_ms = coalesce(first_failed_at_ms, {now}),
                        run_at_ms = {now} + coalesce($5, 0),
                        state = CASE WHEN $5 IS NULL OR attempts >= max_attempts THEN 'dead' ELSE 'waiting' END
                     WHERE id = $2 AND epoch = $3 AND state = 'running' RETURNING state",
                    &[id.as_str().into(), claim.epoch.0.into(), reason.as_str().into(), wait_ms.into()],
                )
                .await?;
            let (state,) = rows.into_iter().next().ok_or(QueueError::Lost(claim.id))?;
            Ok(if state == "dead" { Failed::Dead } else { Failed::Waits })
        };
        self.write(Operation::Fail, failed).await
    }
}

impl Due {
    fn rank(&self) -> (Reverse<i64>, i64, &str) {
        (Reverse(self.priority), self.run_at_ms, &self.id)
    }
}

impl Taken {
    fn into_job(self) -> Result<Job, sqlx::Error> {
        let id = JobId::try_from(self.due.id).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Job {
            claim: Claim { id, epoch: Epoch(self.epoch) },
            queue: self.queue,
            name: self.name,
            payload: self.payload,
            attempt: self.attempts,
            max_attempts: self.max_attempts,
            created_at: wall(self.created_at_ms),
            until: wall(self.until_ms),
            asked_by: self
                .traceparent
                .as_deref()
                .and_then(Context::parse)
                .map(|asked_by| asked_by.with_state(self.tracestate.unwrap_or_default().as_bytes())),
        })
    }
}

/// The epoch stays: a late worker is refused since the job no longer runs, and after the next claim by the epoch.
async fn expire(transaction: &mut Transaction, queue: &str) -> Result<(), sqlx::Error> {
    let sql = "UPDATE {jobs} SET owner = NULL, until_ms = NULL, reason = $3,
            failed_at_ms = CASE WHEN failed_at_ms >= {now} THEN failed_at_ms + 1 ELSE {now} END,
            first_failed_at_ms = coalesce(first_failed_at_ms, {now}),
            state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'waiting' END
        WHERE id IN (SELECT id FROM {jobs} WHERE queue = $2 AND state = 'running' AND until_ms <= {now} {skip_locked})";
    let expired = transaction.change(sql, &[queue.into(), LEASE_EXPIRED.into()]).await?;
    if expired > 0 {
        tracing::warn!(queue, expired, "workers let leases run out");
    }
    Ok(())
}

async fn find_due(transaction: &mut Transaction, queue: &str, limit: u32) -> Result<Vec<Due>, sqlx::Error> {
    let sql = "SELECT priority, run_at_ms, id FROM {jobs} WHERE queue = $2 AND state = 'waiting' AND run_at_ms <= {now}
        ORDER BY priority DESC, run_at_ms, id LIMIT $3 {skip_locked}";
    transaction.rows(sql, &[queue.into(), i64::from(limit).into()]).await
}

async fn take(
    transaction: &mut Transaction,
    due: &[Due],
    owner: &str,
    lease: Duration,
) -> Result<Vec<Taken>, sqlx::Error> {
    let ids: serde_json::Value = due.iter().map(|due| due.id.as_str()).collect();
    let ids = ids.to_string();
    let binds: [Bind<'_>; 3] = [ids.as_str().into(), owner.into(), whole_ms(lease).into()];
    let sql = "UPDATE {jobs} SET state = 'running', owner = $3, epoch = epoch + 1, attempts = attempts + 1,
            until_ms = {now} + $4 WHERE id IN {list}
        RETURNING id, queue, name, payload, epoch, attempts, max_attempts, created_at_ms, until_ms, priority, run_at_ms,
            traceparent, tracestate";
    transaction.rows(sql, &binds).await
}

/// Cuts at a character and marks it. PostgreSQL takes no NUL in text (manual section 8.3).
fn cut(reason: &str) -> String {
    let reason = reason.replace('\0', "\u{fffd}");
    if reason.len() <= MAX_REASON_BYTES {
        return reason;
    }
    let end = reason.floor_char_boundary(MAX_REASON_BYTES - CUT_MARK.len());
    format!("{}{CUT_MARK}", reason.get(..end).unwrap_or_default())
}

pub(super) fn wall(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

fn whole_ms(length: Duration) -> i64 {
    // A hundred years, so that adding it to the time cannot overflow.
    const LONGEST_MS: i64 = 100 * 366 * 86_400_000;
    i64::try_from(length.as_millis()).unwrap_or(LONGEST_MS).min(LONGEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_at_a_character_and_says_so() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut("a\0b"), "a\u{fffd}b");
        let whole = "x".repeat(MAX_REASON_BYTES);
        assert_eq!(cut(&whole), whole);
        let long = cut(&"ä".repeat(MAX_REASON_BYTES));
        assert!(long.len() <= MAX_REASON_BYTES && long.ends_with("ä [cut]"), "{}", long.len());
    }
}
