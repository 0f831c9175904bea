//! Supervision: why a run ended, when to try again, and the keeper that holds one child and leaves nothing behind.
//!
//! * `cause`, `bucket`, `ledger`, `assessment`, `host_event` decide and are pure: time and randomness come as arguments.
//! * `keeper` is the program between monitor and child; `run_files`, `run_record`, `run_log` are what it leaves on disk,
//!   `run_group` is the cgroup of a run, `memory_kills` and `oom` ask whether memory ran out.
//! * `workload` is the registry of the ways a service can run.
//! * `settings`, `launcher`, `process`, `supervisor` are the monitor's side of it.
//! * `container` watches what a container engine runs, `unit` what systemd does; `following`, `pace`, `teller` and
//!   `last_lines` serve both.
//! * `described` is what a runtime declares of health, `check_command` (with `shell`) reads the command behind that, and
//!   `diagnosis` says why it is wrong.
//! * `discovery` finds services by themselves, among what a runtime runs.

pub mod assessment;
pub mod bucket;
pub mod cause;
pub mod check_command;
mod container;
mod decode;
pub mod described;
pub mod diagnosis;
mod digest;
pub mod discovery;
mod following;
pub mod host_event;
pub mod keeper;
mod last_lines;
pub mod launcher;
pub mod ledger;
pub mod memory_kills;
pub mod message;
pub mod oom;
mod pace;
pub mod process;
pub mod process_table;
pub mod run_files;
mod run_group;
pub mod run_log;
pub mod run_record;
#[cfg(test)]
mod script;
pub mod settings;
pub(crate) mod shell;
pub mod supervisor;
mod teller;
pub mod telltale;
mod unit;
pub mod workload;

pub use assessment::Assessment;
pub use container::{EngineAddress, ImageEngine, LookedAt};
pub use described::{DeclaredHealth, DeclaredProbe, DeclaredState, DeclaredUnit, Described, Way};
pub(crate) use digest::digest_of;
pub use kit::secrets::redact_line as redact;
pub use ledger::{End, Excuse, Ledger, Run, Who};
pub use message::{Command, Event, Rest};
pub use run_record::Mode;
pub use settings::ProcessSettings;
pub use workload::{Workload, WorkloadKinds};
