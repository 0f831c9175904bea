//! Samples over time, and what can be said of them without a picture: gaps, stretches without a gap, sums.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::words;

/// Latencies above a year are drawn as a year: no probe runs longer.
const LONGEST_MS: f64 = 3.2e10;

/// What some time came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Begin of the time, milliseconds since the epoch.
    pub at_ms: i64,
    /// Median of the passes' latencies, none without a pass.
    pub p50_ms: Option<f64>,
    /// 95 % of the passes took at most this.
    pub p95_ms: Option<f64>,
    /// Everything that was asked.
    pub asked: u64,
    /// Fails.
    pub fails: u64,
    /// Could not be asked.
    pub unknown: u64,
}

/// Samples and the range they are seen in.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// The samples, oldest first.
    pub samples: &'a [Sample],
    /// The range.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// Length of one sample.
    pub span_ms: i64,
    /// Two samples further apart than this have a gap between them, in which nobody looked.
    pub gap_ms: i64,
}

impl Series<'_> {
    /// Says what is to be seen, in one sentence.
    pub fn in_words(&self) -> String {
        let asked: u64 = self.samples.iter().map(|sample| sample.asked).sum();
        let fails: u64 = self.samples.iter().map(|sample| sample.fails).sum();
        let unknown: u64 = self.samples.iter().map(|sample| sample.unknown).sum();
        if asked == 0 {
            return "Nobody looked in this time.".to_owned();
        }
        let mut text = if asked == 1 { "Asked once".to_owned() } else { format!("Asked {asked} times") };
        let _infallible = match fails {
            0 => write!(text, ", no fail"),
            _ => write!(text, ", {fails} failed"),
        };
        if unknown > 0 {
            let _infallible = write!(text, ", {unknown} could not be asked");
        }
        let missing: i64 = self.missing().iter().map(|(from, to)| to - from).sum();
        if missing > 0 {
            let length = Duration::from_millis(missing.unsigned_abs());
            let _infallible = write!(text, "; nobody looked for {}", words::length(length));
        }
        text.push('.');
        text
    }

    /// Returns the largest latency.
    pub(super) fn largest(&self) -> f64 {
        let values = self.samples.iter().flat_map(|sample| [sample.p50_ms, sample.p95_ms]).flatten();
        values.filter(|ms| ms.is_finite()).fold(0.0, f64::max).min(LONGEST_MS)
    }

    /// Times in which nobody looked, longer than the rhythm explains.
    pub(super) fn missing(&self) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        let mut seen_to = self.from_ms;
        for sample in self.samples.iter().filter(|sample| sample.asked > 0) {
            if sample.at_ms - seen_to > self.gap_ms {
                found.push((seen_to, sample.at_ms));
            }
            seen_to = seen_to.max(sample.at_ms + self.span_ms);
        }
        if self.to_ms - seen_to > self.gap_ms {
            found.push((seen_to, self.to_ms));
        }
        found
    }

    /// Runs of samples with a latency, broken wherever there is none or a gap lies between.
    pub(super) fn stretches(&self) -> Vec<Vec<&Sample>> {
        let mut found: Vec<Vec<&Sample>> = Vec::new();
        let mut is_broken = true;
        let mut last_ms = i64::MIN;
        for sample in self.samples {
            let has_latency = sample.p50_ms.is_some_and(f64::is_finite);
            if has_latency {
                is_broken |= sample.at_ms.saturating_sub(last_ms) > self.gap_ms;
                match found.last_mut() {
                    Some(stretch) if !is_broken => stretch.push(sample),
                    _ => found.push(vec![sample]),
                }
                last_ms = sample.at_ms;
            }
            is_broken = !has_latency;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sample a second of `.` pass, `x` fail, `?` unknown and blank for nobody looked; returns gaps and stretches.
    fn check(history: &str, gaps: &[(i64, i64)], stretches: &[usize], said: &str) {
        let sample = |(index, kind): (usize, char)| {
            let passed = (kind == '.').then_some(5.0);
            Sample {
                at_ms: index as i64 * 1000,
                p50_ms: passed,
                p95_ms: passed,
                asked: 1,
                fails: u64::from(kind == 'x'),
                unknown: u64::from(kind == '?'),
            }
        };
        let samples: Vec<Sample> = history.chars().enumerate().filter(|(_, kind)| *kind != ' ').map(sample).collect();
        let to_ms = history.chars().count() as i64 * 1000;
        let series = Series { samples: &samples, from_ms: 0, to_ms, span_ms: 1000, gap_ms: 1500 };
        assert_eq!(series.missing(), gaps, "{history}");
        assert_eq!(series.stretches().iter().map(Vec::len).collect::<Vec<_>>(), stretches, "{history}");
        assert_eq!(series.in_words(), said);
    }

    #[test]
    fn a_gap_is_a_gap_and_no_line_bridges_it_nor_a_fail() {
        check("....", &[], &[4], "Asked 4 times, no fail.");
        check(".. ..", &[], &[2, 2], "Asked 4 times, no fail.");
        check("..   ..", &[(2000, 5000)], &[2, 2], "Asked 4 times, no fail; nobody looked for 3 s.");
        check("..x?.", &[], &[2, 1], "Asked 5 times, 1 failed, 1 could not be asked.");
        check("  .", &[(0, 2000)], &[1], "Asked once, no fail; nobody looked for 2 s.");
        check(".  ", &[(1000, 3000)], &[1], "Asked once, no fail; nobody looked for 2 s.");
        check("xxx", &[], &[], "Asked 3 times, 3 failed.");
        check("", &[], &[], "Nobody looked in this time.");
    }
}
