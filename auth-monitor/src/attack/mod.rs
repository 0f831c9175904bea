//! Finds attacks on sign-in in what happened there. Pure: no I/O, no clock; time and events arrive as arguments.

mod accounts;
mod detector;
mod event;
mod finding;
mod network;
mod sources;
#[cfg(test)]
mod traffic_tests;

pub(crate) use detector::Detector;
pub(crate) use event::Event;

/// The longest window of any rule, in milliseconds: events older than that no longer matter.
pub(crate) const LONGEST_WINDOW_MS: i64 = accounts::WINDOW_MS;
