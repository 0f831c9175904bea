//! Tells the monitor, again and again, while this process acts, and hands it over what is kept for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kit::alert::{AlertClient, AlertSettings};
use kit::backoff::Backoff;
use kit::chain::Chain;
use kit::metrics::Metrics;
use kit::queue::Queues;
use prometheus::IntCounterVec;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::conditions::Facts;
use super::teller::{Teller, Trouble};
use crate::ledger::Ledger;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between tries of what does not answer.
const RETRY: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(15) };

/// Whom to tell. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Alarm(Arc<Once>);

/// What there is once, however often this process begins to act.
struct Once {
    settings: AlertSettings,
    /// Where what is to be told is kept until the monitor has it.
    folder: PathBuf,
    metrics: Metrics,
    /// Alerts that were not taken.
    untold: IntCounterVec,
    client: OnceCell<AlertClient>,
}

impl Alarm {
    pub(crate) fn new(settings: AlertSettings, folder: &Path, metrics: &Metrics, untold: IntCounterVec) -> Self {
        let (folder, metrics) = (folder.to_owned(), metrics.clone());
        Self(Arc::new(Once { settings, folder, metrics, untold, client: OnceCell::default() }))
    }

    /// Tells of letters that wait, and of what `facts` come to, until it is dropped.
    pub(crate) async fn tell_for_ever(&self, ledger: &Ledger, facts: impl Fn() -> Facts) {
        let client = self.0.client.get_or_init(|| self.0.open()).await;
        let page = self.0.settings.page.as_ref();
        let mut teller = Teller::new(client, ledger, page, self.0.untold.clone());
        let mut failures = 0;
        // Before anything is posted.
        while let Err(trouble) = teller.begin().await {
            wait_after(&trouble, &mut failures).await;
        }
        let telling = async {
            let mut failures = 0;
            loop {
                match teller.tell(&facts()).await {
                    Ok(()) => {
                        failures = 0;
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                    Err(trouble) => wait_after(&trouble, &mut failures).await,
                }
            }
        };
        tokio::join!(telling, client.run(CancellationToken::new()));
    }
}

impl Once {
    async fn open(&self) -> AlertClient {
        let mut failures = 0;
        let queues = loop {
            match Queues::sqlite(&self.folder.join("alerts.db")).await {
                Ok(queues) => break queues,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = %Chain(&error), "what is to be told cannot be kept yet");
                    tokio::time::sleep(RETRY.delay(failures, rand::random())).await;
                }
            }
        };
        AlertClient::new(self.settings.clone(), queues, &self.metrics).expect("the settings were checked")
    }
}

async fn wait_after(trouble: &Trouble, failures: &mut u32) {
    *failures += 1;
    if *failures == 1 {
        tracing::warn!(error = %Chain(trouble), "nobody can be told of dead letters");
    }
    tokio::time::sleep(RETRY.delay(*failures, rand::random())).await;
}
