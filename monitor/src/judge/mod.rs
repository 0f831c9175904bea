//! From observations to health, from health to verdicts. Pure: no I/O, no clock, no async; time arrives as an argument.

mod check;
mod flap;
mod verdict;

pub use check::{CheckState, Health, Policy, Severity, Threshold};
pub use flap::Flap;
pub use verdict::{CheckFacts, Runtime, ServiceFacts, Verdict, judge};
