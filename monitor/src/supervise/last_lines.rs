//! The last lines that a run wrote, bounded.

use std::collections::VecDeque;

/// Evidence, as of processes: lines, and bytes.
pub(super) const EVIDENCE_LINES: usize = 50;
pub(super) const EVIDENCE_BYTES: usize = 16 << 10;

/// The last lines, within [`EVIDENCE_LINES`] and [`EVIDENCE_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LastLines {
    lines: VecDeque<String>,
    bytes: usize,
}

impl LastLines {
    /// Adds a line; what is over the bounds leaves at the front, but never the line itself.
    pub(super) fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > EVIDENCE_LINES || (self.bytes > EVIDENCE_BYTES && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }

    /// Adds lines.
    pub(super) fn extend(&mut self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.push(line));
    }

    /// Returns whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns them, oldest first.
    pub(super) fn to_vec(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_within_the_bounds_are_kept() {
        let mut lines = LastLines::default();
        lines.extend((0..60).map(|line| line.to_string()));
        assert_eq!(lines.to_vec().len(), EVIDENCE_LINES);
        lines.extend(["x".repeat(EVIDENCE_BYTES - 3), "end".to_owned()]);
        assert_eq!(lines.to_vec().len(), 2);
        assert_eq!(lines.to_vec().last().map(String::as_str), Some("end"));
    }
}
