//! The status JSON: overall, services, reasons, ages. Also what the page and the command line show.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kit::clock::Stamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::catalogue::{Catalogue, CheckCard, ServiceCard};
use super::discovered::{DiscoveryStatus, FoundStatus};
use super::healing::HealingStatus;
use super::overlay::{Overlay, OverlayStatus, Overlays};
use super::shared::Shared;
use super::workload_status::{DiscrepancyStatus, RunStatus, WorkloadStatus};
use crate::heal::Ward;
use crate::judge::{Board, CheckEntry, ServiceEntry, Severity, Verdict};
use crate::probe::{Observation, Outcome};

/// Runs of one answer, at most; the ledger holds more.
const MAX_RUNS: usize = 50;

/// Everything at a glance.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// `down`, `unknown` (a critical service could not be asked, or nothing is watched), `degraded` or `up`: the worst of
    /// the critical services, never a share.
    pub overall: String,
    /// One line that says why; empty when everything is up.
    pub reason: String,
    /// When this was made, RFC 3339.
    pub timestamp: String,
    /// Number of the newest event; rises for ever.
    pub sequence: u64,
    /// The monitor's version.
    pub version: String,
    /// Every service, in file order; then those that were found.
    pub services: Vec<ServiceStatus>,
    /// What came of looking for services.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub discoveries: Vec<DiscoveryStatus>,
}

impl Status {
    /// Keeps names, states and what people wrote.
    pub(super) fn keep_names(&mut self) {
        self.services.iter_mut().for_each(ServiceStatus::keep_names);
        self.discoveries.clear();
    }
}

/// One service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub about: Option<String>,
    /// The heading it is listed under.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// Who found it, if nobody wrote it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub found: Option<FoundStatus>,
    /// Whether its failure makes the whole fail.
    pub critical: bool,
    /// gave_up, crash_looping, down, starting, degraded, stale, unknown, up, stopped, completed or gone.
    pub verdict: String,
    /// One line that says why; empty when it is up.
    pub why: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// The service whose failure explains this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blocked_by: Option<String>,
    /// The maintenance window it is in: nobody is told of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub maintenance: Option<OverlayStatus>,
    /// The silence that is about it: nobody is told of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub silenced: Option<OverlayStatus>,
    /// The change to it that somebody announced: restarts by other hands are planned until then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub announced: Option<OverlayStatus>,
    /// Id of the incident that is open about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<String>,
    /// It runs, but nothing functional checks it.
    pub running_unchecked: bool,
    /// Where its runtime and its checks disagree.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub discrepancy: Option<DiscrepancyStatus>,
    /// What it needs.
    pub needs: NeedsStatus,
    /// Its process, if the monitor runs it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub workload: Option<WorkloadStatus>,
    /// The replicas that it is together, if it runs more than once; each has a name like `web.1`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(no_recursion)]
    pub replicas: Vec<ServiceStatus>,
    /// The service that it is a replica of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replica_of: Option<String>,
    /// How it stands with healing, if it asks to be healed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub healing: Option<HealingStatus>,
    /// Its checks, in file order.
    pub checks: Vec<CheckStatus>,
}

impl ServiceStatus {
    /// Keeps names, states and what people wrote, and nothing that a probe or a process has said.
    pub(super) fn keep_names(&mut self) {
        self.why.clear();
        (self.workload, self.incident, self.healing) = (None, None, None);
        (self.discrepancy, self.found) = (None, None);
        for overlay in [&mut self.maintenance, &mut self.silenced, &mut self.announced].into_iter().flatten() {
            overlay.by.clear();
            overlay.why.clear();
        }
        for check in &mut self.checks {
            check.target.clear();
            check.reason.clear();
            check.last = None;
        }
        self.replicas.iter_mut().for_each(Self::keep_names);
    }
}

/// What a service needs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NeedsStatus {
    /// Services whose failure explains its own.
    pub hard: Vec<String>,
    /// Services whose failure does not.
    pub soft: Vec<String>,
}

/// One check.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub about: Option<String>,
    /// Its kind.
    pub kind: String,
    /// What it asks.
    pub target: String,
    /// critical or warning.
    pub severity: String,
    /// up, degraded, down, stale or unknown.
    pub health: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// The newest reason; empty after a clean pass.
    pub reason: String,
    /// It changes state again and again.
    pub flapping: bool,
    /// Unknown or stale for so long that we must say we are blind.
    pub blind: bool,
    /// Its interval in seconds.
    pub every_secs: f64,
    /// The newest observation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<LastStatus>,
}

