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
use kit::trace::Context;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::ledger::{Ledger, LedgerError, Waiting};
use crate::source::Peril;

/// The alert of letters that wait.
const LETTERS: &str = "DeadLetters";
/// The alert of queues that are unsafe for them.
const UNSAFE: &str = "DeadLetterQueueUnsafe";
/// Begins what is noted of a queue that was told of as unsafe; a fingerprint has no such sign.
const OF_QUEUE: &str = "queue/";
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
pub(crate) async fn tell_for_ever(
    settings: AlertSettings,
    folder: &Path,
    ledger: &Ledger,
    perils: impl Fn() -> Vec<Peril>,
    metrics: &Metrics,
) {
    let page = settings.page.clone();
    let client = open(settings, folder, metrics).await;
    let telling = async {
        let mut failures = 0;
        loop {
            match tell(&client, ledger, &perils(), page.as_ref()).await {
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

async fn tell(client: &AlertClient, ledger: &Ledger, perils: &[Peril], page: Option<&Url>) -> Result<(), Trouble> {
    let waiting = ledger.waiting(MOST).await?;
    let of_letters = waiting.iter().map(|group| (group.fingerprint.clone(), alert(group, page)));
    let wanted: BTreeMap<String, Alert> = of_letters.chain(perils.iter().map(alert_of)).collect();
    let told: BTreeSet<String> = ledger.told().await?.into_iter().collect();
    for (key, alert) in &wanted {
        // First that it will be told: nobody else would know that it must be taken back.
        if !told.contains(key) {
            ledger.tell(key, true).await?;
        }
        client.fire(alert).await?;
    }
    for key in told.iter().filter(|key| !wanted.contains_key(*key)) {
        // There may only be more kinds than are told of at once.
        if ledger.is_waiting(key).await? {
            continue;
        }
        let (name, labels) = named(key);
        client.resolve(name, &labels).await?;
        ledger.tell(key, false).await?;
    }
    Ok(())
}

/// The alert that something was told under, and its labels.
fn named(key: &str) -> (&'static str, BTreeMap<String, String>) {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match key.strip_prefix(OF_QUEUE).and_then(|rest| rest.split_once('/')) {
        Some((kind, queue)) => (UNSAFE, BTreeMap::from([label("peril", kind), label("queue", queue)])),
        None => (LETTERS, BTreeMap::from([label("fingerprint", key)])),
    }
}

fn alert_of(Peril { queue, kind, why }: &Peril) -> (String, Alert) {
    let key = format!("{OF_QUEUE}{}/{queue}", kind.word());
    let (name, labels) = named(&key);
    let alert = Alert {
        name: name.to_owned(),
        service: queue.clone(),
        severity: Severity::Page,
        summary: format!("dead letters of {queue} are not safe: nothing is redriven there"),
        description: format!("{why}. Who knows better writes accept: [{}] for this queue.", kind.word()),
        labels,
        annotations: BTreeMap::new(),
        starts_at: Timestamp::now(),
    };
    (key, alert)
}

fn alert(group: &Waiting, page: Option<&Url>) -> Alert {
    let Waiting { fingerprint, queue, name, class, message, sample, another, letters, since_ms, pages, .. } = group;
    let how_many =
        if *letters == 1 { "a dead letter waits".to_owned() } else { format!("{letters} dead letters wait") };
    let message = redact_line(message);
    let said = if message.is_empty() { "no words of its own" } else { &message };
    let samples: BTreeSet<&String> = [sample, another].into();
    let commands = samples.into_iter().map(|id| format!("dlq-processor show {id}"));
    let all = page.and_then(|page| page.join(&format!("letters?fingerprint={fingerprint}")).ok());
    let seen: Vec<String> = commands.chain(all.map(String::from)).collect();
    let trace_id = group.traceparent.as_deref().and_then(Context::parse).map(|context| context.trace_id());
    Alert {
        name: LETTERS.to_owned(),
        service: queue.clone(),
        severity: if *pages > 0 { Severity::Page } else { Severity::Ticket },
        summary: format!("{how_many} in {queue}: {name} ({class})"),
        description: format!("{said}. To see more: {}", seen.join(" · ")),
        labels: named(fingerprint).1,
        annotations: trace_id.map(|id| ("trace_id".to_owned(), id)).into_iter().collect(),
        starts_at: Timestamp::from_millisecond(*since_ms).unwrap_or_else(|_| Timestamp::now()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_names_the_trace_that_put_a_job_in_if_that_is_one() {
        let trace_of = |traceparent: Option<&str>| {
            let text = |text: &str| text.to_owned();
            let group = Waiting {
                fingerprint: text("f1"),
                queue: text("mails"),
                name: text("send"),
                class: text("unknown"),
                message: String::new(),
                sample: text("a"),
                another: text("a"),
                traceparent: traceparent.map(text),
                letters: 1,
                since_ms: 0,
                pages: 0,
            };
            let alert = alert(&group, None);
            assert_eq!(alert.description, "no words of its own. To see more: dlq-processor show a");
            alert.annotations.get("trace_id").cloned()
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_of(Some(&format!("00-{trace}-b7ad6b7169203331-01"))).as_deref(), Some(trace));
        assert_eq!([trace_of(None), trace_of(Some("nonsense"))], [None, None]);
    }
}
