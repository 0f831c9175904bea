//! Lines for people and pipes: a reader that left (`monitor status | head -1`) is no error.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Prints a line of the result.
pub(super) fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => complain(format_args!("monitor: cannot write the result: {error}")),
    }
}

/// Prints a line to standard error; if nobody reads that either, nothing is left to be done.
pub(super) fn complain(line: impl Display) {
    let _closed = writeln!(std::io::stderr(), "{line}");
}
