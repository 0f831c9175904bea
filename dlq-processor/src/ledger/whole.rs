//! Letters with all that is known of them and all that they hold, in the order in which they were taken in: a part at a time, each
//! read by itself, so that however many there are nobody waits for the ledger.

use std::collections::BTreeMap;

use kit::db::Transaction;
use serde::{Deserialize, Serialize};

use super::{Filter, Ledger, LedgerError};
use crate::letter_line::{base64, maybe_base64};

/// Letters of a part, at most.
const MOST: usize = 100;
/// What a part holds, in bytes; one letter that holds more is a part of its own.
const PART_BYTES: i64 = 4 << 20;
/// Letters that are looked through by one statement.
const SPAN: i64 = 100_000;

/// A letter. As JSON it is a line of an export; one of a cold file has what is no [`Option`], and its payload.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whole {
    /// Counts letters of its ledger.
    #[serde(default)]
    pub number: i64,
    /// Names it.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// The queue.
    pub queue: String,
    /// The job's id in it.
    pub job: String,
    /// The job's name.
    pub name: String,
    /// When the job failed, in milliseconds since the epoch.
    pub failed_at_ms: i64,
    /// In whose words it failed.
    pub message: String,
    /// What the job held; none if that is not in the ledger any more.
    #[sqlx(skip)]
    #[serde(rename = "data_base64", default, with = "maybe_base64")]
    pub data: Option<Vec<u8>>,
    /// All that its source kept of it.
    #[sqlx(skip)]
    #[serde(rename = "kept_base64", default, with = "maybe_base64")]
    pub kept: Option<Vec<u8>>,
    /// The kind of error.
    pub error_class: Option<String>,
    /// The code of its error.
    pub error_code: Option<String>,
    /// The status that its error names.
    pub http: Option<i64>,
    /// Its newest stack trace.
    #[sqlx(skip)]
    pub stack: Option<String>,
    /// Tries of its job that came to an end.
    pub attempts: Option<i64>,
    /// How often its worker was not heard of again.
    pub stalls: Option<i64>,
    /// When its job was put in, in milliseconds since the epoch.
    pub put_in_at_ms: Option<i64>,
    /// Which others are alike.
    pub fingerprint: Option<String>,
    /// What it is.
    pub class: Option<String>,
    /// The rule that says so.
    pub rule: Option<String>,
    /// What was decided.
    pub action: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whom it wakes.
    pub alarm: Option<String>,
    /// How far it has come.
    pub state: Option<String>,
    /// When it was taken in, in milliseconds since the epoch.
    pub seen_at_ms: Option<i64>,
    /// When it is redriven at the earliest.
    pub due_at_ms: Option<i64>,
    /// When its state changed.
    pub changed_at_ms: Option<i64>,
    /// Until when it is redriven unasked.
    pub until_ms: Option<i64>,
    /// How often its job was redriven unasked.
    pub redrives: Option<i64>,
    /// The order to redrive it, if there was one.
    #[serde(rename = "order")]
    pub redrive: Option<String>,
    /// With which others it is redriven one after another.
    pub order_value: Option<String>,
    /// Whether it waits also for those of them that wait for a person: 1 if so.
    pub waits_for_stuck: Option<i64>,
    /// The span that put its job in (W3C Trace Context).
    pub traceparent: Option<String>,
    /// The queue that told of it, if it is not the one that it failed in.
    pub found_in: Option<String>,
    /// The id under which its job was put back, if it is another.
    pub new_job: Option<String>,
    /// The queue that it goes to, if it is another.
    pub to_queue: Option<String>,
    /// The file that what it held was put into.
    pub cold: Option<String>,
    /// What its job is to hold instead.
    #[sqlx(skip)]
    pub edit: Option<WholeEdit>,
}

/// An edit of what a job held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeEdit {
    /// When it was made, in milliseconds since the epoch.
    pub at_ms: i64,
    /// By whom.
    pub who: String,
    /// Why.
    pub why: String,
    /// As JSON Patch (RFC 6902).
    pub patch: String,
    /// What the job would hold.
    #[serde(rename = "data_base64", with = "base64")]
    pub data: Vec<u8>,
}

/// Which letters are read, and how far.
#[derive(Debug, Clone)]
pub struct Reading {
    filter: Filter,
    lead: Option<&'static str>,
    after: i64,
    /// Those that are taken in later are not read.
    last: i64,
}

const COLUMNS: &str = "number, id, source, queue, job, name, failed_at_ms, message, error_class, error_code, http, attempts,
    stalls, put_in_at_ms, fingerprint, class, rule, action, reason, alarm, state, seen_at_ms, due_at_ms, changed_at_ms, until_ms,
    redrives, redrive, order_value, waits_for_stuck, traceparent, found_in, new_job, to_queue, cold";

