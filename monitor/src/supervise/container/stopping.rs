//! How a container is asked to stop, and how one ends that was. Pure.

use std::time::Duration;

use crate::supervise::cause::Exit;

/// A run that ends this long after a signal through the API, or after the time that it is given then, may have ended because
/// of it: `docker stop` waits 10 s by default, and kills, which is another signal.
pub(super) const ASKED_FOR: Duration = Duration::from_secs(120);
/// If it ends as one that was asked to: somebody may have given it more time than its own settings say.
const ASKED_FOR_CLEANLY: Duration = Duration::from_secs(3600);

/// What a container ends with that a signal ended, beside the signal's number.
const SIGNAL_CODE_BASE: i32 = 128;
const SIGTERM: i32 = 15;
/// What a container ends with that SIGKILL ended: 128 + 9.
pub(super) const KILLED_CODE: i32 = 137;

/// SIGHUP, SIGUSR1, SIGUSR2, SIGCONT and SIGWINCH (`signal(7)`): signals that tell a program something, and end few.
const TELLING_SIGNALS: [i32; 5] = [1, 10, 12, 18, 28];

/// What its settings say of how it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stopping {
    /// The signal that asks it to; none: SIGTERM.
    pub(super) signal: Option<i32>,
    /// The time that it has from then on.
    pub(super) timeout: Option<Duration>,
}

impl Stopping {
    /// Returns whether a signal was meant to end it.
    pub(super) fn is_meant_by(self, signal: Option<i32>) -> bool {
        signal.is_none_or(|signal| self.signal == Some(signal) || !TELLING_SIGNALS.contains(&signal))
    }

    /// Returns how long after it was asked to a run may end because of that.
    pub(super) fn patience(self, exit: Exit) -> Duration {
        let is_told = exit == Exit::Code(0) || exit == Exit::Code(SIGNAL_CODE_BASE + self.signal.unwrap_or(SIGTERM));
        if is_told { ASKED_FOR_CLEANLY } else { ASKED_FOR.saturating_add(self.timeout.unwrap_or_default()) }
    }
}
