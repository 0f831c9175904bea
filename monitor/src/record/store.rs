//! What the record asks of a database, without a word of which one it is.

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::points::Point;
use super::rollup::Row;

/// Why a store call failed; the text is for logs and the health page.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

impl StoreError {
    /// Returns true if the file itself is broken: SQLite's words for SQLITE_CORRUPT and SQLITE_NOTADB (`sqlite3_errstr`).
    pub(super) fn is_damage(&self) -> bool {
        ["database disk image is malformed", "file is not a database"].iter().any(|words| self.0.contains(words))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

/// Points that are not yet sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// The number of the next flush; sealing covers every flush before it.
    pub next_seq: i64,
    /// By series.
    pub points: HashMap<u32, Vec<Point>>,
}

/// Oldest times that are kept, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub struct Horizon {
    /// Of single points.
    pub raw_ms: i64,
    /// Of minutes.
    pub minutes_ms: i64,
    /// Of hours.
    pub hours_ms: i64,
}

/// How long a service had a verdict within a day (UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDay {
    /// The service.
    pub service: String,
    /// Start of the day, milliseconds since the epoch.
    pub day_ms: i64,
    /// The verdict's word.
    pub verdict: String,
    /// How long, in milliseconds.
    pub ms: i64,
}

/// Where history goes. Losing the newest seconds is allowed, slowing anybody is not.
pub trait HistoryStore: Send + Sync {
    /// Returns the ids of the named series, making those that are missing.
    fn series<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<HashMap<String, u32>, StoreError>>;
    /// Returns every series that has an id.
    fn known_series(&self) -> BoxFuture<'_, Result<HashMap<String, u32>, StoreError>>;
    /// Returns what was appended and not sealed.
    fn tail(&self) -> BoxFuture<'_, Result<Tail, StoreError>>;
    /// Writes the points of one flush; the same `seq` again replaces it.
    fn append<'a>(&'a self, seq: i64, points: &'a [(u32, Point)]) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Turns the tail into chunks and roll-ups, and drops what is beyond the horizon.
    fn seal<'a>(&'a self, tail: &'a Tail, keep: Horizon) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Returns sealed points with `from_ms <= at < to_ms`, oldest first.
    fn points<'a>(&'a self, series: u32, from_ms: i64, to_ms: i64) -> BoxFuture<'a, Result<Vec<Point>, StoreError>>;
    /// Returns sealed roll-ups of `span_ms` (60 000 or 3 600 000) that start in the range.
    fn rollups<'a>(
        &'a self,
        series: u32,
        span_ms: i64,
        from_ms: i64,
        to_ms: i64,
    ) -> BoxFuture<'a, Result<Row, StoreError>>;
    /// Gives a service's history to another name; a check that has history by the new name keeps that.
    fn rename_service<'a>(&'a self, old: &'a str, new: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Adds time to verdicts.
    fn add_service_days<'a>(&'a self, days: &'a [ServiceDay]) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Has everything that is kept looked through when it is opened next: something turned out to be damaged.
    fn distrust(&self);
    /// Lets go of everything; nothing is asked after this.
    fn close(&self) -> BoxFuture<'_, ()>;
    /// Returns every service's time with each verdict in the days that begin at `from_ms` or later.
    fn service_days(&self, from_ms: i64) -> BoxFuture<'_, Result<Vec<ServiceDay>, StoreError>>;
}

/// A change of a service's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The service.
    pub service: String,
    /// Before; `None` when it was first seen.
    pub from: Option<String>,
    /// After.
    pub to: String,
    /// One line that says why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// An incident as it is stored; what is in it is the alerts' business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Its id.
    pub id: Uuid,
    /// The service it is about, if any.
    pub service: Option<String>,
    /// When it opened, milliseconds since the epoch.
    pub opened_ms: i64,
    /// When it ended; none while it is open.
    pub resolved_ms: Option<i64>,
    /// The whole, as JSON.
    pub body: String,
}

/// Something that happened to an incident, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// The incident.
    pub incident: Uuid,
    /// From 1, without gaps.
    pub number: u32,
    /// The whole, as JSON.
    pub body: String,
}

/// One event for one channel, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// The incident.
    pub incident: Uuid,
    /// The event's number.
    pub event: u32,
    /// The channel.
    pub channel: String,
    /// The state's word.
    pub state: &'static str,
    /// Whether something is still to be done.
    pub is_open: bool,
    /// When its state last changed, milliseconds since the epoch.
    pub updated_ms: i64,
    /// The whole, as JSON.
    pub body: String,
}

