//! `monitor keep`: the small synchronous program that holds one child and leaves nothing of it behind.
//!
//! A keeper is its child's parent, reaper and scribe, so that the monitor may die or be replaced without the child
//! noticing. It reads one order (a line of JSON) and then the lines `stop` or `kill` from its standard input, and answers
//! by files only ([`super::run_files`]). It knows nothing of restarts, budgets or health.
//!
//! Between keeper and command there is one more `exec` of this binary, `monitor keep-start`: what must happen inside
//! the child before its program runs (session, signal mask, user, parent-death signal) happens there in safe code.

mod control;
mod ending;
mod hold;
mod order;
mod start;

pub use hold::{KEEP_START, KeepArguments, keep, keep_if_asked};
pub use order::{Environment, KeepOrder, UserIds};
