//! From observations to health, from health to verdicts. Pure: no I/O, no clock, no async; time arrives as an argument.

mod announcement;
mod board;
mod check;
mod discrepancy;
mod entry;
mod excuses;
mod flap;
mod lineup;
mod policy;
mod replicas;
mod run_lines;
mod verdict;
mod workload;

pub use announcement::Announcement;
pub use board::{Board, Effects, VerdictChange};
pub use check::{CheckState, Health};
pub use discrepancy::Discrepancy;
pub use entry::{CheckEntry, CheckSpec, STREAK_KEPT, ServiceEntry, ServiceSpec};
pub use flap::Flap;
pub use policy::{Policy, Severity, Threshold};
pub use replicas::{ReplicaOf, Replicas};
pub use run_lines::RunLines;
pub use verdict::{Asked, CheckFacts, Runtime, ServiceFacts, Verdict, judge};
pub use workload::{Phase, WorkloadState};
