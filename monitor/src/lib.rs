//! Knows whether every service really works, and says why it does not.

mod config;
pub mod judge;
pub mod probe;
pub mod record;
pub mod schedule;
pub mod supervise;
