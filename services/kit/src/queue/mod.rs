//! Durable job queues as SQL tables, the same over one SQLite file and over PostgreSQL.
//!
//! A job is a row until it is done: waiting, running under a lease, or dead with a reason. It runs at least once; what it
//! does must bear being done twice. There is no order between jobs that run at the same time, and no result: whoever
//! wants one writes it himself.

mod claims;
mod counts;
mod dead;
mod deaths;
mod engine;
mod error;
mod job;
mod keyed;
mod ordered;
#[cfg(feature = "postgres")]
mod postgres;
mod put;
mod spans;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stats;
mod store;
mod worker;

pub(crate) use counts::collect;
pub use deaths::{Deaths, Place};
pub use error::QueueError;
pub use job::{Claim, DeadJob, Death, Draft, Epoch, Failed, Job, JobId, Options, Retry, Stats};
pub use ordered::{Attempts, ORDER_MEMORY, Redrive, Redriven};
pub use store::Queues;
pub use worker::{JobFailure, Worker, WorkerSettings};

/// Longest payload, in bytes. Ours: a row is rewritten at each claim, and a job names things rather than carrying them.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// Longest reason of a failure, in bytes; what is longer is cut. Room for a stack trace's useful end.
pub const MAX_REASON_BYTES: usize = 4 * 1024;
/// Longest name of a queue, a job, an owner or a key, in bytes. Ours: room for two UUIDs and words.
pub const MAX_NAME_BYTES: usize = 128;
/// The reason that a job has whose worker was not heard of again.
pub const LEASE_EXPIRED: &str = "lease expired";
