//! Reads one check's kind and expectations from the configuration.

use std::sync::Arc;
use std::time::Duration;

use kit::config::{Fields, Value, suggest};

use super::expect::Expectations;
use super::kinds::{Kind, Kinds};
use super::observation::CheckId;
use super::runner::Question;

/// Reads the kind (the one key of a check that names one) and `expect:`, and reports every key that is neither of them
/// nor one of `others`. Returns the question and the kind's name.
pub fn decode_question(
    fields: Fields<'_>,
    id: CheckId,
    timeout: Duration,
    kinds: &Kinds,
    others: &[&'static str],
) -> Option<(Question, &'static str)> {
    let (kind, blamed) = find_kind(&fields, kinds, others);
    let decoded = kind.and_then(|kind| {
        let expect = Expectations::decode(fields.get("expect").as_ref(), kind.expectations());
        let Some(settings) = fields.get(kind.name()) else {
            fields.cursor().mistake(format!("{:?} has no settings", kind.name()));
            return None;
        };
        let probe = kind.decode(&settings);
        Some((Question { id, probe: probe?, expect: Arc::new(expect?), timeout }, kind.name()))
    });
    // What the message about the kind already blames is not blamed again.
    let known: Vec<&str> = others.iter().copied().chain(kinds.names()).chain(blamed.as_deref()).collect();
    fields.end_knowing(&known);
    decoded
}

/// Returns the kind, or reports why there is none and returns the key it blamed for it.
fn find_kind(fields: &Fields<'_>, kinds: &Kinds, others: &[&'static str]) -> (Option<Arc<dyn Kind>>, Option<String>) {
    let cursor = fields.cursor();
    let list = kinds.names().join(", ");
    let Value::Map(entries) = &cursor.node().value else {
        cursor.mistake(format!("no kind; write one of {list}"));
        return (None, None);
    };
    let named: Vec<&Arc<dyn Kind>> = entries.iter().filter_map(|entry| kinds.find(&entry.key)).collect();
    match named.as_slice() {
        [kind] => (Some(Arc::clone(kind)), None),
        [] => {
            let unknown = entries.iter().find(|entry| !others.contains(&entry.key.as_str()));
            match unknown {
                None => cursor.mistake(format!("no kind; write one of {list}")),
                Some(entry) => {
                    let near = suggest(&entry.key, kinds.names());
                    cursor.mistake(format!("no kind; write one of {list}, not {:?}{near}", entry.key));
                }
            }
            (None, unknown.map(|entry| entry.key.clone()))
        }
        many => {
            let names: Vec<&str> = many.iter().map(|kind| kind.name()).collect();
            cursor.mistake(format!("more than one kind ({}); write a check for each", names.join(", ")));
            (None, None)
        }
    }
}
