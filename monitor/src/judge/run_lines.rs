//! What the newest runs of a workload wrote before they ended. Pure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Ended runs whose lines are kept, the last one with all that its end carried.
const RUNS_KEPT: usize = 5;
/// Of each run before the last one, at most, in bytes: its end, where the reason stands.
const BYTES_OF_OLDER: usize = 4 << 10;

/// The last lines of the newest runs that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLines {
    /// Newest first.
    runs: VecDeque<(Uuid, Vec<String>)>,
}

impl RunLines {
    /// Takes what a run wrote that has ended.
    pub(super) fn add(&mut self, run: Uuid, lines: &[String]) {
        if let Some((_, last)) = self.runs.front_mut() {
            shorten(last);
        }
        self.runs.retain(|(known, _)| *known != run);
        self.runs.push_front((run, lines.to_vec()));
        self.runs.truncate(RUNS_KEPT);
    }

    /// Adds what is known of earlier runs.
    pub fn after(mut self, earlier: Self) -> Self {
        for (run, lines) in earlier.runs {
            if self.of(run).is_empty() && self.runs.len() < RUNS_KEPT {
                self.runs.push_back((run, lines));
            }
        }
        self
    }

    /// Returns what the last run that ended wrote.
    pub fn last(&self) -> &[String] {
        self.runs.front().map_or(&[], |(_, lines)| lines)
    }

    /// Returns what a run wrote, as far as that is kept.
    pub fn of(&self, run: Uuid) -> &[String] {
        self.runs.iter().find(|(known, _)| *known == run).map_or(&[], |(_, lines)| lines)
    }
}

/// Keeps the last lines, and of a line that alone is too long its beginning.
fn shorten(lines: &mut Vec<String>) {
    let mut left = BYTES_OF_OLDER;
    let kept = lines.iter().rev().take_while(|line| {
        let fits = line.len() < left;
        left = left.saturating_sub(line.len() + 1);
        fits
    });
    let kept = kept.count().max(1).min(lines.len());
    lines.drain(..lines.len() - kept);
    if let Some(first) = lines.first_mut().filter(|first| first.len() > BYTES_OF_OLDER) {
        first.truncate(first.floor_char_boundary(BYTES_OF_OLDER));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_keeps_all_lines_and_five_runs_some() {
        let mut kept = RunLines::default();
        for number in 0..7_u128 {
            let lines: Vec<String> =
                (0..50).map(|line| format!("{line:02} of run {number} {}", "x".repeat(188))).collect();
            kept.add(Uuid::from_u128(number), &lines);
        }
        assert_eq!(kept.last().len(), 50);
        let lengths: Vec<usize> = (0..7).map(|number| kept.of(Uuid::from_u128(number)).len()).collect();
        assert_eq!(lengths, [0, 0, 20, 20, 20, 20, 50]);
        let before = kept.of(Uuid::from_u128(5));
        assert!(before[0].starts_with("30 of run 5") && before[19].starts_with("49 of run 5"), "{before:?}");
        // An end that is told twice is one, and a silent run is the last one too.
        kept.add(Uuid::from_u128(6), &["again".to_owned()]);
        assert_eq!((kept.last(), kept.runs.len()), (&["again".to_owned()][..], 5));
        let alone: RunLines = RunLines { runs: [(Uuid::from_u128(9), vec!["new".to_owned()])].into() };
        assert_eq!(
            alone.after(kept.clone()).runs.iter().map(|(run, _)| run.as_u128()).collect::<Vec<_>>(),
            [9, 6, 5, 4, 3]
        );
        // One line of JSON may be all that it says.
        kept.add(Uuid::from_u128(8), &["€".repeat(4000)]);
        kept.add(Uuid::from_u128(7), &[]);
        assert_eq!(kept.of(Uuid::from_u128(8))[0].chars().count(), BYTES_OF_OLDER / 3);
        assert_eq!(kept.last(), &[] as &[String]);
        let read: RunLines = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
        assert_eq!(read, kept);
    }
}
