//! Tells the monitor what holds, and takes back what does not. What is told follows from the ledger and from what is so now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kit::alert::{Alert, AlertClient, AlertError, AlertSettings};
use kit::backoff::Backoff;
use kit::chain::Chain;
use kit::clock::later;
use kit::metrics::Metrics;
use kit::queue::{QueueError, Queues};
use prometheus::IntCounterVec;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::conditions::{Condition, Conditions, Facts};
use super::letters::{self, LETTERS};
use super::subject::Subject;
use super::untold::{Refusal, Untold};
use crate::ledger::{Ledger, LedgerError};

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
        let telling = async {
            let mut failures = 0;
            loop {
                match teller.tell(&facts()).await {
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

struct Teller<'a> {
    client: &'a AlertClient,
    ledger: &'a Ledger,
    /// Where links lead.
    page: Option<&'a Url>,
    conditions: Conditions,
    untold: Untold,
    /// When the first look was: a clock that somebody sets makes nothing last longer.
    began: (Instant, Timestamp),
}

impl<'a> Teller<'a> {
    fn new(client: &'a AlertClient, ledger: &'a Ledger, page: Option<&'a Url>, untold: IntCounterVec) -> Self {
        let began = (Instant::now(), Timestamp::now());
        Self { client, ledger, page, conditions: Conditions::default(), untold: Untold::new(untold), began }
    }

    /// Ends early only where nothing else would go better: an alert that is not taken holds up no other one.
    async fn tell(&mut self, facts: &Facts) -> Result<(), Trouble> {
        let now = self.began.0.elapsed();
        let conditions = self.conditions.look(facts, now);
        let waiting = self.ledger.waiting(MOST).await?;
        let told: BTreeSet<String> = self.ledger.told().await?.into_iter().collect();
        let of_letters = waiting.iter().map(|group| (group.fingerprint.clone(), letters::alert(group, self.page)));
        let of_conditions = conditions.iter().map(|condition| (condition.subject.key(), self.alert(condition)));
        let wanted: BTreeMap<String, Alert> = of_letters.chain(of_conditions).collect();
        self.untold.keep(|key| wanted.contains_key(key) || told.contains(key));
        for (key, alert) in &wanted {
            // First that it will be told: nobody else would know that it must be taken back.
            if !told.contains(key) {
                self.ledger.tell(key, true).await?;
            }
            self.fire(key, alert).await?;
        }
        for key in told.iter().filter(|key| !wanted.contains_key(*key)) {
            let subject = Subject::of_key(key);
            let is_over = match &subject {
                Some(subject) => self.conditions.is_over(subject, facts, now),
                // There may only be more kinds than are told of at once.
                None => !self.ledger.is_waiting(key).await?,
            };
            if !is_over {
                continue;
            }
            let is_told = match subject {
                Some(subject) => self.take_back(key, &subject).await?,
                None => {
                    let _was_open = self.client.resolve(LETTERS, &letters::labels(key)).await?;
                    true
                }
            };
            if is_told {
                self.ledger.tell(key, false).await?;
            }
        }
        Ok(())
    }

    async fn fire(&mut self, key: &str, alert: &Alert) -> Result<Option<Refusal>, AlertError> {
        let fired = self.client.fire(alert).await;
        self.untold.note(key, fired)
    }

    /// Says that something is over, and returns whether that need not be tried again. Another process may have told of it, which
    /// does not act any more: only whoever says it again can say that it is over.
    async fn take_back(&mut self, key: &str, subject: &Subject) -> Result<bool, AlertError> {
        if !self.client.resolve(subject.alert_name(), &subject.labels()).await? {
            let condition = Condition {
                subject: subject.clone(),
                severity: subject.severity(),
                summary: "this is over".to_owned(),
                description: String::new(),
                since: Duration::ZERO,
            };
            let refusal = self.fire(key, &self.alert(&condition)).await?;
            self.client.resolve(subject.alert_name(), &subject.labels()).await?;
            // What can never be told was never told.
            return Ok(refusal != Some(Refusal::Full));
        }
        Ok(true)
    }

    fn alert(&self, Condition { subject, severity, summary, description, since }: &Condition) -> Alert {
        Alert {
            name: subject.alert_name().to_owned(),
            service: subject.service().to_owned(),
            severity: *severity,
            summary: summary.clone(),
            description: description.clone(),
            labels: subject.labels(),
            annotations: BTreeMap::new(),
            starts_at: later(self.began.1, *since),
        }
    }
}

#[cfg(test)]
#[path = "tell_tests.rs"]
mod tests;
