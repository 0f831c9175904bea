//! Knows whether every service really works, and says why it does not.

pub mod judge;
pub mod probe;
pub mod schedule;
