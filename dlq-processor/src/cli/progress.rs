//! A line on standard error that says how far a long command has come, where somebody looks.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines.
const EVERY: Duration = Duration::from_millis(200);
/// Columns of a bar.
const BAR: u64 = 24;

/// The line. It goes when this is dropped.
pub(super) struct Progress {
    is_shown: bool,
    written_at: Option<Instant>,
}

impl Progress {
    /// One that is shown on a terminal, unless the result itself is written there.
    pub(super) fn new(result_is_on_terminal: bool) -> Self {
        let is_live = std::io::stderr().is_terminal() && std::env::var("TERM").is_ok_and(|term| term != "dumb");
        Self { is_shown: is_live && !result_is_on_terminal, written_at: None }
    }

    /// Shows a line, if the last one has stood there for a while.
    pub(super) fn show(&mut self, line: impl FnOnce() -> String) {
        if self.is_shown && self.written_at.is_none_or(|at| at.elapsed() >= EVERY) {
            self.write(&line());
            self.written_at = Some(Instant::now());
        }
    }

    /// To the start of the line, which is cleared (ECMA-48: EL).
    fn write(&self, line: &str) {
        let mut errors = std::io::stderr().lock();
        let _nobody_looks = write!(errors, "\r\x1b[K{line}").and_then(|()| errors.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.written_at.is_some() {
            self.write("");
        }
    }
}

/// Returns a bar of so much of all.
pub(super) fn bar(done: u64, all: u64) -> String {
    let full = done.min(all).saturating_mul(BAR).checked_div(all).unwrap_or(BAR);
    let cells = (0..BAR).map(|cell| if cell < full { '█' } else { '░' });
    format!("{} {} %", cells.collect::<String>(), done.min(all).saturating_mul(100).checked_div(all).unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_it_says() {
        for (done, all, expected) in [(0, 10, 0), (5, 10, 12), (10, 10, 24), (20, 10, 24), (0, 0, 24)] {
            assert_eq!(bar(done, all).matches('█').count(), expected, "{done} of {all}");
        }
        assert!(bar(1, 3).ends_with(" 33 %"));
    }
}
