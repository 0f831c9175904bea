//! Letters that come from elsewhere: from another ledger, or from the file that they were put away into. None of them is redriven
//! before somebody says so.

use std::collections::{BTreeMap, BTreeSet};

use kit::db::{Bind, Transaction};

use super::act::{earlier, note};
use super::alike::{self, Kind};
use super::fate::{Fate, alarm_of, fates, is_open, state_of, waiting_state};
use super::insert::{clean, insert_letters};
use super::{Actor, Ledger, LedgerError, ROWS, Whole, places};

/// Who brings letters, and how.
#[derive(Debug, Clone, Copy)]
pub struct Bringing<'a> {
    /// Who, why, and under which key.
    pub actor: Actor<'a>,
    /// Names the letters for ever.
    pub of: &'a str,
    /// Whether nothing is changed.
    pub is_dry: bool,
    /// Sources whose letters are put into lists.
    pub listed: &'a BTreeSet<&'a str>,
    /// When, in milliseconds since the epoch.
    pub now_ms: i64,
}

/// What the audit calls it, of the letters and of each of them.
const IMPORT: &str = "import";
/// Why a letter is as it is.
const IMPORTED: &str = "imported";

impl Ledger {
    /// Takes letters in as they are, each with a class and all else that is decided, and says of each what became of it; nothing if
    /// the key was used for something else. One that waited for anything waits for a person, who is told of it, one that may have
    /// been done by then is uncertain, and one that was in quarantine is there again. Brought once more under the same key they are
    /// all here already.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn bring(&self, letters: Vec<Whole>, bringing: Bringing<'_>) -> Result<Option<Vec<Fate>>, LedgerError> {
        let letters: Vec<Whole> = letters.into_iter().map(cleaned).collect();
        if bringing.is_dry {
            return self.read(async |transaction| fates(transaction, &letters).await.map(Some)).await;
        }
        self.write(async |transaction| {
            let Bringing { actor, of, now_ms, .. } = bringing;
            let earlier = earlier(transaction, actor.key).await?;
            if earlier.as_ref().is_some_and(|earlier| !earlier.is(IMPORT, of)) {
                return Ok(None);
            }
            let fates = fates(transaction, &letters).await?;
            let with = |wanted: Fate| letters.iter().zip(&fates).filter(move |(_, fate)| **fate == wanted);
            let new: Vec<&Whole> = with(Fate::New).map(|(letter, _)| letter).collect();
            for part in new.chunks(ROWS) {
                insert(transaction, part, &bringing).await?;
            }
            for (letter, _) in with(Fate::Back) {
                fill(transaction, letter, now_ms).await?;
            }
            let changed = with(Fate::New).chain(with(Fate::Back));
            note_each(transaction, &changed.map(|(letter, _)| letter.id.as_str()).collect::<Vec<_>>(), &bringing)
                .await?;
            if earlier.is_none() {
                note(transaction, IMPORT, of, actor, now_ms).await?;
            }
            Ok(Some(fates))
        })
        .await
    }
}

async fn insert(transaction: &mut Transaction, part: &[&Whole], bringing: &Bringing<'_>) -> Result<(), sqlx::Error> {
    let mut letters = Vec::with_capacity(part.len());
    for letter in part {
        let is_open = is_open(letter);
        let is_listed = is_open && bringing.listed.contains(letter.source.as_str());
        let reason = if is_open { Some(IMPORTED) } else { letter.reason.as_deref() };
        letters.push([
            ("id", Bind::from(letter.id.as_str())),
            ("source", letter.source.as_str().into()),
            ("queue", letter.queue.as_str().into()),
            ("job", letter.job.as_str().into()),
            ("name", letter.name.as_str().into()),
            ("message", letter.message.as_str().into()),
            ("error_class", letter.error_class.as_deref().into()),
            ("error_code", letter.error_code.as_deref().into()),
            ("fingerprint", letter.fingerprint.as_deref().into()),
            ("class", letter.class.as_deref().into()),
            ("rule", letter.rule.as_deref().into()),
            ("action", letter.action.as_deref().into()),
            ("reason", reason.into()),
            ("alarm", alarm_of(letter).into()),
            ("state", state_of(letter).into()),
            ("redrive", letter.redrive.as_deref().into()),
            ("order_value", letter.order_value.as_deref().into()),
            ("traceparent", letter.traceparent.as_deref().into()),
            ("found_in", letter.found_in.as_deref().into()),
            ("new_job", letter.new_job.as_deref().into()),
            ("to_queue", letter.to_queue.as_deref().into()),
            ("listed", is_listed.then_some("").into()),
            ("failed_at_ms", letter.failed_at_ms.into()),
            ("http", letter.http.into()),
            ("attempts", letter.attempts.unwrap_or(0).into()),
            ("stalls", letter.stalls.unwrap_or(0).into()),
            ("put_in_at_ms", letter.put_in_at_ms.into()),
            ("seen_at_ms", letter.seen_at_ms.unwrap_or(bringing.now_ms).into()),
            // As long as others stays what has just come.
            ("changed_at_ms", bringing.now_ms.into()),
            ("until_ms", letter.until_ms.into()),
            ("redrives", letter.redrives.unwrap_or(0).into()),
            ("waits_for_stuck", letter.waits_for_stuck.unwrap_or(0).into()),
            ("edited_at_ms", letter.edit.as_ref().map(|edit| edit.at_ms).into()),
            ("version", 1_i64.into()),
        ]);
    }
    let numbers = insert_letters(transaction, &letters, "").await?;
    for letter in part {
        if let Some(number) = numbers.get(&letter.id) {
            insert_held(transaction, letter, *number).await?;
        }
    }
    count_alike(transaction, part, bringing.now_ms).await
}

