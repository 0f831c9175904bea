//! Why a queue did not do what it was asked.

use std::time::Duration;

use super::job::JobId;
use super::{MAX_NAME_BYTES, MAX_PAYLOAD_BYTES};
use crate::config::show_duration;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The payload is over [`MAX_PAYLOAD_BYTES`].
    #[error("the payload has {bytes} bytes, more than {MAX_PAYLOAD_BYTES}; store it elsewhere and queue where it is")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The payload cannot be written as JSON.
    #[error("the payload cannot be written as JSON")]
    Payload(#[source] serde_json::Error),
    /// A name is empty, too long or has control characters.
    #[error("{what} {name:?} must have 1 to {MAX_NAME_BYTES} bytes and no control characters")]
    Name {
        /// What it names.
        what: &'static str,
        /// Its beginning.
        name: String,
    },
    /// As many jobs as allowed are waiting or running. Worth another try later.
    #[error("queue {queue:?} is full: {limit} jobs are not finished")]
    Full {
        /// The queue.
        queue: String,
        /// The bound that was given.
        limit: u32,
    },
    /// The lease ran out and the job is somebody else's, or done. Nothing was changed.
    #[error("job {0} is no longer held by this claim")]
    Lost(JobId),
    /// A dead job cannot come back while another one with its key is not finished.
    #[error("another job with the key of job {0} is not finished")]
    KeyTaken(JobId),
    /// The deadline passed; whether the change was made is not known.
    #[error("the job store did not answer within {}", show_duration(*.0))]
    Late(Duration),
    /// A later program made the tables.
    #[error(
        "schema {schema:?} has job tables of version {found}, newer than the {known} this program knows; run the newer program"
    )]
    Newer {
        /// The PostgreSQL schema.
        schema: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// There are no tables yet, and none were to be made.
    #[error("there are no job tables in {0} yet; the program that puts jobs in makes them")]
    Missing(String),
    /// An earlier program made the tables, and they were not to be changed.
    #[error(
        "the job tables in {place} are of version {found}, older than the {known} this program needs; start the program that puts jobs in, of the same release"
    )]
    Older {
        /// The file or the schema.
        place: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The PostgreSQL schema's name cannot be used.
    #[error("schema {0:?} must have 1 to 63 lower-case letters, digits and underscores, and begin with a letter")]
    Schema(String),
    /// The folder or the lock file beside the SQLite file cannot be used.
    #[error("cannot use {file}")]
    File {
        /// The folder or file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The SQLite file was not opened.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Open(#[from] crate::db::OpenError),
    /// Anything else that the database says.
    #[error("the job store failed")]
    Store(#[from] sqlx::Error),
}

/// Refuses tables that are missing or older than the `known` steps lead to.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn check_version(place: String, found: i64, known: usize) -> Result<(), QueueError> {
    let known = i64::try_from(known).unwrap_or(i64::MAX);
    match found {
        0 => Err(QueueError::Missing(place)),
        found if found < known => Err(QueueError::Older { place, found, known }),
        _ => Ok(()),
    }
}