/// What a letter holds, in bytes.
const BYTES: &str = "CAST(COALESCE((SELECT LENGTH(data) + LENGTH(kept) FROM payloads WHERE letter = letters.number), 0)
    + COALESCE((SELECT LENGTH(stack) FROM stacks WHERE letter = letters.number), 0)
    + COALESCE((SELECT LENGTH(data) FROM edits WHERE letter = letters.number), 0) AS BIGINT) AS bytes";

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    whole: Whole,
    bytes: i64,
}

impl Ledger {
    /// Begins to read the letters that a filter chooses, those that there are now.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn begin_reading(&self, filter: Filter) -> Result<Reading, LedgerError> {
        let (lead, last) = self
            .read(async |transaction| {
                let lead = filter.lead(transaction).await?;
                let last = transaction.row::<(i64,)>("SELECT COALESCE(MAX(number), 0) FROM letters", &[]).await?;
                Ok((lead, last.map_or(0, |(last,)| last)))
            })
            .await?;
        let last = filter.before.map_or(last, |before| last.min(before.saturating_sub(1)));
        Ok(Reading { filter, lead, after: 0, last })
    }

    /// Returns the letters of the next part that the filter chooses, which may be none; nothing if that was all.
    ///
    /// # Errors
    /// [`LedgerError`]; then the same ones are next.
    pub async fn read_on(&self, reading: &mut Reading) -> Result<Option<Vec<Whole>>, LedgerError> {
        if reading.after >= reading.last {
            return Ok(None);
        }
        let end = match reading.lead {
            Some(_) => reading.last,
            None => reading.last.min(reading.after.saturating_add(SPAN)),
        };
        let (letters, read_to) = self.read_part(reading, end).await?;
        reading.after = read_to;
        Ok(Some(letters))
    }

    /// Returns the first letters with numbers up to `end`, and the number that was come to.
    async fn read_part(&self, reading: &Reading, end: i64) -> Result<(Vec<Whole>, i64), LedgerError> {
        let filter = Filter { before: Some(end.saturating_add(1)), ..reading.filter.clone() };
        let pattern = filter.pattern();
        let mut condition = filter.to_where(&pattern, reading.lead);
        let after = condition.bind(reading.after.into());
        let sql = format!(
            "SELECT {COLUMNS}, {BYTES} FROM letters WHERE {} AND number > {after} ORDER BY number LIMIT {MOST}",
            condition.sql
        );
        let rows = self.read(async |transaction| transaction.rows::<Row>(&sql, &condition.binds).await).await?;
        let seen_to = rows.last().filter(|_| rows.len() == MOST).map_or(end, |last| last.whole.number);
        // What letters hold is read of those alone that are wanted.
        let rows = self.searches.begin().find(&reading.filter, rows, |row| &row.whole.message).await?;
        let wanted = rows.len();
        let mut letters = as_many_as_fit(rows);
        let read_to = letters.last().filter(|_| letters.len() < wanted).map_or(seen_to, |last| last.number);
        self.read(async |transaction| hold(transaction, &mut letters).await).await?;
        Ok((letters, read_to))
    }
}

/// At least one.
fn as_many_as_fit(rows: Vec<Row>) -> Vec<Whole> {
    let (mut letters, mut bytes) = (Vec::new(), 0_i64);
    for row in rows {
        bytes = bytes.saturating_add(row.bytes);
        if bytes > PART_BYTES && !letters.is_empty() {
            break;
        }
        letters.push(row.whole);
    }
    letters
}

/// Adds what letters hold.
async fn hold(transaction: &mut Transaction, letters: &mut [Whole]) -> Result<(), sqlx::Error> {
    if letters.is_empty() {
        return Ok(());
    }
    let numbers: Vec<String> = letters.iter().map(|letter| letter.number.to_string()).collect();
    let of = format!("WHERE letter IN ({})", numbers.join(", "));
    let sql = format!("SELECT letter, data, kept FROM payloads {of}");
    let payloads = transaction.rows::<(i64, Vec<u8>, Vec<u8>)>(&sql, &[]).await?;
    let mut payloads: BTreeMap<_, _> =
        payloads.into_iter().map(|(letter, data, kept)| (letter, (data, kept))).collect();
    let stacks = transaction.rows::<(i64, String)>(&format!("SELECT letter, stack FROM stacks {of}"), &[]).await?;
    let mut stacks: BTreeMap<_, _> = stacks.into_iter().collect();
    let sql = format!("SELECT letter, at_ms, who, why, patch, data FROM edits {of}");
    let edits = transaction.rows::<(i64, i64, String, String, String, Vec<u8>)>(&sql, &[]).await?;
    let edit = |(letter, at_ms, who, why, patch, data)| (letter, WholeEdit { at_ms, who, why, patch, data });
    let mut edits: BTreeMap<i64, WholeEdit> = edits.into_iter().map(edit).collect();
    for letter in letters {
        (letter.data, letter.kept) = payloads.remove(&letter.number).unzip();
        letter.stack = stacks.remove(&letter.number);
        letter.edit = edits.remove(&letter.number);
    }
    Ok(())
}
