//! Proves every minute that sign-in really works: kinds of checks that sign in as a person does and try what a thief tries,
//! on the engine of crate `monitor`.
//!
//! Nothing here judges, records or alerts: a kind asks and says what it found, the engine does the rest. Every account that
//! a check makes stands in the [`Ledger`] before it is asked for, so that none outlives the next start.

mod account;
mod answer;
mod attack;
mod command;
mod config;
mod daemon;
mod folder;
mod kinds;
mod ledger;
mod metrics;
mod sightings;
mod site;
mod streams;
mod token;

pub use command::main;
pub use config::{BUILT_IN, load};
pub use kinds::{Means, kept_from_here, kinds};
pub use ledger::Ledger;
pub use metrics::AuthMetrics;
