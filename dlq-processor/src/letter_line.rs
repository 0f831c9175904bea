//! Letters as lines of JSON, each whole: what `export --raw` writes, what is put away writes less of (`cold`), and `import` reads.
//! A redacted line is for people and other programs; nothing is made of it again.

use data_encoding::BASE64;
use jiff::Timestamp;
use kit::secrets::redact_line;
use kit::trace::Context;
use serde_json::{Value, json};

use crate::ledger::{Away, LetterId, LetterState, Whole};
use crate::policy::{Action, Alarm, Class, Fingerprint};
use crate::redacted::Redaction;
use crate::source::Episode;

/// Longest line that is read, in bytes. One holds a job twice, as base64: what it held, and all that its queue kept of it. That of a
/// job of 95 MiB has 253 MiB. To export and to import it took 16 s each without optimisation, of the 30 s that a handler has, and a
/// mebibyte of memory for every 256 KiB of the line.
pub(crate) const LONGEST_BYTES: usize = 256 << 20;
/// Names of queues, jobs and the like are no longer than this, in bytes: PostgreSQL's indexes take rows of 2,704.
const NAME_BYTES: usize = 512;
/// And what stands in such an index by itself.
const INDEXED_BYTES: usize = 2000;
/// A message is no longer than this, in bytes: of what a queue says no more is kept.
const MESSAGE_BYTES: usize = 8 * 1024;

/// Bytes as text.
pub(crate) mod base64 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::BASE64;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64.decode(text.as_bytes()).map_err(|_error| D::Error::custom(super::NO_BASE64))
    }
}

/// Bytes as text, if there are some.
pub(crate) mod maybe_base64 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::BASE64;

    #[expect(clippy::ref_option, reason = "serde asks so")]
    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::base64::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let bytes = text.map(|text| BASE64.decode(text.as_bytes())).transpose();
        bytes.map_err(|_error| D::Error::custom(super::NO_BASE64))
    }
}

/// Why bytes cannot be read.
const NO_BASE64: &str = "what is to be base64 is none";

/// Writes a letter with all that it holds, byte for byte.
pub(crate) fn raw(letter: &Whole) -> String {
    json!(letter).to_string() + "\n"
}

/// Writes a letter that is put away, with what it holds and what it takes to know it again.
pub(crate) fn away(letter: &Away) -> String {
    let Away { number, id, source, queue, job, name, failed_at_ms, message, data, kept } = letter.clone();
    let (data, kept) = (Some(data), Some(kept));
    let rest = Whole::default();
    let mut line = json!(Whole { number, id, source, queue, job, name, failed_at_ms, message, data, kept, ..rest });
    if let Some(line) = line.as_object_mut() {
        line.retain(|_field, value| !value.is_null());
    }
    line.to_string() + "\n"
}

/// Writes a letter as an operator may see it.
pub(crate) fn redacted(mut letter: Whole, redaction: &Redaction) -> String {
    let (data, edit) = (letter.data.take(), letter.edit.take());
    letter.kept = None;
    let read = |data: &[u8]| {
        let mut data = serde_json::from_slice(data).unwrap_or_else(|_no_json| json!(String::from_utf8_lossy(data)));
        redaction.hide(&mut data);
        data
    };
    let mut line = json!(letter);
    if let Some(line) = line.as_object_mut() {
        // The value that it is redriven in the order of stands in its data.
        ["data_base64", "kept_base64", "order_value"].iter().for_each(|field| drop(line.remove(*field)));
        let stack = letter.stack.as_deref().and_then(|stack| stack.lines().next()).map(redact_line);
        line.insert("message".to_owned(), json!(redact_line(&letter.message)));
        line.insert("stack".to_owned(), json!(stack));
        line.insert("data".to_owned(), json!(data.as_deref().map(read)));
        let edit = edit.map(|edit| {
            let mut patch: Value = serde_json::from_str(&edit.patch).unwrap_or_default();
            redaction.hide_in_patch(&mut patch);
            json!({ "at_ms": edit.at_ms, "who": edit.who, "why": edit.why, "patch": patch, "data": read(&edit.data) })
        });
        line.insert("edit".to_owned(), json!(edit));
    }
    line.to_string() + "\n"
}

/// The last line of an export: one that lacks it is not whole.
pub(crate) fn end(letters: u64) -> String {
    json!({ "end": true, "letters": letters }).to_string() + "\n"
}

/// How many letters an export has, if this is its last line.
pub(crate) fn read_end(line: &[u8]) -> Option<u64> {
    // Every other line is longer, and some are very long.
    let end: Value = Some(line).filter(|line| line.len() < 100).and_then(|line| serde_json::from_slice(line).ok())?;
    end.get("letters").filter(|_| end.get("end") == Some(&Value::Bool(true)))?.as_u64()
}

