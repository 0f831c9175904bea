//! Which piece of a container's log a run has written. Pure.

use jiff::Timestamp;

use super::known::START_EVENT_LATE;
use crate::supervise::ledger::Ledger;

/// A piece of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogSlice {
    pub(super) container: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl LogSlice {
    /// Returns what the run wrote that began and ended then: the engine notes a start only after it, but not before the run
    /// before it had ended.
    pub(super) fn of_run(container: &str, began: Timestamp, ended: Timestamp, ledger: &Ledger) -> Self {
        let ends = ledger.runs().rev().filter_map(|run| run.end.as_ref()).map(|end| end.at.wall);
        let before = ends.filter(|end| *end < began).max();
        let noted_late = began - START_EVENT_LATE;
        let from = before.map_or(noted_late, |before| before.max(noted_late));
        Self { container: container.to_owned(), from, to: ended }
    }
}
