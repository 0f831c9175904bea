//! What everything that leaves this process in batches has in common: the task that sends, one request, and how long to wait.
//! What a batch is, and what an answer means, is the business of traces and logs.

mod exporting;
mod post;

use std::time::Duration;

pub use exporting::Exporting;
pub(crate) use post::{LONGEST_WAIT, Post, Reply, shown};

use crate::backoff::Backoff;

/// Longest wait for whoever takes it when the program stops: its drain has had most of the time that systemd or Docker give.
pub(crate) const LAST: Duration = Duration::from_secs(3);
/// Between tries of one batch, as OpenTelemetry's SDKs wait.
pub(crate) const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(5) };