/// A write that somebody made, for the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// What was done, such as `silence.create`.
    pub action: String,
    /// To what.
    pub target: String,
    /// More, for people; never a secret.
    pub detail: String,
}

impl AuditRow {
    /// Notes that somebody has just done something.
    pub fn new(who: &str, action: &str, target: impl ToString, detail: &str) -> Self {
        Self {
            at: Timestamp::now(),
            who: who.to_owned(),
            action: action.to_owned(),
            target: target.to_string(),
            detail: detail.to_owned(),
        }
    }
}

/// Which incidents to return.
#[derive(Debug, Clone, Default)]
pub struct IncidentQuery {
    /// Only of this service.
    pub service: Option<String>,
    /// Only open ones, or those with something still to be told.
    pub unfinished: bool,
    /// Only those that are over.
    pub ended: bool,
    /// Only those that opened then or later, milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// Only those that opened before this, milliseconds since the epoch.
    pub before_ms: Option<i64>,
    /// Of those that opened at `before_ms` itself, the ones that are listed after this one: many open at once.
    pub before_id: Option<Uuid>,
    /// At most so many, newest first.
    pub limit: u32,
}

/// Which deliveries to return.
#[derive(Debug, Clone)]
pub enum DeliveryQuery {
    /// Those with something still to be done, oldest first.
    Open,
    /// Of one incident, in order.
    Of(Uuid),
    /// The newest with this state.
    In(&'static str, u32),
}

/// Things to write down together, each the newest of its kind.
#[derive(Debug, Clone, Default)]
pub struct StateBatch {
    /// Documents by table-like kind and key, such as `check` and `web/http`; `None` removes one.
    pub documents: HashMap<(&'static str, String), Option<String>>,
    /// Verdict changes, oldest first.
    pub transitions: Vec<Transition>,
    /// Incidents by id.
    pub incidents: HashMap<Uuid, IncidentRow>,
    /// Events by incident and number.
    pub events: HashMap<(Uuid, u32), EventRow>,
    /// Deliveries by incident, event and channel.
    pub deliveries: HashMap<(Uuid, u32, String), DeliveryRow>,
    /// What people did, oldest first.
    pub audit: Vec<AuditRow>,
}

impl From<AuditRow> for StateBatch {
    fn from(row: AuditRow) -> Self {
        Self { audit: vec![row], ..Self::default() }
    }
}

impl StateBatch {
    /// Returns true if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
            && self.transitions.is_empty()
            && self.incidents.is_empty()
            && self.events.is_empty()
            && self.deliveries.is_empty()
            && self.audit.is_empty()
    }

    /// Takes `newer` in; where both have something, the newer one wins.
    pub fn extend(&mut self, newer: Self) {
        self.documents.extend(newer.documents);
        self.transitions.extend(newer.transitions);
        self.incidents.extend(newer.incidents);
        self.events.extend(newer.events);
        self.deliveries.extend(newer.deliveries);
        self.audit.extend(newer.audit);
    }
}

/// Where state goes. A commit means it survives a power cut.
pub trait StateStore: Send + Sync {
    /// Writes everything in one transaction.
    fn save<'a>(&'a self, batch: &'a StateBatch) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Lets go of everything; nothing is asked after this.
    fn close(&self) -> BoxFuture<'_, ()>;
    /// Returns every document of a kind, by key.
    fn documents<'a>(&'a self, kind: &'static str) -> BoxFuture<'a, Result<HashMap<String, String>, StoreError>>;
    /// Gives what is known of a service to another name, unless something is known of that.
    fn rename_service<'a>(&'a self, old: &'a str, new: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Returns the newest verdict changes, newest first.
    fn transitions<'a>(
        &'a self,
        service: Option<&'a str>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Transition>, StoreError>>;
    /// Returns the bodies of incidents, newest first.
    fn incidents<'a>(&'a self, query: &'a IncidentQuery) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;
    /// Returns one incident's body.
    fn incident(&self, id: Uuid) -> BoxFuture<'_, Result<Option<String>, StoreError>>;
    /// Returns the bodies of an incident's events, in order.
    fn events(&self, incident: Uuid) -> BoxFuture<'_, Result<Vec<String>, StoreError>>;
    /// Returns the bodies of deliveries.
    fn deliveries<'a>(&'a self, query: &'a DeliveryQuery) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;
    /// Returns the newest rows of the audit, newest first.
    fn audit(&self, limit: u32) -> BoxFuture<'_, Result<Vec<AuditRow>, StoreError>>;
}
