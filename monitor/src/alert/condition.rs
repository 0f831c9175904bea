//! What is wrong now, in one form whatever found it: a verdict, our own blindness, an alert from elsewhere. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::Moment;
use uuid::Uuid;

use super::incident::Incident;
use super::message::{Evidence, Severity};

/// Whether it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// That cannot be said now: an open incident stays as it is.
    Unclear,
    /// Not at this moment, but it comes and goes.
    Restless,
    /// Not by what we see: it only says where the service stands, for what is said of it elsewhere.
    No,
}

/// Something that an incident is, or may be, about.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What it is about; the incident's key.
    pub key: String,
    /// Whether it holds.
    pub holds: Holds,
    /// The alert's name.
    pub name: String,
    /// The service, if it is about one.
    pub service: Option<Arc<str>>,
    /// How urgent.
    pub severity: Severity,
    /// How bad within its severity.
    pub rank: u8,
    /// One line, the cause first.
    pub title: String,
    /// Further lines.
    pub description: String,
    /// The verdict's word, if there is one.
    pub verdict: String,
    /// What it is caused by, without changing figures.
    pub cause: String,
    /// Labels for routing.
    pub labels: BTreeMap<String, String>,
    /// Since when it holds.
    pub since: Moment,
    /// It must hold for so long before it opens an incident.
    pub after: Duration,
    /// Hard needs, direct and through others.
    pub needs: Vec<Arc<str>>,
    /// Those of them that fail, the deepest first.
    pub roots: Vec<Arc<str>>,
    /// Whether every hard need has answered well since this began to fail.
    pub vouched: bool,
    /// Services that need this one, direct and through others.
    pub impacted: Vec<String>,
    /// How long it may take to come back after its root has.
    pub grace: Duration,
    /// Whether it is repeated while it is open.
    pub reminded: bool,
    /// Where its source explains it.
    pub source_url: Option<String>,
    /// What a person needs to see first.
    pub evidence: Evidence,
    /// Why it cannot be said whether it holds, if that is worth a note.
    pub note: String,
    /// Alerts from elsewhere that are about the same.
    pub joined: BTreeSet<String>,
    /// Whether a further one of them is told: nothing of ours stands behind it.
    pub tells_of_joins: bool,
    /// What we see ourselves, if it is only said elsewhere that it holds.
    pub ours: Option<Holds>,
}

impl Condition {
    /// Returns the key of incidents about a service's verdict.
    pub fn service_key(service: &str) -> String {
        format!("service:{service}")
    }

    /// A condition with nothing but the essentials.
    pub fn new(key: impl Into<String>, name: impl Into<String>, severity: Severity, title: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            holds: Holds::Yes,
            name: name.into(),
            service: None,
            severity,
            rank: 0,
            title: title.into(),
            description: String::new(),
            verdict: String::new(),
            cause: String::new(),
            labels: BTreeMap::new(),
            since: Moment::default(),
            after: Duration::ZERO,
            needs: Vec::new(),
            roots: Vec::new(),
            vouched: true,
            impacted: Vec::new(),
            grace: Duration::ZERO,
            reminded: true,
            source_url: None,
            evidence: Evidence::default(),
            note: String::new(),
            joined: BTreeSet::new(),
            tells_of_joins: false,
            ours: None,
        }
    }

    /// Stands where another condition about the same service stands.
    pub(super) fn at_the_place_of(mut self, other: &mut Self) -> Self {
        self.needs = std::mem::take(&mut other.needs);
        self.roots = std::mem::take(&mut other.roots);
        self.impacted = std::mem::take(&mut other.impacted);
        (self.vouched, self.grace) = (other.vouched, self.grace.max(other.grace));
        self.ours = Some(other.holds);
        self
    }

    /// Returns the incident that it opens.
    pub(super) fn incident(&self, id: Uuid, now: Timestamp) -> Incident {
        let mut incident = Incident {
            id,
            key: self.key.clone(),
            name: String::new(),
            service: self.service.as_ref().map(ToString::to_string),
            severity: self.severity,
            title: String::new(),
            description: String::new(),
            verdict: String::new(),
            causes: std::iter::once(self.cause.clone()).filter(|cause| !cause.is_empty()).collect(),
            labels: BTreeMap::new(),
            source_url: self.source_url.clone(),
            opened: now,
            resolved: None,
            acknowledged: None,
            impacted: self.impacted.clone(),
            failing: BTreeSet::new(),
            note: String::new(),
            joined: self.joined.clone(),
            flapping: false,
            held: false,
            rank: self.rank,
            reminded: self.reminded,
            last_event: 0,
            evidence: Evidence::default(),
            told: BTreeMap::new(),
        };
        self.describe(&mut incident);
        incident
    }

    /// Writes what it is like now into its incident.
    pub(super) fn describe(&self, incident: &mut Incident) {
        incident.name.clone_from(&self.name);
        incident.service = self.service.as_ref().map(ToString::to_string);
        incident.severity = self.severity;
        incident.rank = self.rank;
        incident.title.clone_from(&self.title);
        incident.description.clone_from(&self.description);
        incident.verdict.clone_from(&self.verdict);
        incident.evidence.clone_from(&self.evidence);
        incident.labels.clone_from(&self.labels);
        let own = [("alertname", self.name.as_str()), ("severity", self.severity.as_str())];
        for (label, value) in own.into_iter().chain(self.service.as_deref().map(|service| ("service", service))) {
            incident.labels.insert(label.to_owned(), value.to_owned());
        }
    }
}
