//! Canaries: one letter of a flock that goes before the others, what becomes of it, and the others that follow if it was done.

use kit::db::{Bind, Transaction};

use super::due::FIRST_IN_ORDER;
use super::flock::{Flock, PARKED};
use super::{Ledger, LedgerError, ROWS, places, places_after};

/// Who does it, in the audit.
const WHO: &str = "dlq-processor";
/// What is done, in the audit.
const WHAT: &str = "redrive";
/// Why, of a canary.
const WHY: &str = "canary";

/// Letters that may go before those that are alike: none that failed longer before it was seen than a number of milliseconds, that
/// somebody has edited, or that stands behind another.
pub(super) fn may_go(max_age_ms: &str) -> String {
    format!("{PARKED} AND seen_at_ms - failed_at_ms <= {max_age_ms} AND edited_at_ms IS NULL AND {FIRST_IN_ORDER}")
}

impl Ledger {
    /// Schedules a letter of a flock, of those whose jobs were redriven least the newest, and returns its id: none if no letter may
    /// go. What failed longer than `max_age_ms` before it was seen does not.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn send_canary(
        &self,
        source: &str,
        flock: &Flock,
        max_age_ms: i64,
        now_ms: i64,
    ) -> Result<Option<String>, LedgerError> {
        let newest = format!(
            "SELECT number, id FROM letters WHERE source = $1 AND class = $2 AND fingerprint = $3 AND {}
            ORDER BY redrives, number DESC LIMIT 1",
            may_go("$4")
        );
        let words = [source, &flock.class, &flock.fingerprint].map(Bind::from);
        self.write(async |transaction| {
            let binds = [&words[..], &[max_age_ms.into()]].concat();
            let Some((number, id)) = transaction.row::<(i64, String)>(&newest, &binds).await? else { return Ok(None) };
            let sql = format!(
                "UPDATE letters SET state = 'scheduled', due_at_ms = $1, reason = 'canary', has_all_tries = 0,
                    changed_at_ms = $1, version = version + 1
                WHERE number = $2 AND {PARKED}"
            );
            if transaction.change(&sql, &[now_ms.into(), number.into()]).await? == 0 {
                return Ok(None);
            }
            let sql = "UPDATE canaries SET canary = $4 WHERE source = $1 AND class = $2 AND fingerprint = $3";
            transaction.change(sql, &[&words[..], &[id.as_str().into()]].concat()).await?;
            note(transaction, std::slice::from_ref(&id), WHY, now_ms).await?;
            Ok(Some(id))
        })
        .await
    }

    /// Writes that a flock's canary has ended, and was not done: so many have by now, and the next one is sent at `next_at_ms`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn canary_ended(
        &self,
        source: &str,
        flock: &Flock,
        tried: i64,
        next_at_ms: i64,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let sql = "UPDATE canaries SET canary = NULL, tried = $4, next_at_ms = $5, changed_at_ms = $6
            WHERE source = $1 AND class = $2 AND fingerprint = $3 AND canary = $7";
        let words = [source, &flock.class, &flock.fingerprint].map(Bind::from);
        let numbers = [tried, next_at_ms, now_ms].map(Bind::from);
        let binds = [&words[..], &numbers[..], &[flock.canary.as_deref().into()]].concat();
        self.write(async |transaction| transaction.change(sql, &binds).await.map(drop)).await
    }

    /// Schedules letters of a flock one of which was done, as many as one statement takes, and returns how many there were. `due`
    /// says of each when, in milliseconds since the epoch. Those that were seen later than it was put back stay: it says nothing of
    /// them.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn release_some(
        &self,
        source: &str,
        flock: &Flock,
        max_age_ms: i64,
        now_ms: i64,
        mut due: impl FnMut() -> i64,
    ) -> Result<usize, LedgerError> {
        // Of a flock the few hundred of a part are read, not all that wait of its class: `+ 0` keeps another index away.
        let next = format!(
            "SELECT number FROM letters WHERE {PARKED} AND source = $1 AND class = $2 AND fingerprint = $3
                AND seen_at_ms - failed_at_ms <= $4 AND edited_at_ms IS NULL AND seen_at_ms + 0 < $5
            ORDER BY number LIMIT {ROWS}"
        );
        let words = [source, &flock.class, &flock.fingerprint].map(Bind::from);
        let why = format!("canary {} was done", flock.passed_by.as_deref().unwrap_or_default());
        self.write(async |transaction| {
            let binds = [&words[..], &[max_age_ms.into(), flock.release_before_ms.into()]].concat();
            let numbers = transaction.rows::<(i64,)>(&next, &binds).await?;
            if numbers.is_empty() {
                return Ok(0);
            }
            let sql = format!(
                "UPDATE letters SET state = 'scheduled', due_at_ms = released.column2, reason = 'released',
                    has_all_tries = 0, changed_at_ms = $1, version = version + 1
                FROM (VALUES {}) AS released WHERE letters.number = released.column1 AND {PARKED} RETURNING id",
                places_after(1, numbers.len(), 2)
            );
            let mut binds = vec![Bind::from(now_ms)];
            for (number,) in &numbers {
                binds.extend([Bind::from(*number), due().into()]);
            }
            let ids: Vec<(String,)> = transaction.rows(&sql, &binds).await?;
            let ids: Vec<String> = ids.into_iter().map(|(id,)| id).collect();
            note(transaction, &ids, &why, now_ms).await?;
            Ok(numbers.len())
        })
        .await
    }

    /// Writes that all have followed whom a canary has let go; the next one is sent at `next_at_ms`, if letters like these come.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn released(&self, source: &str, flock: &Flock, next_at_ms: i64, now_ms: i64) -> Result<(), LedgerError> {
        let sql =
            "UPDATE canaries SET release_before_ms = NULL, passed_by = NULL, passed = passed + 1, tried = tried + 1,
                next_at_ms = $4, changed_at_ms = $5
            WHERE source = $1 AND class = $2 AND fingerprint = $3 AND release_before_ms = $6";
        let words = [source, &flock.class, &flock.fingerprint].map(Bind::from);
        // Another one may have been done meanwhile, and more may follow that.
        let binds = [&words[..], &[next_at_ms.into(), now_ms.into(), flock.release_before_ms.into()]].concat();
        self.write(async |transaction| transaction.change(sql, &binds).await.map(drop)).await
    }
}

