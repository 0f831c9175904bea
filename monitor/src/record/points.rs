//! Single observations in little space: fresh blobs as they come, sealed chunks delta-coded per check.

use serde::{Deserialize, Serialize};

/// How an observation counts in history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Passed.
    Pass,
    /// Passed, but broke a soft limit.
    Slow,
    /// Failed.
    Fail,
    /// Nothing was learnt: we could not ask, or it failed while its service was still starting.
    Unknown,
}

impl Mark {
    const ALL: [Self; 4] = [Self::Pass, Self::Slow, Self::Fail, Self::Unknown];

    fn code(self) -> u64 {
        match self {
            Self::Pass => 0,
            Self::Slow => 1,
            Self::Fail => 2,
            Self::Unknown => 3,
        }
    }

    fn of_code(code: u64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|code| Self::ALL.get(code)).copied()
    }
}

/// One observation in history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Point {
    /// When the probe began, milliseconds since the epoch.
    pub at_ms: i64,
    /// What it took, in microseconds, rounded to 16 µs in storage.
    pub took_us: u32,
    /// How it counts.
    pub mark: Mark,
}

/// Steps of stored latencies, in microseconds: below what a probe over a network can tell apart, and four bits less.
const STEP_US: u32 = 16;

/// Appends a variable-length integer (LEB128).
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let bits = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(bits);
            return;
        }
        out.push(bits | 0x80);
    }
}

/// Takes a variable-length integer off the front; `None` when the bytes end or the number is too long.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Codes points of one check: delta of deltas of time, delta of latency with the mark in its low bits.
pub(super) fn encode_chunk(points: &[Point]) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * 4);
    let (mut last_at, mut last_delta, mut last_took) = (0i64, 0i64, 0i64);
    for point in points {
        let delta = point.at_ms.wrapping_sub(last_at);
        put(&mut out, zigzag(delta.wrapping_sub(last_delta)));
        let took = i64::from(point.took_us / STEP_US);
        put(&mut out, zigzag(took - last_took) << 2 | point.mark.code());
        (last_at, last_delta, last_took) = (point.at_ms, delta, took);
    }
    out
}

/// Reads a chunk; stops at the first damage and returns what was whole.
pub(super) fn decode_chunk(mut bytes: &[u8]) -> Vec<Point> {
    let mut points = Vec::new();
    let (mut last_at, mut last_delta, mut last_took) = (0i64, 0i64, 0i64);
    while !bytes.is_empty() {
        let (Some(time), Some(rest)) = (take(&mut bytes), take(&mut bytes)) else { break };
        let Some(mark) = Mark::of_code(rest & 3) else { break };
        last_delta = last_delta.wrapping_add(unzigzag(time));
        last_at = last_at.wrapping_add(last_delta);
        last_took = last_took.wrapping_add(unzigzag(rest >> 2));
        let took_us = u32::try_from(last_took).unwrap_or(0).saturating_mul(STEP_US);
        points.push(Point { at_ms: last_at, took_us, mark });
    }
    points
}

/// Codes the points of one flush, of many checks.
pub(super) fn encode_fresh(points: &[(u32, Point)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * 10);
    let mut last_at = 0;
    for (check, point) in points {
        put(&mut out, u64::from(*check));
        put(&mut out, zigzag(point.at_ms.wrapping_sub(last_at)));
        put(&mut out, u64::from(point.took_us / STEP_US) << 2 | point.mark.code());
        last_at = point.at_ms;
    }
    out
}

/// Reads the points of one flush.
pub(super) fn decode_fresh(mut bytes: &[u8]) -> Vec<(u32, Point)> {
    let mut points = Vec::new();
    let mut last_at = 0i64;
    while !bytes.is_empty() {
        let (Some(check), Some(delta), Some(rest)) = (take(&mut bytes), take(&mut bytes), take(&mut bytes)) else {
            break;
        };
        let (Ok(check), Some(mark)) = (u32::try_from(check), Mark::of_code(rest & 3)) else { break };
        last_at = last_at.wrapping_add(unzigzag(delta));
        let took_us = u32::try_from(rest >> 2).unwrap_or(u32::MAX / STEP_US).saturating_mul(STEP_US);
        points.push((check, Point { at_ms: last_at, took_us, mark }));
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point() -> impl Strategy<Value = Point> {
        (0i64..4_000_000_000_000, 0u32..600_000_000, 0u64..4).prop_map(|(at_ms, took, mark)| Point {
            at_ms,
            took_us: took / STEP_US * STEP_US,
            mark: Mark::of_code(mark).unwrap(),
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(points in proptest::collection::vec(point(), 0..50)) {
            prop_assert_eq!(decode_chunk(&encode_chunk(&points)), points.clone());
            let fresh: Vec<(u32, Point)> = (7u32..).zip(points).collect();
            prop_assert_eq!(decode_fresh(&encode_fresh(&fresh)), fresh);
        }

        #[test]
        fn damage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            decode_chunk(&bytes);
            decode_fresh(&bytes);
        }
    }

    #[test]
    fn a_steady_check_takes_about_three_bytes_a_point() {
        let points: Vec<Point> = (0..360u32)
            .map(|n| Point {
                at_ms: 1_800_000_000_000 + i64::from(n) * 10_000 + i64::from(n % 3),
                took_us: 1600 + 16 * (n % 20),
                mark: Mark::Pass,
            })
            .collect();
        let bytes = encode_chunk(&points).len();
        assert!(bytes < 360 * 4, "{bytes} bytes");
    }
}
