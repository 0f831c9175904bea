//! The workers of the channels: one each, replaced when the configuration is.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::alert::{Alerts, Channels};

/// A worker that broke waits so long before it begins again.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How long a stopping monitor waits for messages that are on their way: each is on the disk and goes out at the next
/// start, with the same key.
const GRACE: Duration = Duration::from_secs(5);

/// Every worker that runs.
pub(super) struct ChannelWorkers {
    alerts: Arc<Alerts>,
    running: HashMap<Arc<str>, (CancellationToken, JoinHandle<()>)>,
}

impl ChannelWorkers {
    pub(super) fn new(alerts: Arc<Alerts>) -> Self {
        Self { alerts, running: HashMap::new() }
    }

    /// Has one worker for each channel. An old one finishes its message before the new one of the same name begins: no
    /// message is sent by both.
    pub(super) fn configure(&mut self, channels: &Channels) {
        let mut before = std::mem::take(&mut self.running);
        before.values().for_each(|(stop, _)| stop.cancel());
        for settings in channels {
            let earlier = before.remove(&settings.name);
            let (alerts, stop, settings) = (self.alerts.clone(), CancellationToken::new(), settings.clone());
            let (name, until) = (settings.name.clone(), stop.clone());
            let task = tokio::spawn(async move {
                if let Some((_, earlier)) = earlier {
                    let _ended_anyhow = earlier.await;
                }
                // A worker that breaks begins again: what it had is on the disk, or still waits.
                while AssertUnwindSafe(alerts.clone().work(settings.clone(), until.clone()))
                    .catch_unwind()
                    .await
                    .is_err()
                {
                    tracing::error!(alert.channel = &*settings.name, "the channel's worker broke; it begins again");
                    tokio::time::sleep(RESTART_AFTER).await;
                }
            });
            self.running.insert(name, (stop, task));
        }
    }

    /// Ends every worker.
    pub(super) async fn stop(&mut self) {
        let running = std::mem::take(&mut self.running);
        running.values().for_each(|(stop, _)| stop.cancel());
        let aborts: Vec<_> = running.values().map(|(_, task)| task.abort_handle()).collect();
        kit::shutdown::within(GRACE, "messages on their way", async {
            for (_, task) in running.into_values() {
                let _ended_anyhow = task.await;
            }
        })
        .await;
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
    }
}
