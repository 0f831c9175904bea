//! How a check is judged, and how that is written in the configuration.

use std::num::NonZeroU32;
use std::time::Duration;

use kit::config::{Cursor, Fields};
use serde::Serialize;

/// Whether a check can make its service down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Its failure is the service's failure.
    Critical,
    /// Degraded at worst; never licenses a heal.
    Warning,
}

/// How many fails are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// So many in a row.
    InARow(NonZeroU32),
    /// `fails` among the last `window` results, whatever their order; `window` is at most 64.
    Among {
        /// Fails that are needed.
        fails: NonZeroU32,
        /// Results that are looked at.
        window: NonZeroU32,
    },
}

/// How a check is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// When fails make it down.
    pub fail_after: Threshold,
    /// Passes in a row that bring it back.
    pub recover_after: NonZeroU32,
    /// Interval, for staleness.
    pub every: Duration,
    /// Deadline of one probe, for staleness.
    pub timeout: Duration,
    /// What its failure means.
    pub severity: Severity,
}

impl Policy {
    /// Three fails in a row, two passes back, every 10 s with 3 s to answer: few and right pages (DESIGN section 6).
    pub const STANDARD: Self = Self {
        fail_after: Threshold::InARow(NonZeroU32::new(3).expect("3 is not 0")),
        recover_after: NonZeroU32::new(2).expect("2 is not 0"),
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        severity: Severity::Critical,
    };

    /// Reads `fail_after`, `recover_after`, `severity`, `every` and `timeout`; what is not written comes from `defaults`.
    pub fn decode(fields: &Fields<'_>, defaults: &Self) -> Self {
        let second = Duration::from_secs(1);
        let every = fields.get("every").and_then(|c| c.duration(second..=Duration::from_secs(7 * 86_400)));
        let timeout =
            fields.get("timeout").and_then(|c| c.duration(Duration::from_millis(10)..=Duration::from_secs(600)));
        let recover_after = fields.get("recover_after").and_then(|c| c.whole(1..=64u32)).and_then(NonZeroU32::new);
        Self {
            fail_after: fields.get("fail_after").and_then(|c| threshold(&c)).unwrap_or(defaults.fail_after),
            recover_after: recover_after.unwrap_or(defaults.recover_after),
            every: every.unwrap_or(defaults.every),
            timeout: timeout.unwrap_or(defaults.timeout),
            severity: fields
                .get("severity")
                .and_then(|c| c.one_of(&[("critical", Severity::Critical), ("warning", Severity::Warning)]))
                .unwrap_or(defaults.severity),
        }
    }

    /// Age beyond which the last news is stale: max(2.5 intervals, interval + timeout + 30 s) (DESIGN section 6).
    pub fn stale_after(&self) -> Duration {
        self.every.mul_f64(2.5).max(self.every + self.timeout + Duration::from_secs(30))
    }

    /// How long unknown or stale may last before it is paged as `monitor_blind`: max(3 intervals, 3 min) (DESIGN section 6).
    pub fn blind_after(&self) -> Duration {
        (self.every * 3).max(Duration::from_secs(180))
    }
}

/// `3`, or `3 of 5`.
fn threshold(cursor: &Cursor<'_>) -> Option<Threshold> {
    let text = cursor.text()?;
    let number = |text: &str| text.trim().parse::<NonZeroU32>().ok().filter(|number| number.get() <= 64);
    let found = match text.split_once(" of ") {
        None => number(&text).map(Threshold::InARow),
        Some((fails, window)) => match (number(fails), number(window)) {
            (Some(fails), Some(window)) if fails <= window => Some(Threshold::Among { fails, window }),
            _ => None,
        },
    };
    if found.is_none() {
        cursor.mistake(format!("expected a number from 1 to 64 or \"3 of 5\", found {}", cursor.node().shown()));
    }
    found
}
