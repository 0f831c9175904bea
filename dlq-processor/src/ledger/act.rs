//! What people do with letters: once for each key that they give, with their name and their reason, in the same transaction as
//! the change.

use kit::db::{Bind, Transaction};

use super::insert::clean;
use super::removal::{IS_REMOVED, is_removed};
use super::{Ledger, LedgerError};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is redriven at once, with all its tries.
    Redrive,
    /// It waits.
    Park,
    /// It waits until somebody releases it.
    Quarantine,
    /// As [`Self::Redrive`], of one in quarantine, which nothing else lets out, also when it was discarded since.
    Release,
    /// It is given up; what it held is kept.
    Discard,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Redrive, Self::Park, Self::Quarantine, Self::Release, Self::Discard];

    /// Its name in paths, in the audit and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Park => "park",
            Self::Quarantine => "quarantine",
            Self::Release => "release",
            Self::Discard => "discard",
        }
    }

    /// The state that it leads to.
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::Redrive | Self::Release => "scheduled",
            Self::Park => "parked",
            Self::Quarantine => "quarantined",
            Self::Discard => "discarded",
        }
    }

    /// Returns whether it may be done with a letter in this state, of which this was decided for this reason.
    pub fn is_for(self, state: &str, action: &str, reason: &str) -> bool {
        // Whatever was done with it since: nothing but a release lets it out.
        let is_shut_in = action == QUARANTINE;
        match self {
            // Nothing is left to be put back.
            _ if is_removed(state, reason) => false,
            Self::Redrive if is_shut_in => false,
            Self::Release if !is_shut_in => false,
            // Whether it was done is not known, so that a person may say that it was not.
            Self::Redrive if state == "resolved" && reason == "unverified" => true,
            _ => self.from().contains(&state),
        }
    }

    /// The states that it may be done in.
    pub(super) fn from(self) -> &'static [&'static str] {
        match self {
            Self::Redrive => {
                &["observed", "scheduled", "parked", "escalated", "discarded", "withdrawn", "uncertain", "expired"]
            }
            Self::Park => &["observed", "scheduled", "escalated"],
            Self::Quarantine => &["observed", "scheduled", "parked", "escalated"],
            Self::Release => &["quarantined", "discarded"],
            Self::Discard => &["observed", "scheduled", "parked", "escalated", "quarantined", "uncertain"],
        }
    }
}

/// What was decided of letters that only a release lets out.
const QUARANTINE: &str = "quarantine";

/// Who does it, why, and under which key.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    /// The name.
    pub who: &'a str,
    /// The reason.
    pub why: &'a str,
    /// The same key does the same thing once.
    pub key: &'a str,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// It is done.
    Done,
    /// It was done before, under the same key.
    Before,
    /// There is no such letter.
    Unknown,
    /// It cannot be done in this state.
    Not(String),
    /// The key was used for something else.
    KeyTaken,
}

