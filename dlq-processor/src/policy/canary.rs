//! How one letter of those that are alike and parked is tried, to see whether the others could go; reads `canaries:`.

use std::collections::BTreeMap;
use std::time::Duration;

use kit::config::{Cursor, Fields};

use super::class::Class;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// When letters that are alike send a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// How long after the first of them was seen to be parked. Default 10 min for `auth`: about as long as it takes to renew what
    /// ran out; 1 min for `unknown`.
    pub first: Duration,
    /// The longest wait between two: each is twice the one before. Default 6 h, so that a mend is found out within a working day.
    pub cap: Duration,
    /// How many there are, at most; none for as many as it takes. Default 1 for `unknown`: nobody knows what it was.
    pub tries: Option<u32>,
}

impl Canary {
    /// Returns the wait before canary number `tried` + 1.
    pub fn wait(&self, tried: u32) -> Duration {
        self.first.saturating_mul(2u32.saturating_pow(tried.min(31))).min(self.cap)
    }

    /// Returns whether there are no more after so many.
    pub fn is_spent(&self, tried: u32) -> bool {
        self.tries.is_some_and(|tries| tried >= tries)
    }
}

/// Reads which classes send canaries: none unless it says so.
pub(super) fn decode_canaries(fields: &Fields<'_>) -> BTreeMap<Class, Canary> {
    let Some(said) = fields.get("canaries").and_then(|cursor| cursor.fields()) else { return BTreeMap::new() };
    let mut canaries = BTreeMap::new();
    for class in Class::ALL {
        let Some(cursor) = said.get(class.word()) else { continue };
        let standard = match class {
            Class::Auth => Canary { first: 10 * MINUTE, cap: 6 * HOUR, tries: None },
            Class::Unknown => Canary { first: MINUTE, cap: 6 * HOUR, tries: Some(1) },
            _ => {
                cursor.mistake(format!("{} has no canaries; write auth or unknown", class.word()));
                continue;
            }
        };
        canaries.extend(decode_canary(&cursor, &standard).map(|canary| (class, canary)));
    }
    said.end();
    canaries
}

fn decode_canary(cursor: &Cursor<'_>, standard: &Canary) -> Option<Canary> {
    let fields = cursor.fields()?;
    let length = |key| fields.get(key).and_then(|cursor| cursor.duration(Duration::from_secs(1)..=365 * DAY));
    let first = length("first").unwrap_or(standard.first);
    // Whoever waits longer for the first has no other wait in mind.
    let cap = length("cap").unwrap_or(standard.cap.max(first));
    let tries = fields.get("tries").and_then(|cursor| cursor.whole(1..=1000u32)).or(standard.tries);
    if cap < first {
        cursor.mistake("cap is less than first; write the longest wait as cap");
    }
    fields.end();
    Some(Canary { first, cap, tries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_the_cap() {
        let canary = Canary { first: 10 * MINUTE, cap: 6 * HOUR, tries: Some(2) };
        let minutes: Vec<u64> = [0, 1, 5, 6, 99].iter().map(|tried| canary.wait(*tried).as_secs() / 60).collect();
        assert_eq!(minutes, [10, 20, 320, 360, 360]);
        assert_eq!([1, 2].map(|tried| canary.is_spent(tried)), [false, true]);
        assert!(!Canary { tries: None, ..canary }.is_spent(u32::MAX));
    }
}
