//! Supervision: why a run ended, when to try again, and the keeper that holds one child and leaves nothing behind.
//!
//! `cause`, `bucket`, `ledger`, `assessment` and `host_event` are pure: time and randomness come in as arguments.

pub mod assessment;
pub mod bucket;
pub mod cause;
pub mod host_event;
pub mod keeper;
pub mod ledger;
pub mod process_table;
pub mod run_files;
pub mod run_log;
pub mod run_record;
