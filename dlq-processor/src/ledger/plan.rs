//! Plans: what is to be done with many letters, frozen when it is made, carried out part by part once somebody says so.

use data_encoding::HEXLOWER;
use kit::db::{Bind, Transaction};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::act::{Act, earlier, note};
use super::plan_state::{PlanState, Step};
use super::removal::REMOVED;
use super::{Actor, Filter, Ledger, LedgerError};

/// Letters that are shown of a plan.
const SAMPLES: i64 = 10;

/// What a plan is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Which letters.
    pub filter: Filter,
    /// What is done with them.
    pub act: Act,
    /// Letters in a thousand seconds, at most; none for as many as their queues bear.
    pub rate_milli: Option<i64>,
    /// It stops where this share of its letters fails again, in percent.
    pub stop_percent: Option<i64>,
    /// Those that failed first, as many as this.
    pub max_letters: Option<i64>,
    /// The queue that they are redriven into, if it is another than theirs.
    pub to_queue: Option<String>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow, serde::Serialize)]
pub struct Plan {
    /// Counts plans.
    pub number: i64,
    /// Names it.
    pub id: String,
    /// When it was made, in milliseconds since the epoch.
    pub at_ms: i64,
    /// By whom.
    pub who: String,
    /// Why.
    pub why: String,
    /// What is done.
    pub act: String,
    /// With which letters, in JSON.
    pub filter: String,
    /// Letters in a thousand seconds, at most.
    pub rate_milli: Option<i64>,
    /// It stops where this share fails again, in percent.
    pub stop_percent: Option<i64>,
    /// How many letters it may have.
    pub max_letters: Option<i64>,
    /// The queue that they are redriven into, if it is another than theirs.
    pub to_queue: Option<String>,
    /// How far it has come.
    pub state: String,
    /// How many letters it has.
    pub total: i64,
    /// Names its letters, as they were.
    pub hash: String,
}

/// How far a plan has come, in letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// Those that wait for their turn.
    pub waits: i64,
    /// Those that it was done with.
    pub done: i64,
    /// Those that had changed since, and were left alone.
    pub skipped: i64,
    /// How those stand now that it was done with: state and number.
    pub states: Vec<(String, i64)>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stepped {
    /// It is done, or was before under the same key.
    Done,
    /// There is no such plan.
    Unknown,
    /// It cannot be done in this state.
    Not(String),
    /// Another plan is under way in one of its queues.
    Busy(String),
    /// The key was used for something else.
    KeyTaken,
}

pub(super) const COLUMNS: &str =
    "number, id, at_ms, who, why, act, filter, rate_milli, stop_percent, max_letters, to_queue, state, total, hash";

