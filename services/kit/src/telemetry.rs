//! Traces and logs on their way out of this process: read, started and finished together.

use std::time::Duration;

use crate::config::Environment;
use crate::export::Exporting;
use crate::log::{self, LokiSettings};
use crate::trace::{self, TraceSettings};

/// Longest wait at the end of a program: for the 3 s that what waits has, and for a disk.
const LONGEST: Duration = Duration::from_secs(4);
/// Longest wait then for whoever reads standard output.
const FLUSH: Duration = Duration::from_millis(500);

/// Where a program's traces and log go, if anywhere beside its output.
#[derive(Debug, Clone)]
pub struct Telemetry {
    traces: Option<TraceSettings>,
    logs: Option<LokiSettings>,
}

/// The exports of this process, to be finished before it ends.
#[derive(Debug)]
#[must_use = "what waits is lost unless it is finished"]
pub struct Running {
    traces: Exporting,
    logs: Exporting,
}

/// Returns the variables, for `--help`.
pub fn variables() -> String {
    format!("{}\n\n{}", trace::VARIABLES, log::VARIABLES)
}

impl Telemetry {
    /// Reads the variables for the program of this name and version.
    ///
    /// # Errors
    /// Every mistake, one line each; none shows a secret.
    pub fn read(environment: &Environment, name: &'static str, version: &'static str) -> Result<Self, Vec<String>> {
        match (TraceSettings::read(environment, name, version), LokiSettings::read(environment, name)) {
            (Ok(traces), Ok(logs)) => Ok(Self { traces, logs }),
            (traces, logs) => Err([traces.err(), logs.err()].into_iter().flatten().flatten().collect()),
        }
    }

    /// Starts what there is. A second start (tests) does nothing.
    pub fn start(self) -> Running {
        // First the log, so that it says of the traces.
        let logs = log::start_loki(self.logs);
        Running { traces: trace::start(self.traces), logs }
    }
}

impl Running {
    /// Hands over what waits, for at most 4 s, and has the output written, for at most half a second.
    pub async fn finish(self) {
        // Each has less, unless a disk does not answer.
        let all = async { tokio::join!(self.traces.finish(), self.logs.finish()) };
        let _too_late = tokio::time::timeout(LONGEST, all).await;
        let _panicked = tokio::task::spawn_blocking(|| log::flush(FLUSH)).await;
    }
}
