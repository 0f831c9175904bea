//! A job's hash, read: what BullMQ 4 to 6 write there.

use kit::trace::Context;
use serde::Deserialize;

use super::super::asked_by;
use super::super::found::{Episode, Found};
use super::super::redis::kept::{Hash, field, join};

/// Longest options that are looked through, in bytes.
const LONGEST_OPTIONS: usize = 64 << 10;

/// Options of a job, with the short names that BullMQ writes (`Job.optsAsJSON`).
#[derive(Deserialize)]
struct Options {
    /// What the producer's telemetry handed on (`telemetry.metadata`): of OpenTelemetry's the headers of W3C Trace Context, as JSON.
    tm: String,
}

/// Headers of W3C Trace Context.
#[derive(Deserialize)]
struct Handed {
    traceparent: String,
}

/// Reads a failed job. None if it has not failed (any more), or there is none.
pub(super) fn read(queue: &str, job: &str, hash: Hash) -> Option<Found> {
    let bytes = |name: &str| field(&hash, name);
    // What is no UTF-8 is shown as well as can be; what counts is kept byte for byte.
    let text = |name| bytes(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let number = |name| text(name).and_then(|text| text.parse::<i64>().ok());
    let count = |name| number(name).and_then(|number| u32::try_from(number).ok());
    let episode = Episode { queue: queue.to_owned(), job: job.to_owned(), failed_at_ms: number("finishedOn")? };
    // `failedReason` is there also where what was thrown had none.
    let reason = text("failedReason");
    reason.as_ref()?;
    Some(Found {
        episode,
        name: text("name").unwrap_or_default(),
        data: bytes("data").unwrap_or_default().to_vec(),
        stack: text("stacktrace").and_then(|text| newest(&text)),
        // The second is of BullMQ 4; a queue that moved on since has both.
        attempts: count("atm").max(count("attemptsMade")).unwrap_or_default(),
        // The second is of BullMQ 4 and 5.0.
        stalls: count("stc").max(count("stalledCounter")).unwrap_or_default(),
        is_in_flow: bytes("parentKey").is_some(),
        put_in_at_ms: number("timestamp"),
        asked_by: bytes("opts").and_then(asked_by),
        kept: join(&hash),
        reason,
        found_in: None,
    })
}

pub(super) fn asked_by(options: &[u8]) -> Option<Context> {
    let options = Some(options).filter(|options| options.len() <= LONGEST_OPTIONS)?;
    let Options { tm } = serde_json::from_slice(options).ok()?;
    asked_by::read(&serde_json::from_str::<Handed>(&tm).ok()?.traceparent)
}

/// The last of a JSON list.
fn newest(stacks: &str) -> Option<String> {
    serde_json::from_str::<Vec<Option<String>>>(stacks).ok()?.pop().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(fields: &[(&str, &str)]) -> Hash {
        fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_failed_job_is_read_in_every_layout() {
        let base = [("name", "mail"), ("data", "{\"a\":\"\u{0}é\"}"), ("failedReason", "boom"), ("finishedOn", "17")];
        let read = |more: &[(&str, &str)]| super::read("q", "1", hash(&[&base, more].concat())).unwrap();
        let found =
            read(&[("atm", "3"), ("stc", "2"), ("timestamp", "9"), ("stacktrace", "[\"a\",\"Error: b\\n at\"]")]);
        assert_eq!((found.attempts, found.stalls, found.put_in_at_ms), (3, 2, Some(9)));
        assert_eq!((found.stack.as_deref(), found.reason.as_deref()), (Some("Error: b\n at"), Some("boom")));
        assert_eq!((found.data.as_slice(), found.episode.failed_at_ms), ("{\"a\":\"\u{0}é\"}".as_bytes(), 17));
        assert_eq!(read(&[("attemptsMade", "4"), ("parentKey", "bull:p:1")]).attempts, 4);
        assert!(read(&[("parentKey", "bull:p:1")]).is_in_flow);
        assert_eq!(read(&[("stalledCounter", "2")]).stalls, 2);
        assert_eq!(read(&[("stacktrace", "[]")]).stack, None);
        assert_eq!(read(&[("stacktrace", "no list"), ("atm", "x"), ("stc", "-1")]).stalls, 0);
    }

    #[test]
    fn who_put_a_job_in_is_read_where_it_can_be_and_nothing_worse() {
        const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let handed =
            |traceparent: &str| serde_json::json!({ "traceparent": traceparent, "baggage": "a=1" }).to_string();
        let check = |options: String, expected: Option<&str>| {
            let fields = [("failedReason", "x"), ("finishedOn", "7"), ("opts", options.as_str())];
            let found = read("q", "1", hash(&fields)).unwrap();
            assert_eq!(found.asked_by.map(|it| it.traceparent()).as_deref(), expected, "{options:.99}");
        };
        check(serde_json::json!({ "attempts": 3, "tm": handed(GIVEN), "omc": true }).to_string(), Some(GIVEN));
        check(serde_json::json!({ "tm": handed("00-nothing") }).to_string(), None);
        check(serde_json::json!({ "tm": handed(&"cc-".repeat(200)) }).to_string(), None);
        check(serde_json::json!({ "tm": { "traceparent": GIVEN } }).to_string(), None);
        check(serde_json::json!({ "tm": "no JSON" }).to_string(), None);
        check(serde_json::json!({ "tm": handed(GIVEN), "more": "x".repeat(LONGEST_OPTIONS) }).to_string(), None);
        check("no JSON".to_owned(), None);
    }

    #[test]
    fn what_has_not_failed_is_no_dead_letter() {
        for fields in [
            &[][..],
            &[("name", "a"), ("finishedOn", "7")],
            &[("failedReason", "x")],
            &[("failedReason", "x"), ("finishedOn", "soon")],
        ] {
            assert_eq!(read("q", "1", hash(fields)), None, "{fields:?}");
        }
    }
}