impl Ledger {
    /// Makes a plan and freezes its letters: those that `draft` names and that may be dealt with so. The same key makes it
    /// once.
    ///
    /// # Errors
    /// [`LedgerError`]; [`LedgerError::TooSlow`] if there are too many to look through in time.
    pub async fn make_plan(&self, draft: &Draft, actor: Actor<'_>, now_ms: i64) -> Result<Option<Plan>, LedgerError> {
        let id = Uuid::now_v7().to_string();
        let filter = serde_json::to_string(&draft.filter).unwrap_or_default();
        // What was removed for good stays so, and nothing but a release lets out what is in quarantine.
        let condition = format!(
            "state IN ('{}') AND action <> 'quarantine' AND NOT (state = 'discarded' AND reason = '{REMOVED}')",
            draft.act.from().join("', '")
        );
        let chosen = self.choose(&draft.filter, &condition).await?;
        let made = self.write(async |transaction| {
            if let Some(earlier) = earlier(transaction, actor.key).await? {
                return Ok(earlier.of("plan"));
            }
            let sql =
                "INSERT INTO plans (id, at_ms, who, why, act, filter, rate_milli, stop_percent, max_letters, to_queue,
                    state, total, hash)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'dry', 0, '') RETURNING number";
            let binds = [
                Bind::from(id.as_str()),
                now_ms.into(),
                actor.who.into(),
                actor.why.into(),
                draft.act.word().into(),
                filter.as_str().into(),
                draft.rate_milli.into(),
                draft.stop_percent.into(),
                draft.max_letters.into(),
                draft.to_queue.as_deref().into(),
            ];
            let number = transaction.row::<(i64,)>(sql, &binds).await?.map_or(0, |(number,)| number);
            draft.filter.freeze(transaction, number, &condition, draft.max_letters, chosen.as_deref()).await?;
            seal(transaction, number).await?;
            note(transaction, "plan", &id, actor, now_ms).await?;
            Ok(Some(id))
        });
        match made.await? {
            Some(id) => self.plan(&id).await,
            None => Ok(None),
        }
    }

    /// Returns a plan.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn plan(&self, id: &str) -> Result<Option<Plan>, LedgerError> {
        let sql = format!("SELECT {COLUMNS} FROM plans WHERE id = $1");
        self.read(async |transaction| transaction.row::<Plan>(&sql, &[id.into()]).await).await
    }

    /// Returns plans, the newest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn plans(&self, most: i64) -> Result<Vec<Plan>, LedgerError> {
        let sql = format!("SELECT {COLUMNS} FROM plans ORDER BY number DESC LIMIT $1");
        self.read(async |transaction| transaction.rows::<Plan>(&sql, &[most.into()]).await).await
    }

    /// Returns some of a plan's letters, by their ids, in its order.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn samples(&self, plan: i64) -> Result<Vec<String>, LedgerError> {
        let sql = "SELECT id FROM plan_letters JOIN letters ON letters.number = plan_letters.letter
            WHERE plan_letters.plan = $1 ORDER BY position LIMIT $2";
        let binds = [Bind::from(plan), SAMPLES.into()];
        let rows = self.read(async |transaction| transaction.rows::<(String,)>(sql, &binds).await).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Returns the queues that a plan's letters are of, and how many of each, the most first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn plan_queues(&self, plan: i64) -> Result<Vec<(String, i64)>, LedgerError> {
        let sql = "SELECT queue, COUNT(*) AS letters FROM plan_letters
            JOIN letters ON letters.number = plan_letters.letter
            WHERE plan_letters.plan = $1 GROUP BY queue ORDER BY letters DESC, queue";
        self.read(async |transaction| transaction.rows::<(String, i64)>(sql, &[plan.into()]).await).await
    }

    /// Returns the sources and queues that a plan's letters are of.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn plan_places(&self, plan: i64) -> Result<Vec<(String, String)>, LedgerError> {
        let sql = "SELECT DISTINCT source, queue FROM plan_letters
            JOIN letters ON letters.number = plan_letters.letter WHERE plan_letters.plan = $1 ORDER BY source, queue";
        self.read(async |transaction| transaction.rows::<(String, String)>(sql, &[plan.into()]).await).await
    }

    /// Returns how far a plan has come.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn progress(&self, plan: i64) -> Result<Progress, LedgerError> {
        self.read(async |transaction| {
            let sql = "SELECT state, COUNT(*) FROM plan_letters WHERE plan = $1 GROUP BY state";
            let counts = transaction.rows::<(String, i64)>(sql, &[plan.into()]).await?;
            let count = |wanted| counts.iter().find(|(state, _)| state == wanted).map_or(0, |(_, count)| *count);
            let sql = "SELECT state, COUNT(*) FROM letters WHERE plan = $1 GROUP BY state ORDER BY state";
            let states = transaction.rows::<(String, i64)>(sql, &[plan.into()]).await?;
            Ok(Progress { waits: count("waits"), done: count("done"), skipped: count("skipped"), states })
        })
        .await
    }

    /// Does a step with a plan at the time `now_ms`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn step(&self, id: &str, step: Step, actor: Actor<'_>, now_ms: i64) -> Result<Stepped, LedgerError> {
        self.write(async |transaction| {
            let what = format!("plan.{}", step.word());
            if let Some(earlier) = earlier(transaction, actor.key).await? {
                return Ok(if earlier.is(&what, id) { Stepped::Done } else { Stepped::KeyTaken });
            }
            let sql = "SELECT number, state FROM plans WHERE id = $1 {for_update}";
            let found = transaction.row::<(i64, String)>(sql, &[id.into()]).await?;
            let Some((number, state)) = found else { return Ok(Stepped::Unknown) };
            if !step.from().contains(&&*state) {
                return Ok(Stepped::Not(state));
            }
            if step.to() == PlanState::Running
                && let Some(queue) = busy(transaction, number).await?
            {
                return Ok(Stepped::Busy(queue));
            }
            set(transaction, number, step.to()).await?;
            if step.to() != PlanState::Running {
                take_back(transaction, number, now_ms).await?;
            }
            note(transaction, &what, id, actor, now_ms).await?;
            Ok(Stepped::Done)
        })
        .await
    }
}

