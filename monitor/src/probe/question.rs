//! Reads one check's kind and expectations from the configuration.

use std::sync::Arc;
use std::time::Duration;

use kit::config::{Fields, Value, suggest};

use super::expect::Expectations;
use super::kinds::{Kind, Kinds};
use super::observation::CheckId;
use super::runner::Question;

/// Reads the kind (the one key of a check that names one) and `expect:`. Returns the question and the kind's name.
pub fn decode_question(
    fields: &Fields<'_>,
    id: CheckId,
    timeout: Duration,
    kinds: &Kinds,
    others: &[&'static str],
) -> Option<(Question, &'static str)> {
    let kind = find_kind(fields, kinds, others)?;
    let settings = fields.get(kind.name());
    let expect = Expectations::decode(fields.get("expect").as_ref(), kind.expectations());
    let settings = match settings {
        Some(settings) => settings,
        None => {
            fields.cursor().mistake(format!("{:?} has no settings", kind.name()));
            return None;
        }
    };
    let probe = kind.decode(&settings);
    Some((Question { id, probe: probe?, expect: Arc::new(expect?), timeout }, kind.name()))
}

fn find_kind(fields: &Fields<'_>, kinds: &Kinds, others: &[&'static str]) -> Option<Arc<dyn Kind>> {
    let Value::Map(entries) = &fields.cursor().node().value else {
        fields.cursor().mistake(format!("no kind; write one of {}", kinds.names().join(", ")));
        return None;
    };
    let named: Vec<&Arc<dyn Kind>> = entries.iter().filter_map(|entry| kinds.find(&entry.key)).collect();
    match named.as_slice() {
        [kind] => Some(Arc::clone(kind)),
        [] => {
            let known = kinds.names();
            let unknown = entries.iter().find(|entry| !others.contains(&entry.key.as_str()));
            let near = unknown.map(|entry| suggest(&entry.key, known.iter().copied())).unwrap_or_default();
            let found = unknown.map(|entry| format!(", found {:?}", entry.key)).unwrap_or_default();
            fields.cursor().mistake(format!("no kind; write one of {}{found}{near}", known.join(", ")));
            None
        }
        many => {
            let names: Vec<&str> = many.iter().map(|kind| kind.name()).collect();
            fields.cursor().mistake(format!("more than one kind ({}); write a check for each", names.join(", ")));
            None
        }
    }
}
