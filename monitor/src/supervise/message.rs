//! What goes into and comes out of a supervisor.

use std::time::Duration;

use kit::clock::Stamp;
use uuid::Uuid;

use super::assessment::Assessment;
use super::described::Described;
use super::ledger::{Excuse, Who};
use super::process::Ending;

/// What a supervisor is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Start if it does not run: now, except that [`Who::Us`] waits as long as the ledger says.
    Start(Who),
    /// Stop, and stay stopped; by [`Who::Us`] it is a quarantine.
    Stop(Who),
    /// Stop if it runs, and start; planned.
    Restart(Who),
    /// As `Restart`, but because it was broken: the end spends budget.
    Heal,
    /// The end of this run was not the service's fault.
    Excuse(Uuid, Excuse),
}

/// What a supervisor tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A run began, or an earlier monitor's was adopted.
    Started {
        /// The service's id.
        service: String,
        /// The run's id.
        run: Uuid,
        /// The child; none if it never came on record.
        pid: Option<i32>,
        /// Who began it.
        by: Who,
        /// Whether an earlier monitor started it.
        adopted: bool,
        /// When.
        stamp: Stamp,
    },
    /// A run ended.
    Ended {
        /// The service's id.
        service: String,
        /// The run's id.
        run: Uuid,
        /// Who ended it.
        by: Who,
        /// Whether that was planned.
        planned: bool,
        /// How, with the last lines of its output.
        ending: Ending,
    },
    /// It will be started after a delay.
    Waiting {
        /// The service's id.
        service: String,
        /// From now.
        delay: Duration,
        /// Why: loops, giving up, level.
        assessment: Assessment,
    },
    /// It rests until somebody starts it.
    Resting {
        /// The service's id.
        service: String,
        /// Why.
        rest: Rest,
        /// What whoever runs it says of that, if anything.
        why: Option<String>,
    },
    /// It became known what a run runs.
    Identified {
        /// The service's id.
        service: String,
        /// The run's id.
        run: Uuid,
        /// SHA-256 of the image, in hexadecimal.
        digest: String,
    },
    /// Between this run and the one before it there may have been others: whoever runs it did not tell.
    Missed {
        /// The service's id.
        service: String,
        /// The run's id.
        run: Uuid,
    },
    /// What whoever runs it declares of it has changed.
    Described {
        /// The service's id.
        service: String,
        /// What is declared now.
        described: Box<Described>,
    },
    /// Whoever runs it cannot be asked any more, or can be again.
    Sight {
        /// The service's id.
        service: String,
        /// Why it cannot; none if it can.
        lost: Option<String>,
    },
    /// Whoever runs it did not do what was asked.
    Refused {
        /// The service's id.
        service: String,
        /// What was asked.
        command: Command,
        /// Why not, with what to do about it.
        why: String,
    },
}

impl Event {
    /// Returns the service's id.
    pub fn service(&self) -> &str {
        match self {
            Self::Started { service, .. }
            | Self::Ended { service, .. }
            | Self::Waiting { service, .. }
            | Self::Resting { service, .. }
            | Self::Identified { service, .. }
            | Self::Missed { service, .. }
            | Self::Described { service, .. }
            | Self::Sight { service, .. }
            | Self::Refused { service, .. } => service,
        }
    }
}

/// Why a service is not running and not about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Somebody stopped it.
    Stopped,
    /// It did its work and returned 0.
    Completed,
    /// We stopped it because it looped, and hold it until somebody says so.
    Quarantined,
    /// It failed, and its settings say not to start it again.
    Failed,
    /// It failed so often that whoever runs it does not start it again.
    GaveUp,
    /// Whoever should run it does not know it, or not any more.
    Gone,
}

impl Rest {
    /// Returns the word used in JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Quarantined => "quarantined",
            Self::Failed => "failed",
            Self::GaveUp => "gave_up",
            Self::Gone => "gone",
        }
    }
}
