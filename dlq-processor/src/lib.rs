//! Dead letters: what a queue gave up on is copied into a ledger of its own before anything else, said what it is, and
//! redriven when that is safe.
//!
//! Invariants, each with tests:
//! 1. The ledger holds a letter before its source is changed, and says what will be done before it is done.
//! 2. What a source is asked to do is fenced by the failure that was captured, and safe to repeat.
//! 3. `policy` is pure: no I/O, no clock, no randomness; all of that comes in as arguments.
//! 4. Nothing is redriven that nobody opted into, and nothing automatically that may have been done already.
//!
//! It is no worker: it takes no lock of a job, runs nothing, and a queue works on without it.

mod alarm;
mod api;
mod app;
mod cli;
mod cold;
pub mod edit;
mod engine;
mod failpoint;
mod figures;
mod folders;
mod lease;
pub mod ledger;
mod letter_line;
mod openapi;
mod page;
pub mod policy;
mod redacted;
mod reload;
mod settings;
mod simulation;
pub mod source;
pub mod storm;
mod texts;

pub use cli::main;