/// What a letter holds.
async fn insert_held(transaction: &mut Transaction, letter: &Whole, number: i64) -> Result<(), sqlx::Error> {
    if let (Some(data), Some(kept)) = (&letter.data, &letter.kept) {
        let sql = "INSERT INTO payloads (letter, data, kept) VALUES ($1, $2, $3)";
        transaction.change(sql, &[number.into(), data.as_slice().into(), kept.as_slice().into()]).await?;
    }
    if let Some(stack) = &letter.stack {
        let sql = "INSERT INTO stacks (letter, stack) VALUES ($1, $2)";
        transaction.change(sql, &[number.into(), stack.as_str().into()]).await?;
    }
    if let Some(edit) = &letter.edit {
        let sql = "INSERT INTO edits (letter, at_ms, who, why, patch, data) VALUES ($1, $2, $3, $4, $5, $6)";
        let texts = [&edit.who, &edit.why, &edit.patch].map(|text| Bind::from(text.as_str()));
        let [who, why, patch] = texts;
        let binds = [Bind::from(number), edit.at_ms.into(), who, why, patch, edit.data.as_slice().into()];
        transaction.change(sql, &binds).await?;
    }
    Ok(())
}

/// Gives a letter back what it held.
async fn fill(transaction: &mut Transaction, letter: &Whole, now_ms: i64) -> Result<(), sqlx::Error> {
    let (Some(data), Some(kept)) = (&letter.data, &letter.kept) else { return Ok(()) };
    let sql = "INSERT INTO payloads (letter, data, kept)
        SELECT number, $1, $2 FROM letters WHERE id = $3";
    let id = letter.id.as_str();
    transaction.change(sql, &[data.as_slice().into(), kept.as_slice().into(), id.into()]).await?;
    let sql = "UPDATE letters SET state = $1, reason = $2, cold = NULL, due_at_ms = NULL, changed_at_ms = $3,
        version = version + 1, alarm = CASE WHEN alarm = 'none' THEN 'ticket' ELSE alarm END WHERE id = $4";
    let state = waiting_state(letter).word();
    transaction.change(sql, &[state.into(), IMPORTED.into(), now_ms.into(), id.into()]).await.map(drop)
}

/// Counts failures that are alike.
async fn count_alike(transaction: &mut Transaction, part: &[&Whole], now_ms: i64) -> Result<(), sqlx::Error> {
    let mut alike: BTreeMap<&str, (i64, &Whole)> = BTreeMap::new();
    for letter in part {
        let fingerprint = letter.fingerprint.as_deref().unwrap_or_default();
        alike.entry(fingerprint).or_insert((0, letter)).0 += 1;
    }
    for (fingerprint, (count, letter)) in alike {
        let Whole { queue, name, class, message, seen_at_ms, .. } = letter;
        let class = class.as_deref().unwrap_or_default();
        let kind = Kind { fingerprint, queue, name, class, message };
        alike::count_alike(transaction, kind, count, seen_at_ms.unwrap_or(now_ms)).await?;
    }
    Ok(())
}

/// Writes in the audit of each letter that somebody brought it.
async fn note_each(transaction: &mut Transaction, ids: &[&str], of: &Bringing<'_>) -> Result<(), sqlx::Error> {
    for part in ids.chunks(ROWS) {
        let sql = format!("INSERT INTO audit (at_ms, who, what, letter, why) VALUES {}", places(part.len(), 5));
        let Actor { who, why, .. } = of.actor;
        let mut binds: Vec<Bind<'_>> = Vec::with_capacity(part.len() * 5);
        for id in part {
            binds.extend([Bind::from(of.now_ms), who.into(), IMPORT.into(), (*id).into(), why.into()]);
        }
        transaction.change(&sql, &binds).await?;
    }
    Ok(())
}

/// Without what PostgreSQL takes for no text.
fn cleaned(mut letter: Whole) -> Whole {
    let texts = [&mut letter.queue, &mut letter.job, &mut letter.name, &mut letter.message];
    let others = [
        &mut letter.error_class,
        &mut letter.error_code,
        &mut letter.stack,
        &mut letter.fingerprint,
        &mut letter.rule,
        &mut letter.reason,
        &mut letter.redrive,
        &mut letter.order_value,
        &mut letter.found_in,
        &mut letter.new_job,
        &mut letter.to_queue,
    ];
    let edit = letter.edit.as_mut().map(|edit| [&mut edit.who, &mut edit.why, &mut edit.patch]);
    let all = texts.into_iter().chain(others.into_iter().flatten()).chain(edit.into_iter().flatten());
    all.filter(|text| text.contains('\0')).for_each(|text| *text = clean(text));
    letter
}
