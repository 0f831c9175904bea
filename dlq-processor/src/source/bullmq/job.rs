//! A job's hash, read: what BullMQ 4 to 6 write there.

use super::super::found::{Episode, Found};
use super::super::redis::kept::{Hash, join};

/// Reads a failed job. None if it has not failed (any more), or there is none.
pub(super) fn read(queue: &str, job: &str, hash: Hash) -> Option<Found> {
    let bytes = |name: &str| hash.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value.as_slice());
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
        kept: join(&hash),
        reason,
        found_in: None,
    })
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
