//! An incident: something that is wrong, from the moment that is known until everybody who was told knows it is over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::message::{Evidence, Severity};

/// One incident as it stands. Everything here is written to disk with each of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Stays the same from opening to resolution.
    pub id: Uuid,
    /// What it is about, such as `service:shop`: at most one incident with a key is open.
    pub key: String,
    /// The alert's name, such as `ServiceDown`.
    pub name: String,
    /// The service, if it is about one.
    pub service: Option<String>,
    /// How urgent.
    pub severity: Severity,
    /// One line, the cause first.
    pub title: String,
    /// Further lines for people; may be empty.
    #[serde(default)]
    pub description: String,
    /// The verdict's word; empty if there is none.
    #[serde(default)]
    pub verdict: String,
    /// What it has been caused by so far, without changing figures: a further one makes an acknowledgement void.
    #[serde(default)]
    pub causes: BTreeSet<String>,
    /// Labels for routing and silencing, `severity`, `service` and `alertname` included.
    pub labels: BTreeMap<String, String>,
    /// Where the source of the alert explains it, if it came from elsewhere.
    #[serde(default)]
    pub source_url: Option<String>,
    /// When it opened.
    pub opened: Timestamp,
    /// When and how it ended.
    #[serde(default)]
    pub resolved: Option<Resolution>,
    /// Who has taken it.
    #[serde(default)]
    pub acknowledged: Option<Acknowledgement>,
    /// Services that need this one, failing or not.
    #[serde(default)]
    pub impacted: Vec<String>,
    /// Those of them that fail and are not paged for themselves.
    #[serde(default)]
    pub failing: BTreeSet<String>,
    /// Why nothing newer is known of it, such as that its source is silent; empty while something is.
    #[serde(default)]
    pub note: String,
    /// Alerts from elsewhere that are, or were, about the same.
    #[serde(default)]
    pub joined: BTreeSet<String>,
    /// Whether it comes and goes.
    #[serde(default)]
    pub flapping: bool,
    /// Whether nothing is said yet: a hard need may turn out to be the cause.
    #[serde(default)]
    pub held: bool,
    /// How bad, within its severity: a rise is told.
    #[serde(default)]
    pub rank: u8,
    /// Whether it is repeated while it is open.
    #[serde(default = "yes")]
    pub reminded: bool,
    /// Number of its newest event.
    pub last_event: u32,
    /// What a person needs to see first, as of its opening or worsening.
    #[serde(default)]
    pub evidence: Evidence,
    /// By channel: what it was told.
    #[serde(default)]
    pub told: BTreeMap<String, Told>,
}

fn yes() -> bool {
    true
}

/// When and how an incident ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// When.
    pub at: Timestamp,
    /// How.
    pub how: Ending,
}

/// How an incident ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It works again.
    Recovered,
    /// What it was about is not configured any more.
    Withdrawn,
    /// It is part of the incident with this key, whose failure explains it.
    PartOf(String),
    /// A person said so.
    Closed(String),
    /// Its source has been silent for so long that nothing is known of it.
    Expired,
    /// The trial is over.
    DrillOver,
}

impl Ending {
    /// Returns a few words for people.
    pub fn words(&self) -> String {
        match self {
            Self::Recovered => "works again".to_owned(),
            Self::Withdrawn => "is not watched any more".to_owned(),
            Self::PartOf(key) => format!("is part of {}", key.trim_start_matches("service:")),
            Self::Closed(by) => format!("closed by {by}"),
            Self::Expired => "its source is silent for too long".to_owned(),
            Self::DrillOver => "the drill is over".to_owned(),
        }
    }
}

/// Somebody has taken an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What she said; may be empty.
    #[serde(default)]
    pub note: String,
}

/// What a channel was told of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The newest event that it was, or is to be, told.
    pub event: u32,
    /// How far that got.
    pub state: ToldState,
    /// Whether it ever accepted something of this incident: only then it must learn of the end.
    pub accepted: bool,
    /// Whether something newer was held back while this was on its way: told later if it is still true.
    #[serde(default)]
    pub behind: bool,
    /// Since when it is a dead letter.
    #[serde(default)]
    pub dead_since: Option<Timestamp>,
    /// When it was told first.
    pub since: Timestamp,
    /// Reminders so far.
    pub reminders: u32,
    /// When the next reminder is due.
    pub remind_at: Option<Timestamp>,
}