/// The newest observation of a check.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LastStatus {
    /// When its probe began, RFC 3339.
    pub at: String,
    /// How long ago that was, in seconds.
    pub age_secs: f64,
    /// pass, fail or unknown.
    pub outcome: String,
    /// What it took, in milliseconds.
    pub took_ms: f64,
    /// What each step took, in milliseconds.
    pub phases_ms: BTreeMap<String, f64>,
    /// W3C trace id that the target was given.
    pub trace_id: String,
    /// Small facts: status, address, protocol, certificate expiry.
    pub seen: serde_json::Value,
}

/// Makes the whole status.
pub fn status_of(shared: &Shared) -> Status {
    let catalogue = shared.catalogue.load();
    let now = Stamp::now();
    let overlay = Overlay::of(shared, now.wall);
    let board = shared.board();
    let ward = shared.ward();
    let view = View { board: &board, catalogue: &catalogue, ward: &ward, now };
    let status = |(entry, card): (&ServiceEntry, &ServiceCard)| view.service(entry, card, &overlay);
    let services: Vec<ServiceStatus> = pairs(&board, &catalogue).map(status).collect();
    let (overall, reason) = overall(&board, &catalogue);
    Status {
        overall: overall.to_owned(),
        reason,
        timestamp: now.wall.to_string(),
        sequence: board.sequence(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        services,
        discoveries: catalogue.discoveries.iter().map(DiscoveryStatus::of).collect(),
    }
}

/// Makes one service's status.
pub(super) fn service_of(shared: &Shared, name: &str) -> Option<ServiceStatus> {
    let catalogue = shared.catalogue.load();
    let card = catalogue.service(name)?;
    let now = Stamp::now();
    let overlay = Overlay::of(shared, now.wall);
    let board = shared.board();
    let entry = board.service(name)?;
    let view = View { board: &board, catalogue: &catalogue, ward: &shared.ward(), now };
    let mut status = view.service(entry, card, &overlay);
    if let (Some(shown), Some(known)) = (&mut status.workload, &entry.workload) {
        shown.runs = known.ledger.runs().rev().take(MAX_RUNS).map(|run| RunStatus::of(run, &known.lines)).collect();
    }
    Some(status)
}

/// Returns every service with its card; replicas go with the service that they are.
fn pairs<'a>(board: &'a Board, catalogue: &'a Catalogue) -> impl Iterator<Item = (&'a ServiceEntry, &'a ServiceCard)> {
    // Both stand in file order, so that the next card is nearly always the right one.
    let cards = catalogue.services.iter().cycle().take(catalogue.services.len() * 2);
    let mut cards = cards.filter(|card| card.replica_of.is_none()).peekable();
    board.wholes().filter_map(move |entry| {
        if cards.peek().is_some_and(|card| card.name == entry.spec.name) {
            return cards.next().map(|card| (entry, card));
        }
        Some((entry, catalogue.service(&entry.spec.name)?))
    })
}

/// Returns the overall word and why: the worst critical service, or the worst other one as degraded.
pub(super) fn overall(board: &Board, catalogue: &Catalogue) -> (&'static str, String) {
    let mut bad = Vec::new();
    let (mut impaired, mut blind) = (Vec::new(), Vec::new());
    let mut watched = 0usize;
    for (entry, card) in pairs(board, catalogue) {
        watched += 1;
        match entry.verdict {
            verdict if verdict.is_bad() && card.critical => bad.push(entry),
            Verdict::Up | Verdict::Stopped | Verdict::Completed => {}
            Verdict::Unknown | Verdict::Stale if card.critical => blind.push(entry),
            _ => impaired.push(entry),
        }
    }
    let list = |entries: &[&ServiceEntry]| {
        let names: Vec<String> = entries
            .iter()
            .take(5)
            .map(|entry| format!("{} is {}", entry.spec.name, entry.verdict.as_str().replace('_', " ")))
            .collect();
        let more = entries.len().saturating_sub(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", names.join(", "))
    };
    match (watched, bad.is_empty(), blind.is_empty(), impaired.is_empty()) {
        (0, ..) => ("unknown", "nothing is watched".to_owned()),
        (_, false, ..) => ("down", list(&bad)),
        // Whoever cannot see must not say that all is well, nor that something is broken.
        (_, true, false, _) => ("unknown", list(&blind)),
        (_, true, true, false) => ("degraded", list(&impaired)),
        (_, true, true, true) => ("up", String::new()),
    }
}

/// What a status is made of.
struct View<'a> {
    board: &'a Board,
    catalogue: &'a Catalogue,
    ward: &'a Ward,
    now: Stamp,
}

