//! The log: human lines on a terminal, JSON elsewhere, without secrets; level by `LOG_LEVEL`. And the same lines to Loki,
//! when the environment names one.
//!
//! Daemons and services write to standard output. Commands keep that for results, and write to standard error, or to a file
//! while something else is drawn on the terminal.

mod fields;
mod layer;
mod line;
mod loki;
mod output;
mod start;

pub(crate) use loki::collect;
pub use loki::{LokiSettings, VARIABLES, start as start_loki};
pub(crate) use output::unwritten;
pub use output::{Output, flush};
pub use start::start;
