//! Tells systemd how a daemon stands: ready, alive, stopping (`sd_notify(3)`). Where systemd did not start it, nothing is
//! told.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A message is a datagram that systemd takes within microseconds, unless it hangs itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says that the daemon does its work, and in a few words what that is.
pub async fn ready(status: String) {
    tell(move || sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)])).await;
}

/// Says that it is about to end, which may take its grace.
pub async fn stopping() {
    tell(|| sd_notify::notify(&[NotifyState::Stopping])).await;
}

/// Says that it is alive for as long as `is_alive` says so, at half of the interval that `WatchdogSec=` of its unit asks
/// for. Ends at once where nobody asks.
///
/// # Cancel safety
/// Dropping it ends it, and with that the daemon, once the interval is over.
pub async fn keep_alive(is_alive: impl Fn() -> bool) {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    loop {
        if is_alive() {
            tell(|| sd_notify::notify(&[NotifyState::Watchdog])).await;
        }
        tokio::time::sleep(interval / 2).await;
    }
}

async fn tell(message: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    match timeout(PATIENCE, spawn_blocking(message)).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "systemd cannot be told how this daemon stands"),
        Ok(Err(_)) | Err(_) => tracing::warn!("systemd does not take how this daemon stands"),
    }
}
