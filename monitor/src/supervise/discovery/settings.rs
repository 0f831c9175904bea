//! Reads `discover:`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use kit::config::{Cursor, suggest};

use super::Scout;
use crate::config::check_name;
use crate::supervise::workload::WorkloadKinds;

/// The largest limit: the plan as a whole holds ten times as many.
const MAX_LIMIT: usize = 1000;
/// Discoveries of one configuration: each has a connection of its own.
const MAX_DISCOVERIES: usize = 16;

/// Where services are found by themselves.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// Its key.
    pub name: Arc<str>,
    /// Who looks.
    pub scout: Arc<dyn Scout>,
    /// Services at most; those beyond it are counted and told. Default 100.
    pub limit: usize,
    /// How long what was removed stays in the list. Default 5 min.
    pub forget_after: Duration,
    /// A hash of its settings as they are written, to know whether a reload has changed them.
    pub generation: u64,
}

impl Discovery {
    /// More than most hosts run, and few enough to be asked every 10 s.
    pub const LIMIT: usize = 100;
    /// A deployment takes less.
    pub const FORGET_AFTER: Duration = Duration::from_secs(300);

    /// Checks `discover: { NAME: { KIND: … } }`; reports every mistake through the cursor.
    pub fn decode_all(cursor: Option<Cursor<'_>>, kinds: &WorkloadKinds) -> Vec<Self> {
        let Some(cursor) = cursor else { return Vec::new() };
        let entries = cursor.entries().unwrap_or_default();
        if entries.len() > MAX_DISCOVERIES {
            cursor.mistake(format!("{} discoveries, more than {MAX_DISCOVERIES}", entries.len()));
        }
        entries.iter().filter_map(|(name, entry)| Self::decode(name, entry, kinds)).collect()
    }

    fn decode(name: &str, cursor: &Cursor<'_>, kinds: &WorkloadKinds) -> Option<Self> {
        check_name(cursor, "discovery", name);
        let fields = cursor.fields()?;
        let limit = fields.get("limit").and_then(|c| c.whole(1..=MAX_LIMIT));
        let (second, month) = (Duration::from_secs(1), Duration::from_secs(30 * 86_400));
        let forget_after = fields.get("forget_after").and_then(|c| c.duration(second..=month));
        let known = kinds.that_discover();
        let names: Vec<&str> = known.iter().map(|kind| kind.name()).collect();
        let Some(kind) = known.iter().find(|kind| fields.has(kind.name())) else {
            let written = cursor.entries().unwrap_or_default();
            let near = written.iter().map(|(key, _)| suggest(key, names.iter().copied())).find(|near| !near.is_empty());
            let wanted: Vec<String> = names.iter().map(|name| format!("{name}: {{}}")).collect();
            cursor.mistake(format!("nowhere to look; write {}{}", wanted.join(" or "), near.unwrap_or_default()));
            return None;
        };
        let Some(settings) = fields.get(kind.name()) else {
            cursor.mistake(format!("{:?} has no settings; write {}: {{}} for the usual", kind.name(), kind.name()));
            return None;
        };
        let scout = kind.scout(&settings);
        fields.end();
        let mut hasher = DefaultHasher::new();
        cursor.node().to_json().to_string().hash(&mut hasher);
        Some(Self {
            name: name.into(),
            scout: scout?,
            limit: limit.unwrap_or(Self::LIMIT),
            forget_after: forget_after.unwrap_or(Self::FORGET_AFTER),
            generation: hasher.finish(),
        })
    }
}
