//! Flap detection as Nagios defined it: weighted state changes among the last 21 results, with hysteresis
//! (Nagios Core 4 manual, "Detection and Handling of State Flapping").

use serde::{Deserialize, Serialize};

/// Results that are looked at.
const WINDOW: u8 = 21;
/// Flapping begins above this share of weighted changes (Nagios' `high_service_flap_threshold`).
const HIGH_RATIO: f64 = 0.20;
/// Flapping ends below this share (Nagios' `low_service_flap_threshold`).
const LOW_RATIO: f64 = 0.05;

/// The last results of one check, newest in the lowest bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flap {
    results: u32,
    known: u8,
    flapping: bool,
}

impl Flap {
    /// Adds a result.
    #[must_use]
    pub fn with(mut self, passed: bool) -> Self {
        self.results = (self.results << 1 | u32::from(passed)) & ((1 << WINDOW) - 1);
        self.known = (self.known + 1).min(WINDOW);
        let share = self.change_ratio();
        self.flapping = if self.flapping { share >= LOW_RATIO } else { share > HIGH_RATIO };
        self
    }

    /// Returns whether the check is flapping.
    pub fn is_flapping(self) -> bool {
        self.flapping
    }

    /// Weighted share of changes: the newest counts 1.2, the oldest 0.8.
    fn change_ratio(self) -> f64 {
        // Few results are no evidence: a service that starts and fails once has changed once, not flapped.
        if self.known < WINDOW {
            return 0.0;
        }
        let pairs = WINDOW - 1;
        let mut weighted = 0.0;
        for age in 0..pairs {
            let changed = (self.results >> age & 1) != (self.results >> (age + 1) & 1);
            if changed {
                let position = f64::from(age) / f64::from(pairs - 1);
                weighted += 1.2 - 0.4 * position;
            }
        }
        weighted / f64::from(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(history: &str) -> bool {
        history.chars().fold(Flap::default(), |flap, result| flap.with(result == '.')).is_flapping()
    }

    #[test]
    fn one_outage_is_not_flapping_and_a_restless_check_is_until_it_is_calm() {
        assert!(!after(&".".repeat(40)));
        assert!(!after(&format!("{}{}{}", ".".repeat(21), "x".repeat(10), ".".repeat(3))));
        let restless = "..x.x..x.x..x.x..x.x..x";
        assert!(after(restless));
        assert!(after(&format!("{restless}..........")), "hysteresis");
        assert!(!after(&format!("{restless}{}", ".".repeat(21))));
    }
}
