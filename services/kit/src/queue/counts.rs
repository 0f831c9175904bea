//! How often this process did what with jobs, over all its queues.

use prometheus::proto::MetricFamily;

use crate::metrics::Operations;

static DONE: Operations<8> = Operations::new(
    "queue_operations_total",
    "What was done with jobs.",
    ["put", "claim", "extend", "complete", "fail", "redrive", "discard", "read"],
);

/// What is done with jobs, in the order of the names above.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Put,
    Claim,
    Extend,
    Complete,
    Fail,
    Redrive,
    Discard,
    Read,
}

/// Counts one.
pub(super) fn done(operation: Operation, succeeded: bool) {
    DONE.count(operation as usize, succeeded);
}

/// Returns the family, under the name that is promised; nothing before the first.
pub(crate) fn collect() -> Option<MetricFamily> {
    DONE.collect()
}
