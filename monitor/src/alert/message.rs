//! What one channel is to be told: decided, redacted and cut, so that a channel only has to write it in its own form.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How soon a person should act. The order is from least to most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Notice,
    /// In working hours.
    Ticket,
    /// Now.
    Page,
}

impl Severity {
    /// Every severity, most urgent first.
    pub const ALL: [Self; 3] = [Self::Page, Self::Ticket, Self::Notice];

    /// Returns the word used in configuration, labels, JSON and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::Notice => "notice",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

/// Whether something is wrong now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is.
    Firing,
    /// It is over.
    Resolved,
}

impl Status {
    /// Returns the word used in JSON, as Alertmanager writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// One message for one channel. Serialised as it stands, it is the default JSON of the `webhook` channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// Idempotency key: the same on every repeat of this message, and only there. Characters: letters, digits, `.`, `-`.
    pub key: String,
    /// The channel's name in the configuration.
    pub channel: String,
    /// Firing if any of its alerts is.
    pub status: Status,
    /// The most urgent of its alerts.
    pub severity: Severity,
    /// One line, the cause first, such as `shop is down: health: connection refused`.
    pub title: String,
    /// What it tells of, oldest first; never empty. More than one when a group or a digest goes out.
    pub alerts: Vec<AlertPart>,
    /// Alerts that were left out because the message would be too long.
    pub truncated: usize,
    /// Labels that all of its alerts share by the route's `group_by`.
    pub group_labels: BTreeMap<String, String>,
    /// False if it went out before it could be written to disk: a repeat after a crash is then possible without this key.
    pub durable: bool,
    /// True for drills and test messages: nothing is wrong.
    pub drill: bool,
    /// Set when it goes out much later than it was due: seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_secs: Option<u64>,
    /// Address of the status page, if `public_url` is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_url: Option<String>,
}

/// What happened to an incident, as a message tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It opened, or this channel hears of it for the first time.
    Opened,
    /// It became more urgent, or has a new cause after it was acknowledged.
    Worsened,
    /// Nobody acknowledged it in time: further people are told.
    Escalated,
    /// It is still open.
    Reminder,
    /// It comes and goes.
    Flapping,
    /// It is over.
    Resolved,
    /// A trial.
    Drill,
}

impl Happening {
    /// Returns the word used in JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Worsened => "worsened",
            Self::Escalated => "escalated",
            Self::Reminder => "reminder",
            Self::Flapping => "flapping",
            Self::Resolved => "resolved",
            Self::Drill => "drill",
        }
    }
}

/// One incident's event within a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertPart {
    /// The incident: stays the same from opening to resolution. Receivers that group or deduplicate use it.
    pub incident: Uuid,
    /// The event's number within the incident, from 1.
    pub event: u32,
    /// What happened.
    pub happening: Happening,
    /// Whether it is wrong now.
    pub status: Status,
    /// How urgent.
    pub severity: Severity,
    /// The alert's name, such as `ServiceDown`.
    pub name: String,
    /// The service, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// One line, the cause first.
    pub title: String,
    /// Further lines for people: what it means, what to do; may be empty.
    pub description: String,
    /// The service's verdict as of the event, such as `down`; empty if there is none.
    pub verdict: String,
    /// Labels, those of routing included.
    pub labels: BTreeMap<String, String>,
    /// Services that need this one, failing or not.
    pub impacted: Vec<String>,
    /// When the incident opened.
    pub opened: Timestamp,
    /// When it was resolved, even if this message still tells of its opening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Timestamp>,
    /// How long it lasted, or has lasted so far, for people.
    pub lasted: String,
    /// Who has taken it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// Whether it comes and goes.
    pub flapping: bool,
    /// What a person needs to see first; cut to the channel's `evidence` setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Where to look and act.
    pub links: Links,
}

/// What a person needs to see first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The failing check, such as `shop/health`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub check: String,
    /// What was asked, without secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Why it is not a pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What each step of the failing probe took, in milliseconds, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<(String, u64)>,
    /// How the last run ended, such as `killed by SIGKILL`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub exit: String,
    /// The last lines of that run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
    /// SHA-256 of the program of that run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// What changed since the last good run, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub changed: String,
    /// Trace id of the failing probe, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// Latency of the failing check, oldest first: milliseconds since the epoch, and milliseconds it took or nothing for
    /// a fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<(i64, Option<f64>)>,
}

/// Where to look and act. GET shows, only POST acts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Links {
    /// The incident's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// A page with a button that acknowledges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledge: Option<String>,
    /// What the source of the alert links to (Prometheus' `generatorURL`), or the runbook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The trace of the failing probe, if `links: { trace: … }` is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The service's log around the incident, if `links: { logs: … }` is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
}

impl Message {
    /// Leaves out what can be looked up: first the evidence, then the descriptions, then half of the alerts. Returns false
    /// if nothing is left to leave out.
    pub(super) fn shed(&mut self) -> bool {
        if self.alerts.iter().any(|part| part.evidence.is_some()) {
            self.alerts.iter_mut().for_each(|part| part.evidence = None);
        } else if self.alerts.iter().any(|part| !part.description.is_empty()) {
            self.alerts.iter_mut().for_each(|part| part.description.clear());
        } else if self.alerts.len() > 1 {
            let kept = self.alerts.len().div_ceil(2);
            self.truncated += self.alerts.len() - kept;
            self.alerts.truncate(kept);
        } else {
            return false;
        }
        true
    }

    /// Returns the one word that a subject line begins with.
    pub fn headline_word(&self) -> &'static str {
        match (self.drill, self.status, self.severity) {
            (true, ..) => "DRILL",
            (false, Status::Resolved, _) => "RESOLVED",
            (false, Status::Firing, Severity::Page) => "PAGE",
            (false, Status::Firing, Severity::Ticket) => "TICKET",
            (false, Status::Firing, Severity::Notice) => "NOTICE",
        }
    }
}
