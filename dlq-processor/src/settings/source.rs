//! Where dead letters come from.

use std::fmt;
use std::sync::Arc;

use kit::config::Cursor;

use crate::policy::Pattern;
use crate::source::{self, Source};

/// A source.
#[derive(Clone)]
pub(crate) struct SourceSettings {
    /// Its name in the ledger, in metrics and answers.
    pub(crate) name: String,
    /// What kind of source it is.
    pub(crate) kind: &'static str,
    /// The source itself; it connects when it is asked.
    pub(crate) source: Arc<dyn Source>,
    /// Which of its queues. Default all of them.
    pub(crate) queues: Vec<Pattern>,
}

impl fmt::Debug for SourceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SourceSettings");
        shown.field("name", &self.name).field("kind", &self.kind).field("queues", &self.queues).finish_non_exhaustive()
    }
}

pub(super) fn decode_source(name: &str, cursor: &Cursor<'_>) -> Option<SourceSettings> {
    let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    if name.is_empty() || !name.chars().all(is_plain) {
        cursor.mistake(format!("{name:?} cannot be a name; write lower-case letters, digits and dashes"));
    }
    let (kind, _, cursor) = cursor.tag()?;
    let kind = source::kind(kind, &cursor)?;
    let fields = cursor.fields()?;
    let source = (kind.decode)(&fields);
    let queues = fields.get("queues").map(|cursor| cursor.texts()).unwrap_or_else(|| vec!["*".to_owned()]);
    fields.end();
    Some(SourceSettings {
        name: name.to_owned(),
        kind: kind.name,
        source: source?,
        queues: queues.into_iter().map(Pattern::new).collect(),
    })
}
