//! Roll-ups: what a minute or an hour of one check comes to, with latency as a mergeable sketch.

use std::collections::BTreeMap;

use serde::Serialize;

use super::points::{Mark, Point, put, take};

/// Growth of the sketch's buckets: any quantile is within 5 % (Masson, Rim, Lee, "DDSketch", VLDB 2019: (γ-1)/(γ+1)).
const GAMMA: f64 = 1.105;

/// What a span of time comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rollup {
    /// Passes within every limit.
    pub pass: u64,
    /// Passes that broke a soft limit.
    pub slow: u64,
    /// Fails.
    pub fail: u64,
    /// Could not ask.
    pub unknown: u64,
    /// Sum of the latencies of passes, in microseconds.
    pub sum_us: u64,
    /// Latencies of passes: bucket → count.
    #[serde(skip)]
    pub sketch: BTreeMap<u16, u64>,
}

impl Rollup {
    /// Adds one point.
    pub fn add(&mut self, point: &Point) {
        match point.mark {
            Mark::Pass => self.pass += 1,
            Mark::Slow => self.slow += 1,
            Mark::Fail => self.fail += 1,
            Mark::Unknown => self.unknown += 1,
        }
        if matches!(point.mark, Mark::Pass | Mark::Slow) {
            self.sum_us += u64::from(point.took_us);
            *self.sketch.entry(bucket(point.took_us)).or_default() += 1;
        }
    }

    /// Adds another span.
    pub fn merge(&mut self, other: &Self) {
        self.pass += other.pass;
        self.slow += other.slow;
        self.fail += other.fail;
        self.unknown += other.unknown;
        self.sum_us += other.sum_us;
        for (bucket, count) in &other.sketch {
            *self.sketch.entry(*bucket).or_default() += count;
        }
    }

    /// Returns the latency, in microseconds, that a share `q` (0 to 1) of the passes did not exceed, within 5 %.
    pub fn quantile_us(&self, q: f64) -> Option<f64> {
        let total: u64 = self.sketch.values().sum();
        if total == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let wanted = q.clamp(0.0, 1.0) * (total - 1) as f64;
        let mut seen = 0u64;
        for (bucket, count) in &self.sketch {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            if seen as f64 > wanted {
                return Some(middle_us(*bucket));
            }
        }
        None
    }

    /// Returns how many passes took at most `us` microseconds, within the sketch's 5 %.
    pub fn at_most_us(&self, us: u32) -> u64 {
        self.sketch.range(..=bucket(us)).map(|(_, count)| count).sum()
    }

    /// Passes and fails: what availability is counted from.
    pub fn known(&self) -> u64 {
        self.pass + self.slow + self.fail
    }
}

fn bucket(took_us: u32) -> u16 {
    let index = f64::from(took_us.max(1)).ln() / GAMMA.ln();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 223 for any u32")]
    let index = index.ceil() as u16;
    index
}

fn middle_us(bucket: u16) -> f64 {
    2.0 * GAMMA.powi(i32::from(bucket)) / (GAMMA + 1.0)
}

/// Roll-ups of one check in one stored row, by the start of their span in milliseconds since the epoch.
pub(super) type Row = BTreeMap<i64, Rollup>;

pub(super) fn encode(row: &Row, first_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for (start, rollup) in row {
        put(&mut out, start.abs_diff(first_ms));
        for count in [rollup.pass, rollup.slow, rollup.fail, rollup.unknown, rollup.sum_us] {
            put(&mut out, count);
        }
        put(&mut out, rollup.sketch.len() as u64);
        for (bucket, count) in &rollup.sketch {
            put(&mut out, u64::from(*bucket));
            put(&mut out, *count);
        }
    }
    out
}

pub(super) fn decode(mut bytes: &[u8], first_ms: i64) -> Row {
    let mut row = Row::new();
    while !bytes.is_empty() {
        let Some((start, rollup)) = decode_one(&mut bytes, first_ms) else { break };
        row.insert(start, rollup);
    }
    row
}

fn decode_one(bytes: &mut &[u8], first_ms: i64) -> Option<(i64, Rollup)> {
    let start = first_ms.checked_add(i64::try_from(take(bytes)?).ok()?)?;
    let mut rollup = Rollup {
        pass: take(bytes)?,
        slow: take(bytes)?,
        fail: take(bytes)?,
        unknown: take(bytes)?,
        sum_us: take(bytes)?,
        sketch: BTreeMap::new(),
    };
    for _ in 0..take(bytes)? {
        rollup.sketch.insert(u16::try_from(take(bytes)?).ok()?, take(bytes)?);
    }
    Some((start, rollup))
}

/// Sorts points into spans of `span_ms`.
pub(super) fn roll(points: &[Point], span_ms: i64) -> Row {
    let mut row = Row::new();
    for point in points {
        row.entry(point.at_ms - point.at_ms.rem_euclid(span_ms)).or_default().add(point);
    }
    row
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(latencies: &[u32]) -> Vec<Point> {
        latencies.iter().map(|took| Point { at_ms: 0, took_us: *took, mark: Mark::Pass }).collect()
    }

    proptest! {
        #[test]
        fn quantiles_are_within_six_percent(latencies in proptest::collection::vec(100u32..60_000_000, 1..200), q in 0.0f64..=1.0) {
            let mut sorted = latencies.clone();
            sorted.sort_unstable();
            let mut rollup = Rollup::default();
            points(&latencies).iter().for_each(|point| rollup.add(point));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of the list")]
            let index = (q * (sorted.len() - 1) as f64).floor() as usize;
            let exact = f64::from(sorted[index]);
            let found = rollup.quantile_us(q).unwrap();
            prop_assert!((found / exact - 1.0).abs() < 0.06, "{} for {}", found, exact);
        }

        #[test]
        fn merging_is_the_same_as_adding_everything(left in proptest::collection::vec(1u32..1_000_000, 0..50), right in proptest::collection::vec(1u32..1_000_000, 0..50)) {
            let (mut first, mut second, mut both) = (Rollup::default(), Rollup::default(), Rollup::default());
            points(&left).iter().for_each(|point| { first.add(point); both.add(point); });
            points(&right).iter().for_each(|point| { second.add(point); both.add(point); });
            first.merge(&second);
            prop_assert_eq!(first, both);
        }
    }

    #[test]
    fn a_row_is_read_as_written_and_damage_never_panics() {
        let many: Vec<Point> =
            (0..100u32).map(|n| Point { at_ms: i64::from(n) * 7_000, took_us: n * 100, mark: Mark::Slow }).collect();
        let row = roll(&many, 60_000);
        assert_eq!(row.len(), 12);
        let bytes = encode(&row, 0);
        assert_eq!(decode(&bytes, 0), row);
        for cut in 0..bytes.len() {
            decode(&bytes[..cut], 0);
        }
    }
}
