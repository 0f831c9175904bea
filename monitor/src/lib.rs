//! Placeholder.

pub mod supervise;