/// Has flocks follow their canaries, of letters that are about to be written down as done, and what a person had redriven of them
/// as it was. Once a flock was let go, a person's letter counts when the next canary would be sent and no sooner: of what fails
/// again and again the others may be done all the while.
pub(super) async fn pass(transaction: &mut Transaction, done: &[&str], now_ms: i64) -> Result<(), sqlx::Error> {
    if done.is_empty() || transaction.row::<(i64,)>("SELECT tried FROM canaries LIMIT 1", &[]).await?.is_none() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE canaries SET canary = NULL, passed_by = letters.id, release_before_ms = letters.changed_at_ms
        FROM letters
        WHERE letters.id IN {} AND letters.state = 'redriven' AND canaries.source = letters.source
            AND canaries.fingerprint = letters.fingerprint AND canaries.class = letters.class
            AND letters.to_queue IS NULL AND letters.edited_at_ms IS NULL
            AND (canaries.canary = letters.id
                OR letters.has_all_tries = 1 AND (canaries.passed = 0 OR canaries.next_at_ms <= $1))",
        places_after(1, 1, done.len())
    );
    let binds: Vec<Bind<'_>> = [Bind::from(now_ms)].into_iter().chain(done.iter().map(|id| Bind::from(*id))).collect();
    transaction.change(&sql, &binds).await.map(drop)
}

/// Writes into the audit that letters are redriven.
async fn note(transaction: &mut Transaction, letters: &[String], why: &str, now_ms: i64) -> Result<(), sqlx::Error> {
    if letters.is_empty() {
        return Ok(());
    }
    let sql = format!("INSERT INTO audit (at_ms, who, what, letter, why) VALUES {}", places(letters.len(), 5));
    let mut binds = Vec::with_capacity(letters.len() * 5);
    for letter in letters {
        binds.extend([Bind::from(now_ms), WHO.into(), WHAT.into(), letter.as_str().into(), why.into()]);
    }
    transaction.change(&sql, &binds).await.map(drop)
}
