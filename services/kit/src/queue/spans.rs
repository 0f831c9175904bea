//! Spans of jobs that are put in and that are done, as OpenTelemetry's semantic conventions for messaging spans say.

use super::QueueError;
use crate::trace::{Context, Kind, Span};

/// What the conventions have no name for: job tables of our own.
const SYSTEM: &str = "jobs";

/// Begins the span of what is done to a job of `queue`: below `asked_by`, or else within the span that this code runs in.
pub(super) fn begin(kind: Kind, what: &'static str, queue: &str, name: &str, asked_by: Option<&Context>) -> Span {
    let title = format!("{what} {queue}");
    let mut span = match kind {
        Kind::Consumer => Span::enter(kind, title, asked_by, None, false),
        _ => Span::step(kind, title),
    };
    span.set("messaging.system", SYSTEM);
    span.set("messaging.operation.type", what);
    span.set("messaging.operation.name", name.to_owned());
    span.set("messaging.destination.name", queue.to_owned());
    span
}

/// Returns why a job was not put in, of a closed set.
pub(super) fn kind(error: &QueueError) -> &'static str {
    match error {
        QueueError::Full { .. } => "full",
        QueueError::Late(_) => "late",
        _ => "store",
    }
}
