//! The look of each verdict and health.

use kit::page::Tone;

use crate::judge::{Health, Verdict};

/// Returns how a verdict looks.
pub(in crate::export) fn of_verdict(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Up => Tone::Good,
        Verdict::Degraded => Tone::Warn,
        Verdict::Down | Verdict::CrashLooping | Verdict::GaveUp | Verdict::Gone => Tone::Bad,
        Verdict::Starting => Tone::Busy,
        Verdict::Stale | Verdict::Unknown => Tone::Blind,
        Verdict::Stopped | Verdict::Completed => Tone::Off,
    }
}

/// Returns how a check's health looks.
pub(super) fn of_health(health: Health) -> Tone {
    match health {
        Health::Up => Tone::Good,
        Health::Degraded => Tone::Warn,
        Health::Down => Tone::Bad,
        Health::Stale | Health::Unknown => Tone::Blind,
    }
}

/// Writes a word of the JSON as people say it: `crash looping`.
pub(in crate::export) fn spoken(word: &str) -> String {
    word.replace('_', " ")
}
