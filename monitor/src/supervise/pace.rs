//! How often whoever watches a runtime asks it.

use std::time::Duration;

use kit::clock::{Moment, Stamp};
use tokio::time::Instant;

/// Everything is looked at anew this often (DESIGN section 7): an engine keeps 256 events and drops slow readers, and a bus
/// hangs up on them.
pub(super) const RESCAN_EVERY: Duration = Duration::from_secs(60);
/// A runtime that hangs ends no stream: only a question finds out.
pub(super) const PING_EVERY: Duration = Duration::from_secs(10);
/// Between two tries to reach a runtime that cannot be asked.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Returns when the first of those has settled that wait for that.
pub(super) fn first_settled(settles: impl Iterator<Item = Stamp>) -> Instant {
    // The clock counts milliseconds: one more, so that it has passed by then.
    let first = settles.map(|settles| settles.at).min();
    let wait = first.map(|first| first.since(Moment::now()) + Duration::from_millis(1));
    Instant::now() + wait.unwrap_or(RESCAN_EVERY)
}
