//! Alerts that the client does not take for what they are: counted, said once of each, and no trouble of any other alert.

use std::collections::BTreeSet;

use kit::alert::AlertError;
use kit::chain::Chain;
use prometheus::IntCounterVec;

/// Which alerts were not taken.
pub(super) struct Untold {
    counted: IntCounterVec,
    /// Those that were not at the last try.
    keys: BTreeSet<String>,
}

impl Untold {
    pub(super) fn new(counted: IntCounterVec) -> Self {
        Self { counted, keys: BTreeSet::new() }
    }

    /// Notes what came of an alert, and returns why it was not taken, if that is so.
    ///
    /// # Errors
    /// What is no fault of the alert.
    pub(super) fn note(&mut self, key: &str, fired: Result<(), AlertError>) -> Result<Option<Refusal>, AlertError> {
        let Err(error) = fired else {
            self.keys.remove(key);
            return Ok(None);
        };
        let Some(refusal) = Refusal::of(&error) else { return Err(error) };
        self.counted.with_label_values(&[refusal.word()]).inc();
        if self.keys.insert(key.to_owned()) {
            tracing::warn!(error = %Chain(&error), "an alert cannot be told; the others are");
        }
        Ok(Some(refusal))
    }

    /// Forgets what nobody wants to tell any more.
    pub(super) fn keep(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.keys.retain(|key| is_wanted(key));
    }
}

/// Why an alert was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no room now.
    Full,
    /// It is too long.
    TooLarge,
    /// Its names or labels are none.
    Malformed,
}

impl Refusal {
    /// None if it is no fault of the alert.
    fn of(error: &AlertError) -> Option<Self> {
        match error {
            AlertError::Full(_) => Some(Self::Full),
            AlertError::TooLarge { .. } => Some(Self::TooLarge),
            AlertError::Nameless | AlertError::Label(_) | AlertError::Reserved(_) => Some(Self::Malformed),
            AlertError::Settings(_) | AlertError::Queue(_) => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
        }
    }
}