/// Reads a letter, of one of these sources.
///
/// # Errors
/// Why it cannot be one, in words that hold nothing of what it holds.
pub(crate) fn read(line: &[u8], sources: &[&str]) -> Result<Whole, String> {
    let letter = serde_json::from_slice(line).map_err(|error| of_json(&error))?;
    check(&letter, sources)?;
    Ok(letter)
}

/// What serde says names values.
fn of_json(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    if !error.is_data() {
        return format!("it is not JSON (column {})", error.column());
    }
    if said.starts_with("unknown field `data`") {
        return "what it held is hidden in it; export it with --raw".to_owned();
    }
    if said.starts_with("missing field") || said == NO_BASE64 {
        return said.to_owned();
    }
    if let Some(field) = said.strip_prefix("unknown field ").and_then(|rest| rest.split(", expected").next()) {
        return format!("unknown field {}", field.chars().take(60).collect::<String>());
    }
    format!("a value is of the wrong kind (column {})", error.column())
}

fn check(letter: &Whole, sources: &[&str]) -> Result<(), String> {
    let Whole { id, source, queue, job, failed_at_ms, message, .. } = letter;
    if !sources.contains(&source.as_str()) {
        return Err(format!("there is no such source here; there are: {}", sources.join(", ")));
    }
    for (field, text) in [("queue", queue), ("job", job)] {
        if text.is_empty() {
            return Err(format!("{field} is empty"));
        }
    }
    let short = [
        ("queue", Some(queue)),
        ("job", Some(job)),
        ("name", Some(&letter.name)),
        ("error_class", letter.error_class.as_ref()),
        ("error_code", letter.error_code.as_ref()),
        ("rule", letter.rule.as_ref()),
        ("reason", letter.reason.as_ref()),
        ("order", letter.redrive.as_ref()),
        ("found_in", letter.found_in.as_ref()),
        ("new_job", letter.new_job.as_ref()),
        ("to_queue", letter.to_queue.as_ref()),
    ];
    let long = [("message", Some(message), MESSAGE_BYTES), ("order_value", letter.order_value.as_ref(), INDEXED_BYTES)];
    for (field, text, most) in short.map(|(field, text)| (field, text, NAME_BYTES)).into_iter().chain(long) {
        if text.is_some_and(|text| text.len() > most) {
            return Err(format!("{field} is longer than {most} bytes"));
        }
    }
    let episode = Episode { queue: queue.clone(), job: job.clone(), failed_at_ms: *failed_at_ms };
    if LetterId::of(source, &episode).as_str() != id {
        return Err("id is not that of its source, queue, job and failed_at_ms".to_owned());
    }
    check_words(letter)?;
    check_numbers(letter)
}

fn check_words(letter: &Whole) -> Result<(), String> {
    let actions = [Action::Redrive(std::time::Duration::ZERO), Action::Park, Action::Quarantine, Action::Escalate];
    for (field, word, words) in [
        ("state", &letter.state, LetterState::ALL.map(LetterState::word).to_vec()),
        ("class", &letter.class, Class::ALL.map(Class::word).to_vec()),
        ("action", &letter.action, actions.map(Action::word).to_vec()),
        ("alarm", &letter.alarm, [Alarm::None, Alarm::Ticket, Alarm::Page].map(Alarm::word).to_vec()),
    ] {
        if word.as_deref().is_some_and(|word| !words.contains(&word)) {
            return Err(format!("{field} is none of {}", words.join(", ")));
        }
    }
    if letter.fingerprint.as_deref().is_some_and(|text| !Fingerprint::is_one(text)) {
        return Err("fingerprint is none: 16 hexadecimal digits; leave it out to have it made".to_owned());
    }
    if letter.traceparent.as_deref().is_some_and(|parent| Context::parse(parent).is_none()) {
        return Err("traceparent is none (W3C Trace Context)".to_owned());
    }
    Ok(())
}

fn check_numbers(letter: &Whole) -> Result<(), String> {
    let counts = [("attempts", letter.attempts), ("stalls", letter.stalls), ("redrives", letter.redrives)];
    let others = [("http", letter.http), ("waits_for_stuck", letter.waits_for_stuck)];
    for (field, count) in counts.into_iter().chain(others) {
        if count.is_some_and(|count| u32::try_from(count).is_err()) {
            return Err(format!("{field} is no count"));
        }
    }
    let times = [
        ("failed_at_ms", Some(letter.failed_at_ms)),
        ("put_in_at_ms", letter.put_in_at_ms),
        ("seen_at_ms", letter.seen_at_ms),
        ("until_ms", letter.until_ms),
        ("edit", letter.edit.as_ref().map(|edit| edit.at_ms)),
    ];
    for (field, time) in times {
        if time.is_some_and(|ms| Timestamp::from_millisecond(ms).is_err()) {
            return Err(format!("{field} is no time"));
        }
    }
    Ok(())
}
