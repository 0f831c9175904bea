//! Since when each finding is known, over restarts of the monitor. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::elapsed;
use serde::{Deserialize, Serialize};

/// What is not found any more is forgotten after this: a service that was just started again needs a few probes until a
/// disagreement shows again, and a file that is being mended may be broken for a moment.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Findings that are remembered, at most: more than are ever listed.
const MAX_KNOWN: usize = 2000;

/// When findings were seen first, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FirstSeen {
    known: BTreeMap<String, Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    since: Timestamp,
    /// Since when it is not found any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    gone: Option<Timestamp>,
}

impl FirstSeen {
    /// Returns since when a finding is known; none if it is new.
    pub fn since(&self, id: &str) -> Option<Timestamp> {
        self.known.get(id).map(|known| known.since)
    }

    /// Returns what is known after all of `found`, and nothing else, was found now. Each comes with a time since which it
    /// is known elsewhere.
    #[must_use]
    pub fn after(&self, found: &BTreeMap<String, Timestamp>, now: Timestamp) -> Self {
        let mut known = self.known.clone();
        for (id, known) in &mut known {
            known.gone = if found.contains_key(id) { None } else { known.gone.or(Some(now)) };
        }
        known.retain(|_, known| known.gone.is_none_or(|gone| elapsed(gone, now) < FORGOTTEN_AFTER));
        for (id, since) in found {
            if known.len() < MAX_KNOWN || known.contains_key(id) {
                let entry = known.entry(id.clone()).or_insert(Known { since: now, gone: None });
                entry.since = entry.since.min(*since);
            }
        }
        Self { known }
    }

    /// Returns both together, where the earlier time counts.
    #[must_use]
    pub fn joined(mut self, other: &Self) -> Self {
        for (id, theirs) in &other.known {
            let own = self.known.entry(id.clone()).or_insert(*theirs);
            own.since = own.since.min(theirs.since);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn found(ids: &[&str], secs: i64) -> BTreeMap<String, Timestamp> {
        ids.iter().map(|id| ((*id).to_owned(), at(secs))).collect()
    }

    #[test]
    fn a_finding_is_as_old_as_its_first_sight_and_forgotten_ten_minutes_after_its_last() {
        let first = FirstSeen::default().after(&found(&["a"], 0), at(0));
        let later = first.after(&found(&["a", "b"], 60), at(60));
        assert_eq!((later.since("a"), later.since("b"), later.since("c")), (Some(at(0)), Some(at(60)), None));
        let gone = later.after(&found(&["b"], 120), at(120));
        assert_eq!(gone.after(&found(&["a"], 700), at(700)).since("a"), Some(at(0)), "it came back soon");
        let forgotten = gone.after(&found(&["b"], 720), at(720));
        assert_eq!((forgotten.since("a"), forgotten.since("b")), (None, Some(at(60))));
    }

    #[test]
    fn what_is_known_elsewhere_for_longer_counts_and_survives_as_json() {
        let seen = FirstSeen::default().after(&found(&["a"], -500), at(0));
        assert_eq!(seen.since("a"), Some(at(-500)));
        let text = serde_json::to_string(&seen).unwrap();
        assert_eq!(serde_json::from_str::<FirstSeen>(&text).unwrap(), seen);
        let joined = FirstSeen::default().after(&found(&["a", "b"], 9), at(9)).joined(&seen);
        assert_eq!((joined.since("a"), joined.since("b")), (Some(at(-500)), Some(at(9))));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let many: BTreeMap<String, Timestamp> = (0..MAX_KNOWN + 5).map(|n| (format!("{n:06}"), at(0))).collect();
        assert_eq!(FirstSeen::default().after(&many, at(0)).known.len(), MAX_KNOWN);
    }
}
