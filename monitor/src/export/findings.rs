//! Everything that is to be mended and is no outage, in one list: what the doctor finds in files and in what we stand on,
//! where runtimes and checks disagree, slow loops, restarts that nobody announced, labels with mistakes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use kit::clock::Stamp;
use kit::config::suggest;
use kit::http::ApiError;
use kit::metrics::{Sample, family};
use prometheus::proto::MetricFamily;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::catalogue::{Catalogue, ServiceCard};
use super::shared::Shared;
use super::workload_status::DiscrepancyStatus;
use crate::doctor::{Finding, Found, RuleText, Severity, identity, texts};
use crate::judge::{Board, ServiceEntry};

/// What is found while services run; the doctor's own rules are [`texts`].
const LIVE: [RuleText; 8] = [
    live("active_but_looping", Severity::Error, "Its runtime calls it running, and it dies again and again."),
    live("healthy_but_failing", Severity::Error, "Whoever trusts its own check, such as a start gate, is led astray."),
    live("recurring_crash", Severity::Error, "It comes back by itself, so nobody notices what is lost each time."),
    live(
        "something_keeps_restarting_this",
        Severity::Error,
        "Somebody restarts it through the API of whoever runs it, and nobody knows why.",
    ),
    live("label_mistake", Severity::Error, "What the label asks for is not watched."),
    live("discovery_problem", Severity::Error, "Something is there and is not watched."),
    live("running_unchecked", Severity::Warning, "It runs, and nobody can say whether it works."),
    live(
        "unhealthy_but_serving",
        Severity::Warning,
        "What restarts or routes by its own check hurts a service that works.",
    ),
];

const fn live(id: &'static str, severity: Severity, why: &'static str) -> RuleText {
    RuleText { id, severity, title: "", why }
}

/// Returns every rule by which something can be found.
pub(super) fn rules() -> impl Iterator<Item = RuleText> {
    texts().into_iter().chain(LIVE)
}

/// Something to mend that is no incident.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FindingStatus {
    /// Stays the same as long as it is the same trouble.
    pub id: String,
    /// The rule's name.
    pub rule: &'static str,
    /// error: it cannot work as it is; warning: it works until something else goes wrong.
    #[schema(value_type = String)]
    pub severity: Severity,
    /// The service or unit; without it the whole file, or the monitor itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The file it stands in, `self` for what the monitor stands on; without it nothing that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// That line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Why it will bite.
    pub why: &'static str,
    /// What to write instead, to paste.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
    /// Since when it is known.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// Nobody could look again since: it may be mended.
    pub stale: bool,
}

impl FindingStatus {
    /// Returns whether it is about a service, or the unit of that name.
    pub(super) fn is_about(&self, service: &str) -> bool {
        let is_it = |own: &str| own == service || own.strip_suffix(".service") == Some(service);
        self.service.as_deref().is_some_and(is_it)
    }

    fn of_doctor(found: &Found) -> Self {
        let Finding { rule, severity, file, line, column, service, message, why, fix } = found.finding.clone();
        let is_in_a_line = line > 0;
        Self {
            id: found.finding.id(),
            rule,
            severity,
            service: Some(service).filter(|service| !service.is_empty()),
            file: Some(file),
            line: Some(line).filter(|_| is_in_a_line),
            column: Some(column).filter(|_| is_in_a_line),
            source: found.source.clone(),
            message,
            why,
            fix,
            since: Timestamp::MAX,
            stale: found.stale,
        }
    }

    /// Makes one of what is found while services run; it is the same whatever figures its message has, unless `told_apart`
    /// says which of several it is.
    fn live(rule: &str, service: Option<&str>, told_apart: &str, message: String) -> Option<Self> {
        let text = LIVE.iter().find(|text| text.id == rule)?;
        Some(Self {
            id: identity(text.id, "", service.unwrap_or_default(), told_apart),
            rule: text.id,
            severity: text.severity,
            service: service.map(str::to_owned),
            file: None,
            line: None,
            column: None,
            source: None,
            message,
            why: text.why,
            fix: String::new(),
            since: Timestamp::MAX,
            stale: false,
        })
    }

