//! What people and services did, what it cost, and what of it is asked for.
//!
//! Events and metrics are kept for a time. What is asked for of all of them is counted in the same transaction that keeps
//! them, so that no answer has to go through them.

mod checks;
mod clearances;
mod conditions;
mod costs;
mod counts;
mod dashboard;
mod event;
mod events;
mod metric;
mod metrics;
mod period;
mod probe;
mod rights;
mod routes;
mod usage;

pub(crate) use clearances::clearances;
pub(crate) use routes::{Analytics, routes};
