//! An entry of a dead letter queue as the original's queue-processor writes it: a job that holds what failed in another queue.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A failure, as an entry tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The queue that the job failed in.
    pub(super) queue: String,
    /// Its id there, if that is said.
    pub(super) job: Option<String>,
    /// Its name, if that is said.
    pub(super) name: Option<String>,
    /// What it held, byte for byte as it stands in the entry.
    pub(super) data: Vec<u8>,
    /// Why it failed.
    pub(super) reason: Option<String>,
    /// When, in milliseconds since the epoch, if that is said.
    pub(super) failed_at_ms: Option<i64>,
    /// Tries that came to an end.
    pub(super) attempts: u32,
}

/// Queues, jobs and their names are no longer than this, in bytes: PostgreSQL's indexes take rows of 2,704.
const NAME_BYTES: usize = 512;
/// What stands beside jobs in the keys of a queue (BullMQ 4 to 6): no job has such an id.
const NO_JOBS: [&str; 18] = [
    "wait",
    "paused",
    "active",
    "delayed",
    "prioritized",
    "priority",
    "completed",
    "failed",
    "waiting-children",
    "meta",
    "events",
    "marker",
    "pc",
    "id",
    "stalled",
    "stalled-check",
    "limiter",
    "repeat",
];

/// And beside one job.
const BESIDE_JOBS: [&str; 6] = ["lock", "logs", "dependencies", "processed", "failed", "unsuccessful"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    original_queue: Option<Value>,
    original_job_id: Option<Value>,
    original_job_name: Option<Value>,
    #[serde(borrow, default, deserialize_with = "raw")]
    original_job_data: Option<&'a RawValue>,
    failure_reason: Option<Value>,
    failed_at: Option<Value>,
    attempts: Option<Value>,
}

/// Also of `null`, which is what a job may hold.
fn raw<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Reads the data of a job of the queue `own`.
///
/// # Errors
/// Why it is no such entry, in one sentence that holds nothing of it.
pub(super) fn read(data: &[u8], own: &str) -> Result<Entry, String> {
    // A list would be read field by field.
    let raw = Some(data).filter(|data| data.trim_ascii_start().starts_with(b"{"));
    let raw: Option<Raw<'_>> = raw.and_then(|data| serde_json::from_slice(data).ok());
    let raw = raw.ok_or_else(|| format!("this entry of {own} is not a JSON object that can be read"))?;
    let queue = raw.original_queue.and_then(text).ok_or_else(|| format!("this entry of {own} has no originalQueue"))?;
    if queue == own {
        return Err(format!("this entry of {own} names {own} itself as its originalQueue"));
    }
    let (job, name) = (raw.original_job_id.and_then(text), raw.original_job_name.and_then(text));
    let is_name = |text: &&String| text.len() <= NAME_BYTES && !text.chars().any(char::is_control);
    if !is_name(&&queue) || !job.iter().chain(&name).all(|text| is_name(&text)) {
        return Err(format!("this entry of {own} has a name longer than {NAME_BYTES} bytes, or one that is not text"));
    }
    if job.as_deref().is_some_and(is_no_job) {
        return Err(format!("this entry of {own} has an originalJobId that no job can have"));
    }
    Ok(Entry {
        queue,
        job,
        name,
        // As BullMQ writes what is not said (`Job.asJSON`).
        data: raw.original_job_data.map_or("{}", RawValue::get).as_bytes().to_vec(),
        reason: raw.failure_reason.map(|reason| text(reason.clone()).unwrap_or_else(|| reason.to_string())),
        failed_at_ms: raw.failed_at.and_then(time_ms),
        attempts: raw.attempts.and_then(|it| u32::try_from(it.as_u64()?).ok()).unwrap_or_default(),
    })
}

/// Whether that is a key which stands beside jobs, or beside one.
pub(super) fn is_no_job(id: &str) -> bool {
    let beside = id.rsplit_once(':').is_some_and(|(_, part)| BESIDE_JOBS.contains(&part));
    beside || NO_JOBS.contains(&id) || id.starts_with("dlq-")
}

/// A text that says something, or a whole number as one.
fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// Of `Date.toISOString`, or of `Date.now`.
fn time_ms(value: Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
        Value::Number(number) => number.as_i64().filter(|ms| Timestamp::from_millisecond(*ms).is_ok()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_held_is_cut_out_byte_for_byte() {
        for data in
            [r#"{ "b":1.0,  "a": "\u0000\ud83d\ude00é\/" , "big": 12345678901234567890123 }"#, "null", "7", r#""x""#]
        {
            let entry = format!(
                r#"{{"originalQueue":"mails","originalJobId":7,"originalJobData":{data},"failedAt":"2026-01-31T12:00:00.250Z"}}"#
            );
            let entry = read(entry.as_bytes(), "dead-letter-queue").unwrap();
            assert_eq!(str::from_utf8(&entry.data).unwrap(), data);
            assert_eq!((entry.job.as_deref(), entry.failed_at_ms), (Some("7"), Some(1_769_860_800_250)));
        }
    }

    #[test]
    fn what_is_not_said_is_left_open() {
        let entry = read(br#"{"originalQueue":"mails","failureReason":{"a":1},"failedAt":"soon"}"#, "d").unwrap();
        let Entry { job, name, data, reason, failed_at_ms, attempts, .. } = entry;
        assert_eq!((job, name, data.as_slice(), failed_at_ms, attempts), (None, None, b"{}".as_slice(), None, 0));
        assert_eq!(reason.as_deref(), Some(r#"{"a":1}"#));
        let entry =
            read(br#"{"originalQueue":"a","failureReason":"boom","attempts":3,"failedAt":17,"x":0}"#, "d").unwrap();
        assert_eq!((entry.reason.as_deref(), entry.attempts, entry.failed_at_ms), (Some("boom"), 3, Some(17)));
    }

    #[test]
    fn what_is_no_entry_is_told_why_and_nothing_of_it() {
        for (data, expected) in [
            (&b"hunter2"[..], "is not a JSON object that can be read"),
            (b"", "is not a JSON object that can be read"),
            (b"[\"mails\",1,1,1,1,1,1]", "is not a JSON object that can be read"),
            (b"\"hunter2\"", "is not a JSON object that can be read"),
            (b"{\"originalQueue\":\"\xff\"}", "is not a JSON object that can be read"),
            (b"{}", "this entry of d has no originalQueue"),
            (b"{\"originalQueue\":\"\"}", "has no originalQueue"),
            (b"{\"originalQueue\":[\"hunter2\"]}", "has no originalQueue"),
            (b"{\"originalQueue\":\"d\"}", "names d itself as its originalQueue"),
            (b"{\"originalQueue\":\"hunter2\\u0000\"}", "or one that is not text"),
            (b"{\"originalQueue\":\"a\",\"originalJobId\":\"delayed\"}", "an originalJobId that no job can have"),
            (b"{\"originalQueue\":\"a\",\"originalJobId\":\"hunter2:lock\"}", "an originalJobId that no job can have"),
        ] {
            let why = read(data, "d").unwrap_err();
            assert!(why.contains(expected) && !why.contains("hunter2"), "{why}");
        }
    }
}