    /// Errors first; then what goes on now before what stands in files.
    fn order(&self) -> impl Ord + '_ {
        (Reverse(self.severity), &self.file, self.line, self.column, &self.service, self.rule, &self.message)
    }
}

/// Returns everything that is to be mended now, worst first.
pub(super) fn all(shared: &Shared, now: Stamp) -> Vec<FindingStatus> {
    let first_seen = shared.first_seen.load();
    let mut found = unsorted(shared, now);
    for finding in &mut found {
        finding.since = first_seen.since(&finding.id).unwrap_or(now.wall).min(finding.since);
    }
    found.sort_by(|left, right| left.order().cmp(&right.order()));
    found
}

/// Returns what is found now, by id, with a time since which it is known here.
pub fn found_now(shared: &Shared, now: Stamp) -> BTreeMap<String, Timestamp> {
    unsorted(shared, now).into_iter().map(|finding| (finding.id, finding.since.min(now.wall))).collect()
}

fn unsorted(shared: &Shared, now: Stamp) -> Vec<FindingStatus> {
    let examined = shared.examined.load();
    let catalogue = shared.catalogue.load();
    let mut found: Vec<FindingStatus> = examined.findings.iter().map(FindingStatus::of_doctor).collect();
    found.extend(of_board(&shared.board(), &catalogue, now));
    found.extend(of_discoveries(&catalogue));
    found
}

fn of_board(board: &Board, catalogue: &Catalogue, now: Stamp) -> Vec<FindingStatus> {
    let pairs = board.services().iter().filter_map(|entry| Some((entry, catalogue.service(&entry.spec.name)?)));
    pairs.flat_map(|(entry, card)| disagreement(entry, card).into_iter().chain(restarts(entry, now))).collect()
}

fn disagreement(entry: &ServiceEntry, card: &ServiceCard) -> Option<FindingStatus> {
    let (_, since) = entry.discrepancy?;
    let status = DiscrepancyStatus::of(entry, card)?;
    let words = status.kind.replace('_', " ");
    let message = status.why.map_or_else(|| words.clone(), |why| format!("{words}: {why}"));
    let mut finding = FindingStatus::live(&status.kind, Some(&card.name), "", message)?;
    finding.fix = status.fix.unwrap_or_default();
    finding.since = since.wall;
    Some(finding)
}

fn restarts(entry: &ServiceEntry, now: Stamp) -> Vec<FindingStatus> {
    let Some(workload) = &entry.workload else { return Vec::new() };
    let (assessment, name) = (workload.assessment(now.at), &*entry.spec.name);
    let loops = assessment.recurring_crash.as_ref().map(|recurring| recurring.to_string());
    let restarted = assessment
        .something_keeps_restarting_this
        .then(|| format!("restarted {} times in the last hour", assessment.counted_restarts()));
    let of = |rule: &str, message: Option<String>| FindingStatus::live(rule, Some(name), "", message?);
    of("recurring_crash", loops).into_iter().chain(of("something_keeps_restarting_this", restarted)).collect()
}

fn of_discoveries(catalogue: &Catalogue) -> Vec<FindingStatus> {
    let label = |service: &ServiceCard, mistake: &String| {
        FindingStatus::live("label_mistake", Some(&service.name), mistake, mistake.clone())
    };
    let found = catalogue.services.iter().filter_map(|card| Some((card, card.found.as_ref()?)));
    let labels = found.flat_map(|(card, found)| found.mistakes.iter().filter_map(move |mistake| label(card, mistake)));
    let problems = catalogue.discoveries.iter().flat_map(|finds| finds.blind.iter().chain(&finds.problems));
    labels
        .chain(problems.filter_map(|said| FindingStatus::live("discovery_problem", None, said, said.clone())))
        .collect()
}