/// Counts a plan's letters and names them.
async fn seal(transaction: &mut Transaction, plan: i64) -> Result<(), sqlx::Error> {
    let sql = "SELECT letter, version FROM plan_letters WHERE plan = $1 ORDER BY position";
    let letters = transaction.rows::<(i64, i64)>(sql, &[plan.into()]).await?;
    let mut digest = Sha256::new();
    for (letter, version) in &letters {
        digest.update(letter.to_be_bytes());
        digest.update(version.to_be_bytes());
    }
    let hash: String = HEXLOWER.encode(&digest.finalize()).chars().take(16).collect();
    let total = i64::try_from(letters.len()).unwrap_or(i64::MAX);
    let sql = "UPDATE plans SET total = $1, hash = $2 WHERE number = $3";
    transaction.change(sql, &[total.into(), hash.as_str().into(), plan.into()]).await.map(drop)
}

/// Returns a queue of the plan's in which another one is under way.
async fn busy(transaction: &mut Transaction, plan: i64) -> Result<Option<String>, sqlx::Error> {
    let sql = "SELECT MIN(COALESCE(mine.to_queue, letters.queue)) FROM plans AS mine
        JOIN plan_letters ON plan_letters.plan = mine.number JOIN letters ON letters.number = plan_letters.letter
        WHERE mine.number = $1 AND COALESCE(mine.to_queue, letters.queue) IN (
            SELECT COALESCE(plans.to_queue, others.queue) FROM plans
            JOIN plan_letters AS theirs ON theirs.plan = plans.number AND theirs.state = 'waits'
            JOIN letters AS others ON others.number = theirs.letter
            WHERE plans.state = 'running' AND plans.number <> $1)";
    Ok(transaction.row::<(Option<String>,)>(sql, &[plan.into()]).await?.and_then(|(queue,)| queue))
}

pub(super) async fn set(transaction: &mut Transaction, plan: i64, state: PlanState) -> Result<(), sqlx::Error> {
    let sql = "UPDATE plans SET state = $1 WHERE number = $2";
    transaction.change(sql, &[state.word().into(), plan.into()]).await.map(drop)
}

/// Has letters wait again that were to be redriven and were not.
pub(super) async fn take_back(transaction: &mut Transaction, plan: i64, now_ms: i64) -> Result<(), sqlx::Error> {
    let sql = "UPDATE letters SET state = 'parked', reason = 'taken_back', due_at_ms = NULL, has_all_tries = 0,
            changed_at_ms = $1, version = version + 1
        WHERE plan = $2 AND state = 'scheduled' RETURNING number, version";
    let back = transaction.rows::<(i64, i64)>(sql, &[now_ms.into(), plan.into()]).await?;
    for (letter, version) in back {
        let sql = "UPDATE plan_letters SET state = 'waits', version = $1 WHERE plan = $2 AND letter = $3";
        transaction.change(sql, &[version.into(), plan.into(), letter.into()]).await?;
    }
    Ok(())
}
