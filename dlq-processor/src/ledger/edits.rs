//! Edits of what jobs held: beside what they held, replaced or removed until the letter is redriven.

use kit::db::{Bind, Transaction};
use serde_json::Value;

use super::act::{earlier, note};
use super::removal::{IS_REMOVED, is_removed};
use super::{Acted, Actor, Intended, Ledger, LedgerError};
use crate::edit::{EditError, apply};

/// An edit.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Edit {
    /// When it was made, in milliseconds since the epoch.
    pub at_ms: i64,
    /// By whom.
    pub who: String,
    /// Why.
    pub why: String,
    /// As JSON Patch (RFC 6902).
    pub patch: String,
    /// What the job would hold.
    pub data: Vec<u8>,
}

/// What came of an edit.
#[derive(Debug, PartialEq, Eq)]
pub enum Edited {
    /// As of any act.
    Acted(Acted),
    /// It cannot be made.
    Refused(EditError),
}

impl Edited {
    const EDIT: &str = "edit";
    const UNEDIT: &str = "unedit";
}

/// States in which nothing is under way, nor has come to its end.
const EDITABLE: [&str; 9] =
    ["observed", "scheduled", "parked", "quarantined", "escalated", "withdrawn", "uncertain", "discarded", "expired"];

impl Ledger {
    /// Edits what the job of a letter held, in place of an earlier edit; without a patch that is removed.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn edit(
        &self,
        letter: &str,
        patch: Option<&Value>,
        actor: Actor<'_>,
        now_ms: i64,
    ) -> Result<Edited, LedgerError> {
        let what = if patch.is_some() { Edited::EDIT } else { Edited::UNEDIT };
        self.write(async |transaction| {
            if let Some(earlier) = earlier(transaction, actor.key).await? {
                return Ok(Edited::Acted(if earlier.is(what, letter) { Acted::Before } else { Acted::KeyTaken }));
            }
            let sql =
                "SELECT number, state, reason, data FROM letters LEFT JOIN payloads ON payloads.letter = letters.number
                WHERE id = $1";
            let found = transaction.row::<(i64, String, String, Option<Vec<u8>>)>(sql, &[letter.into()]).await?;
            let Some((number, state, reason, data)) = found else { return Ok(Edited::Acted(Acted::Unknown)) };
            let not = |why: &str| Ok(Edited::Acted(Acted::Not(why.to_owned())));
            if is_removed(&state, &reason) {
                return not(IS_REMOVED);
            }
            if !EDITABLE.contains(&state.as_str()) {
                return not(&state);
            }
            let edited = match edited(patch, data) {
                Ok(edited) => edited,
                Err(refused) => return Ok(refused),
            };
            // Somebody may have begun to redrive it since it was read: then it is too late.
            let sql = "UPDATE letters SET edited_at_ms = $1, version = version + 1 WHERE number = $2 AND state = $3";
            let edited_at_ms = edited.as_ref().map(|_| now_ms);
            let binds = [edited_at_ms.into(), number.into(), state.as_str().into()];
            if transaction.change(sql, &binds).await? == 0 {
                return not("changing");
            }
            if let (Some(patch), Some(edited)) = (patch, edited) {
                write_edit(transaction, number, patch, &edited, actor, now_ms).await?;
            } else if transaction.change("DELETE FROM edits WHERE letter = $1", &[number.into()]).await? == 0 {
                return not("not edited");
            }
            note(transaction, what, letter, actor, now_ms).await?;
            Ok(Edited::Acted(Acted::Done))
        })
        .await
    }

    /// Returns the edit of a letter, if there is one.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn edit_of(&self, letter: &str) -> Result<Option<Edit>, LedgerError> {
        let sql = "SELECT at_ms, who, why, patch, data FROM edits
            WHERE letter = (SELECT number FROM letters WHERE id = $1)";
        self.read(async |transaction| transaction.row::<Edit>(sql, &[letter.into()]).await).await
    }

    /// Returns what the jobs of letters hold after their edits, in their order; nothing of those that were not edited.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn edited(&self, letters: &[Intended]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
        self.read(async |transaction| {
            let mut edited = Vec::with_capacity(letters.len());
            for letter in letters {
                let sql = "SELECT data FROM edits WHERE letter = (SELECT number FROM letters WHERE id = $1)";
                let found = transaction.row::<(Vec<u8>,)>(sql, &[letter.id.as_str().into()]).await?;
                edited.push(found.map(|(data,)| data));
            }
            Ok(edited)
        })
        .await
    }
}

/// Returns what a job would hold; nothing without a patch.
fn edited(patch: Option<&Value>, data: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Edited> {
    let Some(patch) = patch else { return Ok(None) };
    let data = data.ok_or_else(|| Edited::Acted(Acted::Not("put away".to_owned())))?;
    apply(&data, patch).map(Some).map_err(Edited::Refused)
}

async fn write_edit(
    transaction: &mut Transaction,
    number: i64,
    patch: &Value,
    edited: &[u8],
    Actor { who, why, .. }: Actor<'_>,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO edits (letter, at_ms, who, why, patch, data) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (letter) DO UPDATE SET at_ms = excluded.at_ms, who = excluded.who, why = excluded.why,
            patch = excluded.patch, data = excluded.data";
    let patch = patch.to_string();
    let binds = [Bind::from(number), now_ms.into(), who.into(), why.into(), patch.as_str().into(), edited.into()];
    transaction.change(sql, &binds).await.map(drop)
}