/// Which findings.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
pub(super) struct FindingsQuery {
    /// Only about this service, or the unit of that name.
    #[serde(default)]
    pub(super) service: String,
    /// Only of this rule.
    #[serde(default)]
    pub(super) rule: String,
    /// Only errors, or only warnings: error or warning.
    #[serde(default)]
    pub(super) severity: String,
}

impl FindingsQuery {
    /// Returns whether a finding is wanted.
    pub(super) fn takes(&self, finding: &FindingStatus) -> bool {
        (self.service.is_empty() || finding.is_about(&self.service))
            && (self.rule.is_empty() || finding.rule == self.rule)
            && (self.severity.is_empty() || finding.severity.word() == self.severity)
    }

    /// A filter that can never find anything must not look as if there were nothing.
    fn check(&self) -> Result<(), ApiError> {
        let severities = [Severity::Error, Severity::Warning].map(Severity::word);
        if !self.severity.is_empty() && !severities.contains(&&*self.severity) {
            return Err(ApiError::bad_request(format!("severity is {:?}; write error or warning", self.severity)));
        }
        let known: Vec<&str> = rules().map(|text| text.id).collect();
        if !self.rule.is_empty() && !known.contains(&&*self.rule) {
            let near = suggest(&self.rule, known);
            return Err(ApiError::bad_request(format!("there is no rule {:?}{near}", self.rule)));
        }
        Ok(())
    }
}

/// Everything that is to be mended and is no incident.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FindingsAnswer {
    /// Errors in the list.
    errors: usize,
    /// Warnings in the list.
    warnings: usize,
    /// What the doctor finds beyond its limit, and is not listed.
    left_out: usize,
    /// When the doctor examined everything last, RFC 3339; null if it has not yet.
    examined: Option<String>,
    /// What could not be looked into, and why.
    not_checked: Vec<String>,
    /// The findings, worst first.
    findings: Vec<FindingStatus>,
}

/// Returns the route.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/api/v1/findings", get(list)).with_state(shared)
}

/// `GET /api/v1/findings`
#[utoipa::path(get, path = "/api/v1/findings", params(FindingsQuery), tag = "status",
    responses((status = 200, body = FindingsAnswer), (status = 400, description = "no such rule or severity")))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<FindingsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    query.check()?;
    let mut findings = all(&shared, Stamp::now());
    findings.retain(|finding| query.takes(finding));
    let examined = shared.examined.load();
    let answer = FindingsAnswer {
        errors: count(&findings, Severity::Error),
        warnings: count(&findings, Severity::Warning),
        left_out: examined.left_out,
        examined: examined.at.map(|at| at.to_string()),
        not_checked: examined.not_checked.clone(),
        findings,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)))
}

/// Counts findings of a severity.
pub(super) fn count(findings: &[FindingStatus], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}

/// Returns what is counted of findings. Every rule has its series, so that what is mended reads 0.
#[expect(clippy::cast_precision_loss, reason = "counts of findings, and seconds since the epoch")]
pub(super) fn families(shared: &Shared) -> Vec<MetricFamily> {
    let found = unsorted(shared, Stamp::now());
    let examined = shared.examined.load();
    let sample = |text: RuleText| {
        let count = found.iter().filter(|finding| finding.rule == text.id).count();
        Sample::of([("rule", text.id), ("severity", text.severity.word())], count as f64)
    };
    vec![
        family("monitor_findings", "What is to be mended and is no outage, by rule.", rules().map(sample)),
        family(
            "monitor_findings_left_out",
            "Findings of the doctor beyond its limit, which are not listed.",
            [Sample::bare(examined.left_out as f64)],
        ),
        family(
            "monitor_findings_examined_timestamp_seconds",
            "When the doctor last examined everything, in seconds since the epoch.",
            examined.at.map(|at| Sample::bare(at.as_second() as f64)),
        ),
    ]
}
