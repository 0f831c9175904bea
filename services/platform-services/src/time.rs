//! Times as they are kept: milliseconds since the epoch.

use std::time::Duration;

use jiff::Timestamp;

/// One day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Returns a moment as clients read it.
pub(crate) fn written(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().to_string()
}

/// Returns a length in whole milliseconds.
pub(crate) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}