impl View<'_> {
    /// Makes the status of a service with its replicas. What lies over the service lies over them.
    fn service(&self, entry: &ServiceEntry, card: &ServiceCard, overlay: &Overlay) -> ServiceStatus {
        let overlays = overlay.service(entry.whole());
        let replica = |name: &Arc<str>| {
            let (entry, card) = (self.board.service(name)?, self.catalogue.service(name)?);
            Some(service_status(entry, card, overlays.clone(), self.ward, self.now))
        };
        let replicas = card.replicas.iter().filter_map(replica).collect();
        ServiceStatus { replicas, ..service_status(entry, card, overlays.clone(), self.ward, self.now) }
    }
}

fn service_status(
    entry: &ServiceEntry,
    card: &ServiceCard,
    overlays: Overlays,
    ward: &Ward,
    now: Stamp,
) -> ServiceStatus {
    let names = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
    let checks = entry.checks.iter().filter_map(|check| {
        let card = card.checks.iter().find(|card| card.id == check.id)?;
        Some(check_status(check, card, now))
    });
    ServiceStatus {
        name: card.name.to_string(),
        about: card.about.clone(),
        group: card.group.clone(),
        found: card.found.as_ref().map(FoundStatus::of),
        critical: card.critical,
        verdict: entry.verdict.as_str().to_owned(),
        why: entry.why.clone(),
        since: entry.since.wall.to_string(),
        blocked_by: entry.blocked_by.as_ref().map(ToString::to_string),
        maintenance: overlays.maintenance,
        silenced: overlays.silenced,
        announced: OverlayStatus::of_change(entry, now.wall),
        incident: overlays.incident.map(|id| id.to_string()),
        running_unchecked: entry.is_unchecked(),
        discrepancy: DiscrepancyStatus::of(entry, card),
        needs: NeedsStatus { hard: names(&card.hard_needs), soft: names(&card.soft_needs) },
        workload: WorkloadStatus::of(entry, now),
        replicas: Vec::new(),
        replica_of: card.replica_of.as_ref().map(ToString::to_string),
        healing: HealingStatus::of(ward, &card.name, entry.whole(), now.wall),
        checks: checks.collect(),
    }
}

fn check_status(check: &CheckEntry, card: &CheckCard, now: Stamp) -> CheckStatus {
    CheckStatus {
        name: card.id.check.to_string(),
        about: card.about.clone(),
        kind: card.kind.to_owned(),
        target: card.target.clone(),
        severity: match card.severity {
            Severity::Critical => "critical".to_owned(),
            Severity::Warning => "warning".to_owned(),
        },
        health: check.health.as_str().to_owned(),
        since: check.since.wall.to_string(),
        reason: check.reason().unwrap_or_default().to_owned(),
        flapping: check.state.flap.is_flapping(),
        blind: check.is_blind(now.at),
        every_secs: card.every.as_secs_f64(),
        last: check.last.as_deref().map(|observation| last_status(observation, now)),
    }
}

fn last_status(observation: &Observation, now: Stamp) -> LastStatus {
    let ms = |length: std::time::Duration| (length.as_secs_f64() * 1_000_000.0).round() / 1000.0;
    LastStatus {
        at: observation.started.wall.to_string(),
        age_secs: now.at.since(observation.started.at).as_secs_f64(),
        outcome: match observation.outcome {
            Outcome::Pass => "pass".to_owned(),
            Outcome::Fail(_) => "fail".to_owned(),
            Outcome::Unknown(_) => "unknown".to_owned(),
        },
        took_ms: ms(observation.took),
        phases_ms: observation.phases.iter().map(|(phase, took)| (phase.as_str().to_owned(), ms(*took))).collect(),
        trace_id: observation.trace_id.clone(),
        seen: serde_json::to_value(&observation.seen).unwrap_or_default(),
    }
}

/// Writes a timestamp as people read it in a list: RFC 3339 to the second.
pub(super) fn to_the_second(at: Timestamp) -> String {
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}