impl Told {
    /// The wall clock was set: how long ago everything was stays true.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        let marks = [Some(&mut self.since), self.dead_since.as_mut(), self.remind_at.as_mut()];
        for mark in marks.into_iter().flatten() {
            *mark = mark.saturating_add(by).unwrap_or(*mark);
        }
    }
}

/// How far telling got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldState {
    /// Waits until it is known whether a hard need is the cause.
    Held,
    /// Must not be told now, for this reason; told later if it is still true.
    Suppressed(String),
    /// On its way.
    Owed,
    /// Accepted.
    Delivered,
    /// Refused, or too old.
    Dead,
}

/// Something that happened to an incident, for its timeline; some are told to channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// From 1, without gaps.
    pub number: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// One line for people.
    pub text: String,
}

/// What can happen to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It opened.
    Opened,
    /// A channel hears of it for the first time after its opening.
    Told,
    /// It became more urgent, or has a new cause after it was acknowledged.
    Worsened,
    /// Another cause; nobody is told.
    Cause,
    /// A service that needs this one fails too.
    Impacted,
    /// It comes and goes.
    Flapping,
    /// Somebody has taken it.
    Acknowledged,
    /// An alert from elsewhere is about the same.
    Joined,
    /// A note, such as that a source went away.
    Note,
    /// Nobody acknowledged it in time: further people are told.
    Escalated,
    /// It is still open.
    Reminder,
    /// It is over.
    Resolved,
    /// A trial began.
    Drill,
}

impl EventKind {
    /// Returns the word used in JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Told => "told",
            Self::Worsened => "worsened",
            Self::Cause => "cause",
            Self::Impacted => "impacted",
            Self::Flapping => "flapping",
            Self::Acknowledged => "acknowledged",
            Self::Joined => "joined",
            Self::Note => "note",
            Self::Escalated => "escalated",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
            Self::Drill => "drill",
        }
    }
}

impl Incident {
    /// Returns whether nothing is wrong: it only tries the way out.
    pub fn is_trial(&self) -> bool {
        self.key.starts_with(Self::TRIAL)
    }

    /// Keys of trials begin so.
    pub const TRIAL: &str = "drill:";

    /// Returns whether it is over.
    pub fn is_over(&self) -> bool {
        self.resolved.is_some()
    }

    /// Gives its next event a number.
    pub(super) fn happened(&mut self, kind: EventKind, text: impl Into<String>, at: Timestamp) -> Event {
        self.last_event += 1;
        Event { number: self.last_event, at, kind, text: text.into() }
    }

    /// A service has a new name.
    pub(super) fn rename(&mut self, old: &str, new: &str) {
        if self.failing.remove(old) {
            self.failing.insert(new.to_owned());
        }
        if self.service.as_deref() != Some(old) {
            return;
        }
        self.service = Some(new.to_owned());
        self.labels.insert("service".to_owned(), new.to_owned());
        self.key = renamed_key(&self.key, old, new);
        if let Some(rest) = self.title.strip_prefix(old).filter(|rest| rest.starts_with(' ')) {
            self.title = format!("{new}{rest}");
        }
    }

    /// Returns whether somebody can be expected to know of it: a channel accepted it, or will.
    pub(super) fn speaks(&self) -> bool {
        self.held || self.told.values().any(|told| matches!(told.state, ToldState::Owed | ToldState::Delivered))
    }
}

/// Returns the key that is about the same once a service has a new name: `service:old`, `slo:old:latency`.
pub(super) fn renamed_key(key: &str, old: &str, new: &str) -> String {
    let Some((kind, rest)) = key.split_once(':') else { return key.to_owned() };
    let (name, more) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
    if name == old { format!("{kind}:{new}{more}") } else { key.to_owned() }
}
