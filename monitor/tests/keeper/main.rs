//! Keepers and their children, as real processes: every way to end, and that nothing is left behind.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets the unexpected shall stop there")]

mod endings;
mod family;
mod group;
mod kept;
mod output;
mod starts;
mod supervisor;
mod watched;
