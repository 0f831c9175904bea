//! An entry that is dead, as a letter.

use kit::trace::TRACEPARENT;
use redis::{FromRedisValue, ParsingError, Value};

use super::super::redis::kept::{Hash, field, join};
use super::super::{Episode, Found, asked_by};
use super::entry_id::EntryId;

/// Fields that name what an entry is about, the first that is there.
const NAMES: [&str; 3] = ["type", "event", "name"];
/// Fields in which programs say why they gave it up, the first that is there.
const ERRORS: [&str; 2] = ["x-error", "error"];
/// Longest name, in characters: names are labels of metrics.
const LONGEST_NAME: usize = 100;
/// The name of what has lost its payload.
const TOMBSTONE: &str = "tombstone";

/// A pending entry, whole.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) consumer: Vec<u8>,
    pub(super) idle_ms: u64,
    pub(super) deliveries: u64,
    /// None if they were trimmed from the stream.
    pub(super) fields: Hash,
}

impl FromRedisValue for Entry {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        type Row = (String, Vec<u8>, u64, u64, Vec<Vec<u8>>);
        let (id, consumer, idle_ms, deliveries, words) = Row::from_redis_value(value)?;
        let mut words = words.into_iter();
        let mut fields = Hash::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            fields.push((name, value));
        }
        Ok(Self { id, consumer, idle_ms, deliveries, fields })
    }
}

/// Makes a letter of an entry that so many consumers had.
pub(super) fn found_of(episode: &Episode, entry: Entry, consumers: u32) -> Found {
    let fields = &entry.fields;
    let is_tombstone = fields.is_empty();
    let stream = episode.queue.rsplit_once('/').map_or("", |(stream, _)| stream);
    let name =
        text_of(fields, &NAMES).map_or_else(|| stream.to_owned(), |name| name.chars().take(LONGEST_NAME).collect());
    let (times, to) = (counted(entry.deliveries, "time"), counted(consumers.into(), "consumer"));
    let delivered = format!("delivered {times} to {to}, never acknowledged");
    let reason = match text_of(fields, &ERRORS) {
        _ if is_tombstone => "its payload was trimmed from the stream before it was acknowledged".to_owned(),
        Some(error) => format!("{error}; {delivered}"),
        None => delivered,
    };
    Found {
        episode: episode.clone(),
        name: if is_tombstone { TOMBSTONE.to_owned() } else { name },
        data: if is_tombstone { Vec::new() } else { object(fields) },
        kept: join(fields),
        reason: Some(reason),
        stack: None,
        attempts: u32::try_from(entry.deliveries).unwrap_or(u32::MAX),
        // Each of its consumers was given it, and was not heard of it again.
        stalls: if is_tombstone { 0 } else { consumers },
        is_in_flow: false,
        put_in_at_ms: EntryId::parse(&episode.job).map(|root| root.ms),
        asked_by: text_of(fields, &[TRACEPARENT.as_str()]).as_deref().and_then(asked_by::read),
        found_in: None,
    }
}

/// The value of the first of these fields that says anything.
fn text_of(fields: &Hash, names: &[&str]) -> Option<String> {
    let text = |name: &&str| {
        let value = field(fields, name)?;
        Some(str::from_utf8(value).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
    };
    names.iter().find_map(text)
}

fn counted(number: u64, what: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {what}{end}")
}

/// Fields as JSON: what comes twice is a list; what is no UTF-8 is shown as well as can be.
fn object(fields: &Hash) -> Vec<u8> {
    let mut object = serde_json::Map::new();
    for (name, value) in fields {
        let [name, value] = [name, value].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let value = serde_json::Value::String(value);
        match object.get_mut(&name) {
            None => drop(object.insert(name, value)),
            Some(serde_json::Value::Array(values)) => values.push(value),
            Some(one) => *one = serde_json::Value::Array(vec![one.take(), value]),
        }
    }
    serde_json::Value::Object(object).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(fields: &[(&str, &[u8])], deliveries: u64, consumers: u32) -> Found {
        let episode = Episode { queue: "events/mailers".to_owned(), job: "7-1".to_owned(), failed_at_ms: 9 };
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
        let entry = Entry { id: "9-0".to_owned(), consumer: b"a".to_vec(), idle_ms: 1, deliveries, fields };
        found_of(&episode, entry, consumers)
    }

    #[test]
    fn the_span_that_put_an_entry_in_is_one_of_its_fields() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let asked_by = |traceparent: &str| found(&[("traceparent", traceparent.as_bytes())], 1, 1).asked_by;
        assert_eq!(asked_by(given).unwrap().traceparent(), given);
        assert_eq!(asked_by("00-nothing"), None);
    }

    #[test]
    fn an_entry_tells_its_name_and_why_it_is_dead() {
        let plain = found(&[("to", b"x")], 7, 3);
        assert_eq!((plain.name.as_str(), plain.attempts, plain.stalls), ("events", 7, 3));
        assert_eq!(plain.reason.as_deref(), Some("delivered 7 times to 3 consumers, never acknowledged"));
        assert_eq!((plain.data.as_slice(), plain.put_in_at_ms), (b"{\"to\":\"x\"}".as_slice(), Some(7)));
        let named = found(&[("name", b"n"), ("event", b"signed_up"), ("type", b" "), ("error", b"TypeError: x")], 1, 1);
        assert_eq!(named.name, "signed_up");
        assert_eq!(named.reason.as_deref(), Some("TypeError: x; delivered 1 time to 1 consumer, never acknowledged"));
        let both = found(&[("error", b"a"), ("x-error", b"b"), ("type", "ü".repeat(200).as_bytes())], 1, 1);
        assert!(both.reason.unwrap().starts_with("b; ") && both.name.chars().count() == LONGEST_NAME);
    }

    #[test]
    fn what_comes_twice_or_is_no_text_is_shown_and_kept_byte_for_byte() {
        let fields: [(&str, &[u8]); 4] = [("a", b"1"), ("b", b"\xff"), ("a", b"2"), ("a", b"3")];
        let found = found(&fields, 1, 1);
        assert_eq!(String::from_utf8(found.data).unwrap(), "{\"a\":[\"1\",\"2\",\"3\"],\"b\":\"\u{fffd}\"}");
        let kept = super::super::super::redis::kept::part(&found.kept).unwrap();
        assert!(
            kept.iter()
                .map(|(name, value)| (name.as_slice(), value.as_slice()))
                .eq(fields.map(|(n, v)| (n.as_bytes(), v)))
        );
    }

    #[test]
    fn what_has_lost_its_payload_is_a_tombstone() {
        let found = found(&[], 1, 4);
        assert_eq!((found.name.as_str(), found.stalls), ("tombstone", 0));
        assert!(found.has_lost_payload());
        assert_eq!(found.reason.unwrap(), "its payload was trimmed from the stream before it was acknowledged");
    }
}
