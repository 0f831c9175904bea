//! The engine as a whole, in this process and as the real binary: what it knows, what it survives.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod access;
mod ailing;
mod alerts;
mod binary;
mod clients;
mod containers;
mod discovered;
mod disk;
mod faults;
mod findings;
mod gate;
mod harness;
mod heals;
mod inside;
mod isolation;
mod judged;
mod kills;
mod ledger;
mod people;
mod prometheus;
mod read_only;
mod reload;
mod replicas;
mod sampled;
mod steps;
mod storm;
mod traced;
mod unit_files;
mod units;
mod ways;
mod workloads;
mod writes;
