//! Carrying plans out: a part of a running plan's letters at a time, each part wholly or not at all.

use kit::db::{Bind, Transaction};

use super::act::Act;
use super::plan::{COLUMNS, Plan, set, take_back};
use super::plan_state::PlanState;
use super::{Ledger, LedgerError};

/// Letters of a plan that are to be redriven and are not yet, at most: they are taken back when it is paused.
const AHEAD: i64 = 500;
/// Outcomes before too many of them can be failures.
const ENOUGH: i64 = 20;

/// What came of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It was done with so many letters.
    Done(usize),
    /// There is no room for more now.
    Full,
    /// It was the last one.
    Last,
    /// Too many failed again: the plan is stopped.
    Stopped,
}

impl Ledger {
    /// Returns the plans that are under way.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn running_plans(&self) -> Result<Vec<Plan>, LedgerError> {
        let sql = format!("SELECT {COLUMNS} FROM plans WHERE state = $1 ORDER BY number DESC");
        let running = PlanState::Running.word();
        self.read(async |transaction| transaction.rows::<Plan>(&sql, &[running.into()]).await).await
    }

    /// Does what a plan says with the next letters of it, at most `most`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn carry_on(&self, plan: &Plan, most: usize, now_ms: i64) -> Result<Part, LedgerError> {
        let Some(act) = Act::ALL.into_iter().find(|act| act.word() == plan.act) else { return Ok(Part::Last) };
        self.write(async |transaction| {
            if fails_too_often(transaction, plan).await? {
                set(transaction, plan.number, PlanState::Stopped).await?;
                take_back(transaction, plan.number, now_ms).await?;
                return Ok(Part::Stopped);
            }
            let sql = "SELECT COUNT(*) FROM letters WHERE plan = $1 AND state = 'scheduled'";
            let ahead = transaction.row::<(i64,)>(sql, &[plan.number.into()]).await?.map_or(0, |(ahead,)| ahead);
            let most = i64::try_from(most).unwrap_or(i64::MAX).min(AHEAD - ahead);
            if most <= 0 {
                return Ok(Part::Full);
            }
            let sql = "SELECT position, letter, version FROM plan_letters
                WHERE plan = $1 AND state = 'waits' ORDER BY position LIMIT $2";
            let next = transaction.rows::<(i64, i64, i64)>(sql, &[plan.number.into(), most.into()]).await?;
            if next.is_empty() {
                // What is still to be redriven may come back; then there is more.
                if ahead == 0 {
                    set(transaction, plan.number, PlanState::Done).await?;
                }
                return Ok(if ahead == 0 { Part::Last } else { Part::Full });
            }
            for (position, letter, version) in &next {
                let is_done = deal(transaction, plan, act, (*letter, *version), now_ms).await?;
                let state = if is_done { "done" } else { "skipped" };
                let sql = "UPDATE plan_letters SET state = $1 WHERE plan = $2 AND position = $3";
                transaction.change(sql, &[state.into(), plan.number.into(), (*position).into()]).await?;
            }
            Ok(Part::Done(next.len()))
        })
        .await
    }
}

/// Returns whether the letter was as it had been when the plan was made.
async fn deal(
    transaction: &mut Transaction,
    plan: &Plan,
    act: Act,
    (letter, version): (i64, i64),
    now_ms: i64,
) -> Result<bool, sqlx::Error> {
    let is_redrive = act == Act::Redrive;
    let sql = "UPDATE letters SET state = $1, due_at_ms = $2, has_all_tries = $3, reason = 'asked', plan = $4,
            changed_at_ms = $5, version = version + 1, to_queue = NULLIF($8, queue) WHERE number = $6 AND version = $7";
    let binds = [
        Bind::from(act.state()),
        is_redrive.then_some(now_ms).into(),
        i64::from(is_redrive).into(),
        plan.number.into(),
        now_ms.into(),
        letter.into(),
        version.into(),
        plan.to_queue.as_deref().into(),
    ];
    Ok(transaction.change(sql, &binds).await? > 0)
}

async fn fails_too_often(transaction: &mut Transaction, plan: &Plan) -> Result<bool, sqlx::Error> {
    let Some(percent) = plan.stop_percent else { return Ok(false) };
    let sql =
        "SELECT state, COUNT(*) FROM letters WHERE plan = $1 AND state IN ('resolved', 'recurred') GROUP BY state";
    let ended = transaction.rows::<(String, i64)>(sql, &[plan.number.into()]).await?;
    let all: i64 = ended.iter().map(|(_, count)| count).sum();
    let failed: i64 = ended.iter().filter(|(state, _)| state == "recurred").map(|(_, count)| count).sum();
    Ok(all >= ENOUGH && failed.saturating_mul(100) >= all.saturating_mul(percent))
}
