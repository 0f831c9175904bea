//! Tells the monitor what holds, and takes back what does not. What is told follows from the ledger and from what is so now.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kit::alert::{Alert, AlertClient, AlertError, Open, Severity};
use kit::clock::later;
use kit::queue::QueueError;
use prometheus::IntCounterVec;
use url::Url;

use super::conditions::{Condition, Conditions, Facts};
use super::letters::{self, LETTERS};
use super::subject::Subject;
use super::untold::{Refusal, Untold};
use crate::ledger::{Ledger, LedgerError, Told};

/// Kinds of failures that are told of at once, at most: with more there is one cause.
const MOST: usize = 200;

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Alert(#[from] AlertError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Tells one monitor, while one process acts.
pub(super) struct Teller<'a> {
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
    pub(super) fn new(
        client: &'a AlertClient,
        ledger: &'a Ledger,
        page: Option<&'a Url>,
        untold: IntCounterVec,
    ) -> Self {
        let began = (Instant::now(), Timestamp::now());
        Self { client, ledger, page, conditions: Conditions::default(), untold: Untold::new(untold), began }
    }

    /// Ends what the client still repeats and others took back, or tell in another way, since this process last acted.
    pub(super) async fn begin(&self) -> Result<(), Trouble> {
        let told = self.ledger.told().await?.into_iter().map(|told| (names(&told.key), told));
        let told: BTreeMap<(String, BTreeMap<String, String>), Told> = told.collect();
        for Open { name, service, severity, labels } in self.client.open().await? {
            let names = (name, labels);
            let is = |known: &Option<String>, open: &str| known.as_deref().is_none_or(|known| known == open);
            let is_told =
                told.get(&names).is_some_and(|told| is(&told.service, &service) && is(&told.severity, &severity));
            if !is_told {
                self.client.resolve(&names.0, &names.1).await?;
            }
        }
        Ok(())
    }

    /// Ends early only where nothing else would go better: an alert that is not taken holds up no other one.
    pub(super) async fn tell(&mut self, facts: &Facts) -> Result<(), Trouble> {
        let now = self.began.0.elapsed();
        let conditions = self.conditions.look(facts, now);
        let waiting = self.ledger.waiting(MOST).await?;
        let told = self.ledger.told().await?.into_iter().map(|told| (told.key.clone(), told));
        let told: BTreeMap<String, Told> = told.collect();
        let of_letters = waiting.iter().map(|group| (group.fingerprint.clone(), letters::alert(group, self.page)));
        let of_conditions = conditions.iter().map(|condition| (condition.subject.key(), self.alert(condition)));
        let wanted: BTreeMap<String, Alert> = of_letters.chain(of_conditions).collect();
        self.untold.keep(|key| wanted.contains_key(key) || told.contains_key(key));
        for (key, alert) in &wanted {
            self.keep_told(key, alert, told.get(key)).await?;
        }
        for (key, told) in told.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
            if self.is_over(key, facts, now).await? && self.take_back(told).await? {
                self.ledger.take_back(key).await?;
            }
        }
        Ok(())
    }

    async fn is_over(&self, key: &str, facts: &Facts, now: Duration) -> Result<bool, LedgerError> {
        match Subject::of_key(key) {
            Some(subject) => Ok(self.conditions.is_over(&subject, facts, now)),
            // There may only be more kinds than are told of at once.
            None => Ok(!self.ledger.is_waiting(key).await?),
        }
    }

    /// Fires what may have been told `before`.
    async fn keep_told(&mut self, key: &str, alert: &Alert, before: Option<&Told>) -> Result<(), Trouble> {
        let now = as_told(key, alert);
        let Some(before) = before else {
            // First that it will be told: nobody else would know that it must be taken back.
            self.ledger.tell(&now).await?;
            self.fire(key, alert).await?;
            return Ok(());
        };
        if *before == now {
            self.fire(key, alert).await?;
            return Ok(());
        }
        // What was more or less urgent is another alert for the monitor, which another process may have told of.
        if let (Some(service), Some(severity)) = (&before.service, severity_of(before)) {
            self.fire(key, &Alert { service: service.clone(), severity, ..alert.clone() }).await?;
        }
        if self.fire(key, alert).await?.is_none() {
            self.ledger.tell(&now).await?;
        }
        Ok(())
    }

    async fn fire(&mut self, key: &str, alert: &Alert) -> Result<Option<Refusal>, AlertError> {
        let fired = self.client.fire(alert).await;
        self.untold.note(key, fired)
    }

    /// Says that something is over, and returns whether that need not be tried again. Another process may have told of it, which
    /// does not act any more: only whoever says it again can say that it is over.
    async fn take_back(&mut self, told: &Told) -> Result<bool, AlertError> {
        let (name, labels) = names(&told.key);
        if self.client.resolve(&name, &labels).await? {
            return Ok(true);
        }
        // Of letters that a release before this one told of nobody knows more.
        let Some(alert) = self.over(told) else { return Ok(true) };
        let refusal = self.fire(&told.key, &alert).await?;
        self.client.resolve(&name, &labels).await?;
        // What can never be told was never told.
        Ok(refusal != Some(Refusal::Full))
    }

    /// Returns what was told, as the alert that it was for the monitor.
    fn over(&self, told: &Told) -> Option<Alert> {
        let (subject, (name, labels)) = (Subject::of_key(&told.key), names(&told.key));
        let of_subject = subject.as_ref().map(|subject| subject.service().to_owned());
        Some(Alert {
            name,
            service: told.service.clone().or(of_subject)?,
            severity: severity_of(told).or_else(|| subject.as_ref().map(Subject::severity))?,
            summary: "this is over".to_owned(),
            description: String::new(),
            labels,
            annotations: BTreeMap::new(),
            starts_at: self.began.1,
        })
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

/// The name of the alert with this key, and its own labels.
fn names(key: &str) -> (String, BTreeMap<String, String>) {
    match Subject::of_key(key) {
        Some(subject) => (subject.alert_name().to_owned(), subject.labels()),
        None => (LETTERS.to_owned(), letters::labels(key)),
    }
}

fn as_told(key: &str, Alert { service, severity, .. }: &Alert) -> Told {
    let (service, severity) = (service.clone(), severity.as_str().to_owned());
    Told { key: key.to_owned(), service: Some(service), severity: Some(severity) }
}

fn severity_of(told: &Told) -> Option<Severity> {
    told.severity.as_deref().and_then(Severity::of_word)
}

#[cfg(test)]
#[path = "teller_tests.rs"]
mod tests;
