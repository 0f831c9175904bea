//! Stopping in order: one signal begins a drain under a stated grace, a second one ends it at once.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Signals this soon after the first are the same one, passed on twice.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Waits for SIGTERM or SIGINT, then cancels `token`. A second signal ends the process with 130 (128 + SIGINT).
///
/// # Errors
/// When the handlers cannot be installed.
pub fn on_signals(token: CancellationToken) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping; a second signal stops at once");
        token.cancel();
        let began = Instant::now();
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // A terminal and a wrapper may both pass on the same Ctrl-C.
            if began.elapsed() > SAME_SIGNAL {
                break;
            }
        }
        tracing::warn!("second signal: stopping without draining");
        std::process::exit(130);
    }))
}

/// Waits for `drain` for at most `grace`; returns whether it finished.
pub async fn within(grace: Duration, what: &str, drain: impl Future<Output = ()>) -> bool {
    let finished = tokio::time::timeout(grace, drain).await.is_ok();
    if !finished {
        tracing::warn!(grace_ms = grace.as_millis(), "{what} did not finish in its grace");
    }
    finished
}
