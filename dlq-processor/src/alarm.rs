//! Tells the monitor of letters that wait for somebody: one alert for all failures that are alike, until none of them waits.
//! What is told follows from the ledger alone, so that nothing is forgotten when this process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kit::alert::{Alert, AlertClient, AlertError, AlertSettings, Severity};
use kit::backoff::Backoff;
use kit::chain::Chain;
use kit::metrics::Metrics;
use kit::queue::{QueueError, Queues};
use kit::secrets::redact_line;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Ledger, LedgerError, Waiting};

/// The alert.
const NAME: &str = "DeadLetters";
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between tries of what does not answer.
const RETRY: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(15) };
/// Kinds of failures that are told of at once, at most: with more there is one cause.
const MOST: usize = 200;

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Alert(#[from] AlertError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Tells, until it is dropped. What is to be told is kept in `folder` until the monitor has it.
pub(crate) async fn tell_for_ever(settings: AlertSettings, folder: &Path, ledger: &Ledger, metrics: &Metrics) {
    let client = open(settings, folder, metrics).await;
    let telling = async {
        let mut failures = 0;
        loop {
            match tell(&client, ledger).await {
                Ok(()) => {
                    failures = 0;
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(trouble) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(error = %Chain(&trouble), "nobody can be told of dead letters");
                    }
                    tokio::time::sleep(RETRY.delay(failures, rand::random())).await;
                }
            }
        }
    };
    tokio::join!(telling, client.run(CancellationToken::new()));
}

async fn open(settings: AlertSettings, folder: &Path, metrics: &Metrics) -> AlertClient {
    let mut failures = 0;
    let queues = loop {
        match Queues::sqlite(&folder.join("alerts.db")).await {
            Ok(queues) => break queues,
            Err(error) => {
                failures += 1;
                tracing::warn!(error = %Chain(&error), "what is to be told cannot be kept yet");
                tokio::time::sleep(RETRY.delay(failures, rand::random())).await;
            }
        }
    };
    AlertClient::new(settings, queues, metrics).expect("the settings were checked")
}

async fn tell(client: &AlertClient, ledger: &Ledger) -> Result<(), Trouble> {
    let waiting = ledger.waiting(MOST).await?;
    let told: BTreeSet<String> = ledger.told().await?.into_iter().collect();
    for group in &waiting {
        // First that it will be told: nobody else would know that it must be taken back.
        if !told.contains(&group.fingerprint) {
            ledger.tell(&group.fingerprint, true).await?;
        }
        client.fire(&alert(group)).await?;
    }
    for fingerprint in told.iter().filter(|told| waiting.iter().all(|group| group.fingerprint != **told)) {
        // There may only be more kinds than are told of at once.
        if ledger.is_waiting(fingerprint).await? {
            continue;
        }
        client.resolve(NAME, &labels(fingerprint)).await?;
        ledger.tell(fingerprint, false).await?;
    }
    Ok(())
}

fn labels(fingerprint: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("fingerprint".to_owned(), fingerprint.to_owned())])
}

fn alert(group: &Waiting) -> Alert {
    let Waiting { fingerprint, queue, name, class, message, sample, letters, since_ms, pages } = group;
    let how_many =
        if *letters == 1 { "a dead letter waits".to_owned() } else { format!("{letters} dead letters wait") };
    let message = redact_line(message);
    let said = if message.is_empty() { "no words of its own" } else { &message };
    Alert {
        name: NAME.to_owned(),
        service: queue.clone(),
        severity: if *pages > 0 { Severity::Page } else { Severity::Ticket },
        summary: format!("{how_many} in {queue}: {name} ({class})"),
        description: format!("{said}. GET /api/v1/letters?fingerprint={fingerprint}, or /api/v1/letters/{sample}"),
        labels: labels(fingerprint),
        annotations: BTreeMap::new(),
        starts_at: Timestamp::from_millisecond(*since_ms).unwrap_or_else(|_| Timestamp::now()),
    }
}
