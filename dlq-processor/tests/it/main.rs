//! The daemon's parts against real servers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod asking;
mod bullmq;
mod cli;
mod daemon;
mod jobs;
mod ledger;
mod page;
mod rabbit;
mod streams;
