//! The workers of the channels: one each, replaced when the configuration is.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::alert::{Alerts, Channel, Channels};

/// A worker that broke waits so long before it begins again.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How long a stopping monitor waits for messages that are on their way: each is on the disk and goes out at the next
/// start, with the same key.
const GRACE: Duration = Duration::from_secs(5);

/// Every worker that runs.
pub(super) struct ChannelWorkers {
    alerts: Arc<Alerts>,
    running: HashMap<Arc<str>, Worker>,
}

struct Worker {
    channel: Arc<dyn Channel>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl ChannelWorkers {
    pub(super) fn new(alerts: Arc<Alerts>) -> Self {
        Self { alerts, running: HashMap::new() }
    }

    /// Has one worker for each channel. An old one finishes its message before the new one of the same name begins: no
    /// message is sent by both.
    pub(super) fn configure(&mut self, channels: &Channels) {
        let mut before = std::mem::take(&mut self.running);
        // The very same channel comes with a plan that was not read anew.
        let is_same = |name: &Arc<str>, worker: &Worker| {
            channels.iter().any(|known| known.name == *name && Arc::ptr_eq(&known.channel, &worker.channel))
        };
        self.running = before.extract_if(|name, worker| is_same(name, worker)).collect();
        before.values().for_each(|worker| worker.stop.cancel());
        for settings in channels {
            if self.running.contains_key(&settings.name) {
                continue;
            }
            let earlier = before.remove(&settings.name);
            let (alerts, stop, settings) = (self.alerts.clone(), CancellationToken::new(), settings.clone());
            let (name, until, channel) = (settings.name.clone(), stop.clone(), settings.channel.clone());
            let task = tokio::spawn(async move {
                if let Some(earlier) = earlier {
                    let _ended_anyhow = earlier.task.await;
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
            self.running.insert(name, Worker { channel, stop, task });
        }
    }

    /// Ends every worker.
    pub(super) async fn stop(&mut self) {
        let running = std::mem::take(&mut self.running);
        running.values().for_each(|worker| worker.stop.cancel());
        let aborts: Vec<_> = running.values().map(|worker| worker.task.abort_handle()).collect();
        kit::shutdown::within(GRACE, "messages on their way", async {
            for worker in running.into_values() {
                let _ended_anyhow = worker.task.await;
            }
        })
        .await;
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
    }
}