impl Ledger {
    /// Does something with one letter at the time `now_ms`.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn act(&self, letter: &str, act: Act, actor: Actor<'_>, now_ms: i64) -> Result<Acted, LedgerError> {
        self.act_into(letter, act, None, actor, now_ms).await
    }

    /// As [`Self::act`]; what is redriven goes into the queue `to`, if that is given.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn act_into(
        &self,
        letter: &str,
        act: Act,
        to: Option<&str>,
        actor: Actor<'_>,
        now_ms: i64,
    ) -> Result<Acted, LedgerError> {
        let what = to.map_or_else(|| act.word().to_owned(), |to| format!("{} to {to}", act.word()));
        self.write(async |transaction| {
            if let Some(earlier) = earlier(transaction, actor.key).await? {
                return Ok(if earlier.is(&what, letter) { Acted::Before } else { Acted::KeyTaken });
            }
            let sql = "SELECT state, action, reason FROM letters WHERE id = $1";
            let found = transaction.row::<(String, String, String)>(sql, &[letter.into()]).await?;
            let Some((state, action, reason)) = found else { return Ok(Acted::Unknown) };
            if !act.is_for(&state, &action, &reason) {
                let is_shut_in = act == Act::Redrive && action == QUARANTINE;
                return Ok(Acted::Not(match () {
                    () if is_removed(&state, &reason) => IS_REMOVED.to_owned(),
                    () if is_shut_in => "in quarantine".to_owned(),
                    () => state,
                }));
            }
            let is_redrive = matches!(act, Act::Redrive | Act::Release);
            let action = match act {
                Act::Quarantine => QUARANTINE,
                Act::Release => "redrive",
                Act::Redrive | Act::Park | Act::Discard => &action,
            };
            let sql =
                "UPDATE letters SET state = $1, action = $7, due_at_ms = $2, has_all_tries = $3, reason = 'asked',
                changed_at_ms = $4, version = version + 1, to_queue = NULLIF($8, queue) WHERE id = $5 AND state = $6";
            let binds = [
                Bind::from(act.state()),
                is_redrive.then_some(now_ms).into(),
                i64::from(is_redrive).into(),
                now_ms.into(),
                letter.into(),
                state.as_str().into(),
                action.into(),
                to.into(),
            ];
            if transaction.change(sql, &binds).await? == 0 {
                // Somebody was faster between the two.
                return Ok(Acted::Not("changing".to_owned()));
            }
            note(transaction, &what, letter, actor, now_ms).await?;
            Ok(Acted::Done)
        })
        .await
    }

    /// Notes that somebody did something, and returns whether it is to be done: false if the key was used for something else.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn note(&self, what: &str, of: &str, actor: Actor<'_>, now_ms: i64) -> Result<bool, LedgerError> {
        // Names of jobs may be anything.
        let of = &clean(of);
        self.write(async |transaction| {
            if let Some(earlier) = earlier(transaction, actor.key).await? {
                return Ok(earlier.is(what, of));
            }
            note(transaction, what, of, actor, now_ms).await.map(|()| true)
        })
        .await
    }

    /// Returns who did what with letters, the newest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn audit(&self, letter: Option<&str>, most: usize) -> Result<Vec<Entry>, LedgerError> {
        let sql = "SELECT number, at_ms, who, what, letter, why FROM audit
            WHERE ($1 IS NULL OR letter = $1) ORDER BY number DESC LIMIT $2";
        let binds = [Bind::from(letter), i64::try_from(most).unwrap_or(i64::MAX).into()];
        self.read(async |transaction| transaction.rows::<Entry>(sql, &binds).await).await
    }
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow, serde::Serialize)]
pub struct Entry {
    /// Counts lines.
    pub number: i64,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
    /// With which letter.
    pub letter: Option<String>,
    /// Why.
    pub why: String,
}

/// What was done before under a key.
#[derive(sqlx::FromRow)]
pub(super) struct Earlier {
    what: String,
    letter: Option<String>,
}

impl Earlier {
    /// Returns whether it is this, done with this letter, plan or whatever else.
    pub(super) fn is(&self, what: &str, of: &str) -> bool {
        self.what == what && self.letter.as_deref() == Some(of)
    }

    /// Returns what it was done with, if it is this.
    pub(super) fn of(self, what: &str) -> Option<String> {
        self.letter.filter(|_| self.what == what)
    }
}

pub(super) async fn earlier(transaction: &mut Transaction, key: &str) -> Result<Option<Earlier>, sqlx::Error> {
    transaction.row::<Earlier>("SELECT what, letter FROM audit WHERE act_key = $1", &[key.into()]).await
}

/// Writes a line of the audit, of a letter, a plan or whatever else.
pub(super) async fn note(
    transaction: &mut Transaction,
    what: &str,
    of: &str,
    Actor { who, why, key }: Actor<'_>,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO audit (at_ms, who, what, letter, why, act_key) VALUES ($1, $2, $3, $4, $5, $6)";
    let binds = [Bind::from(now_ms), who.into(), what.into(), of.into(), why.into(), key.into()];
    transaction.change(sql, &binds).await.map(drop)
}
