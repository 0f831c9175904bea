//! Letters that come from elsewhere: from another ledger, or from the file that they were put away into. None of them is redriven
//! before somebody says so.

use std::collections::{BTreeMap, BTreeSet};

use kit::db::{Bind, Transaction};

use super::act::{earlier, note};
use super::alike::{self, Kind};
use super::fate::{Fate, alarm_of, fates, is_open, state_of, waiting_state};
use super::insert::clean;
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

const COLUMNS: [&str; 34] = [
    "id",
    "source",
    "queue",
    "job",
    "name",
    "message",
    "error_class",
    "error_code",
    "fingerprint",
    "class",
    "rule",
    "action",
    "reason",
    "alarm",
    "state",
    "redrive",
    "order_value",
    "traceparent",
    "found_in",
    "new_job",
    "to_queue",
    "listed",
    "failed_at_ms",
    "http",
    "attempts",
    "stalls",
    "put_in_at_ms",
    "seen_at_ms",
    "changed_at_ms",
    "until_ms",
    "redrives",
    "waits_for_stuck",
    "edited_at_ms",
    "version",
];

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
    let mut binds: Vec<Bind<'_>> = Vec::with_capacity(part.len() * COLUMNS.len());
    for letter in part {
        let is_open = is_open(letter);
        let is_listed = is_open && bringing.listed.contains(letter.source.as_str());
        let reason = if is_open { Some(IMPORTED) } else { letter.reason.as_deref() };
        let texts = [
            Some(letter.id.as_str()),
            Some(&letter.source),
            Some(&letter.queue),
            Some(&letter.job),
            Some(&letter.name),
            Some(&letter.message),
            letter.error_class.as_deref(),
            letter.error_code.as_deref(),
            letter.fingerprint.as_deref(),
            letter.class.as_deref(),
            letter.rule.as_deref(),
            letter.action.as_deref(),
            reason,
            alarm_of(letter),
            Some(state_of(letter)),
            letter.redrive.as_deref(),
            letter.order_value.as_deref(),
            letter.traceparent.as_deref(),
            letter.found_in.as_deref(),
            letter.new_job.as_deref(),
            letter.to_queue.as_deref(),
            is_listed.then_some(""),
        ];
        binds.extend(texts.map(Bind::from));
        let numbers = [
            Some(letter.failed_at_ms),
            letter.http,
            letter.attempts.or(Some(0)),
            letter.stalls.or(Some(0)),
            letter.put_in_at_ms,
            letter.seen_at_ms.or(Some(bringing.now_ms)),
            // As long as others stays what has just come.
            Some(bringing.now_ms),
            letter.until_ms,
            letter.redrives.or(Some(0)),
            letter.waits_for_stuck.or(Some(0)),
            letter.edit.as_ref().map(|edit| edit.at_ms),
            Some(1),
        ];
        binds.extend(numbers.map(Bind::from));
    }
    let (columns, places) = (COLUMNS.join(", "), places(part.len(), COLUMNS.len()));
    let sql = format!("INSERT INTO letters ({columns}) VALUES {places} RETURNING id, number");
    let numbers = transaction.rows::<(String, i64)>(&sql, &binds).await?;
    let numbers: BTreeMap<&str, i64> = numbers.iter().map(|(id, number)| (id.as_str(), *number)).collect();
    for letter in part {
        if let Some(number) = numbers.get(letter.id.as_str()) {
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
