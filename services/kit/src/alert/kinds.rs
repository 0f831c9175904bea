//! What callers say: an alert and its severity; and what the monitor is told: a posting.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{AlertError, MAX_ALERT_BYTES};

/// Labels that the client makes of the fields of an alert.
const RESERVED: [&str; 4] = ["alertname", "service", "severity", "source"];

/// How soon a person should act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Now.
    Page,
    /// In working hours.
    Ticket,
    /// Not at all; it is good to know.
    Notice,
}

impl Severity {
    /// Returns the word in the label `severity`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::Notice => "notice",
        }
    }

    /// Returns what has this word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Page, Self::Ticket, Self::Notice].into_iter().find(|severity| severity.as_str() == word)
    }
}

/// Something a person should know. Its name and its own labels tell it from others; service and severity may change while
/// it is open.
#[derive(Debug, Clone)]
pub struct Alert {
    /// What is wrong, such as `SignInFails`.
    pub name: String,
    /// The service that it is about.
    pub service: String,
    /// How soon a person should act.
    pub severity: Severity,
    /// One line.
    pub summary: String,
    /// What to see and do first.
    pub description: String,
    /// Further labels; empty ones are left out.
    pub labels: BTreeMap<String, String>,
    /// Further annotations.
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub starts_at: Timestamp,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// What is wrong.
    pub name: String,
    /// The service that it is about.
    pub service: String,
    /// The word for how soon a person should act ([`Severity::as_str`]).
    pub severity: String,
    /// Labels of its own.
    pub labels: BTreeMap<String, String>,
}

impl From<Posting> for Open {
    fn from(Posting { mut labels, .. }: Posting) -> Self {
        let mut taken = |label| labels.remove(label).unwrap_or_default();
        let (name, service, severity) = (taken("alertname"), taken("service"), taken("severity"));
        labels.retain(|label, _| !RESERVED.contains(&label.as_str()));
        Self { name, service, severity, labels }
    }
}

/// One alert as Alertmanager's `POST /api/v2/alerts` takes it (its api/v2/openapi.yaml, `postableAlert`): without
/// `endsAt` it fires, with one in the past it is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Posting {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) starts_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ends_at: Option<Timestamp>,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    pub(super) generator_url: Option<String>,
}

impl Posting {
    /// Returns the key of its alert.
    pub(super) fn key(&self) -> String {
        let own = self.labels.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
        let own = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        key_of(self.labels.get("alertname").map_or("", String::as_str), &own)
    }

    /// Returns the posting that says that it is over. Its end is as early as can be: the monitor's clock may be behind ours,
    /// and an end that is still to come would be no end.
    pub(super) fn over(self, now: Timestamp) -> Self {
        Self { ends_at: Some(self.starts_at.min(now)), ..self }
    }

    /// Returns the word for its state.
    pub(super) fn status(&self) -> &'static str {
        if self.ends_at.is_some() { "resolved" } else { "firing" }
    }
}

/// Checks an alert and makes a firing posting of it.
pub(super) fn posting_of(alert: &Alert, source: &str, generator_url: Option<&str>) -> Result<Posting, AlertError> {
    if alert.name.is_empty() || alert.service.is_empty() {
        return Err(AlertError::Nameless);
    }
    for name in alert.labels.keys().chain(alert.annotations.keys()) {
        check_label(name)?;
    }
    let given = alert.labels.iter().filter(|(_, value)| !value.is_empty());
    let mut labels: BTreeMap<String, String> = given.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(name) = labels.keys().find(|name| RESERVED.contains(&name.as_str())) {
        return Err(AlertError::Reserved(name.clone()));
    }
    let own = [&alert.name, &alert.service, alert.severity.as_str(), source].map(ToString::to_string);
    labels.extend(RESERVED.map(str::to_owned).into_iter().zip(own));
    let mut annotations = alert.annotations.clone();
    annotations.insert("summary".to_owned(), alert.summary.clone());
    annotations.insert("description".to_owned(), alert.description.clone());
    let generator_url = generator_url.map(str::to_owned);
    let posting = Posting { labels, annotations, starts_at: alert.starts_at, ends_at: None, generator_url };
    let bytes = serde_json::to_string(&posting).map_or(usize::MAX, |text| text.len());
    if bytes > MAX_ALERT_BYTES {
        return Err(AlertError::TooLarge { name: alert.name.chars().take(100).collect(), bytes });
    }
    Ok(posting)
}

/// Returns the key of the alert with this name and these labels of its own.
pub(super) fn key_of(name: &str, labels: &BTreeMap<String, String>) -> String {
    let given: Vec<(&String, &String)> = labels.iter().filter(|(_, value)| !value.is_empty()).collect();
    let digest = Sha256::digest(serde_json::json!([name, given]).to_string().as_bytes());
    HEXLOWER.encode(&digest)
}

/// Prometheus data model, "metric names and labels": `[a-zA-Z_][a-zA-Z0-9_]*`.
fn check_label(name: &str) -> Result<(), AlertError> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if is_plain && begins { Ok(()) } else { Err(AlertError::Label(name.chars().take(100).collect())) }
}
