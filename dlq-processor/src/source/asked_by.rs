//! The span that put a job in, as its producer wrote it beside the job. What cannot be read says nothing.

use kit::trace::Context;

/// Longest text that is read, in bytes: a `traceparent` has 55 (W3C Trace Context, section 3.2), one of a later version more.
const LONGEST: usize = 256;

/// Reads a `traceparent`.
pub(super) fn read(traceparent: &str) -> Option<Context> {
    Context::parse(Some(traceparent).filter(|text| text.len() <= LONGEST)?)
}
