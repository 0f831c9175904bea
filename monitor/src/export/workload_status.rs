//! How whoever runs a service says that it stands, in the status JSON.

use kit::clock::Stamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::catalogue::ServiceCard;
use crate::judge::{Phase, RunLines, ServiceEntry};
use crate::supervise::{DeclaredUnit, Run};

/// A workload's state.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkloadStatus {
    /// pending, running, waiting, stopped, completed or failed.
    pub phase: String,
    /// The run's id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<String>,
    /// The process id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<i32>,
    /// When the run began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started: Option<String>,
    /// SHA-256 of the program that runs, or of its image, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// Unplanned exits that are remembered, without restarts through an API that nobody announced.
    pub unplanned_exits: u64,
    /// Unplanned exits in the last 10 minutes.
    pub unplanned_exits_10m: u64,
    /// There may have been more of them: whoever runs it did not tell of all.
    #[serde(default)]
    pub unplanned_exits_at_least: bool,
    /// Its unit's file and what that says of restarts and its watchdog, in one line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<String>,
    /// How full the restart budget is: a crash loop from 3 on, given up from 8 on; each unplanned exit adds 1, two good
    /// minutes take 1 away.
    #[serde(default)]
    pub restart_level: f64,
    /// When whoever runs it tries again, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_try: Option<String>,
    /// Restarts in the last hour that nobody announced, through the API of whoever runs it.
    #[serde(default)]
    pub anonymous_restarts_1h: u64,
    /// Finding: there are so many of them that something must keep restarting it.
    #[serde(default)]
    pub something_keeps_restarting_this: bool,
    /// How the last run ended, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_end: Option<String>,
    /// The last lines that run wrote.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub last_lines: Vec<String>,
    /// What its runtime's own check finds: starting, healthy or unhealthy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub declared: Option<String>,
    /// A slow loop, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recurring_crash: Option<String>,
    /// Its newest runs, newest first; only where one service is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub runs: Vec<RunStatus>,
}

impl WorkloadStatus {
    pub(super) fn of(entry: &ServiceEntry, now: Stamp) -> Option<Self> {
        let workload = entry.workload.as_ref()?;
        let assessment = workload.assessment(now.at);
        let (word, run, pid, started) = match &workload.phase {
            _ if workload.unseen.is_some() => ("unknown", None, None, None),
            Phase::Pending => ("pending", None, None, None),
            Phase::Waiting(_) => ("waiting", None, None, None),
            Phase::Resting(rest) => (rest.as_str(), None, None, None),
            Phase::Running { run, pid, since } => {
                ("running", Some(run.to_string()), *pid, Some(since.wall.to_string()))
            }
        };
        let unplanned = workload.ledger.unplanned_ends();
        Some(Self {
            phase: word.to_owned(),
            run,
            pid,
            started,
            digest: workload.digest.clone(),
            unplanned_exits: unplanned as u64,
            unplanned_exits_10m: assessment.exits_10m as u64,
            unplanned_exits_at_least: assessment.is_at_least,
            unit: workload.described.unit.as_ref().map(DeclaredUnit::words),
            restart_level: assessment.level,
            next_try: workload.next_try.map(|at| now.wall_of(at).to_string()),
            anonymous_restarts_1h: assessment.anonymous_restarts as u64,
            something_keeps_restarting_this: assessment.something_keeps_restarting_this,
            last_end: workload.last_told.clone(),
            last_lines: workload.lines.last().to_vec(),
            declared: workload.described.health.as_ref().map(|health| health.state.as_str().to_owned()),
            recurring_crash: assessment.recurring_crash.map(|recurring| recurring.to_string()),
            runs: Vec::new(),
        })
    }
}

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunStatus {
    /// Its id.
    pub id: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// Who began it: us, runtime, announced or anonymous.
    pub started_by: String,
    /// How it ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<EndStatus>,
    /// SHA-256 of the program or image, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// Whether every critical check passed in it.
    pub worked: bool,
    /// The last lines that it wrote, of the newest runs that ended.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub last_lines: Vec<String>,
}

impl RunStatus {
    pub(super) fn of(run: &Run, lines: &RunLines) -> Self {
        let end = run.end.as_ref().map(|end| EndStatus {
            at: end.at.wall.to_string(),
            by: end.by.as_str().to_owned(),
            cause: end.cause.name().to_owned(),
            how: end.cause.told(end.exit, run.said.as_deref()),
            planned: end.planned,
        });
        Self {
            id: run.id.to_string(),
            started: run.started.wall.to_string(),
            started_by: run.started_by.as_str().to_owned(),
            end,
            digest: run.digest.clone(),
            worked: run.worked,
            last_lines: lines.of(run.id).to_vec(),
        }
    }
}

/// The end of a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EndStatus {
    /// When, RFC 3339.
    pub at: String,
    /// Who ended it: us, runtime, announced or anonymous.
    pub by: String,
    /// The name of the cause, such as oom.
    pub cause: String,
    /// How, in words.
    pub how: String,
    /// Whether it was planned.
    pub planned: bool,
}

/// A runtime and the checks disagree.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DiscrepancyStatus {
    /// active_but_looping, healthy_but_failing, unhealthy_but_serving or running_unchecked.
    pub kind: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Why, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// What to write instead, to paste.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
}

impl DiscrepancyStatus {
    pub(super) fn of(entry: &ServiceEntry, card: &ServiceCard) -> Option<Self> {
        let (kind, since) = entry.discrepancy?;
        let first = entry.critical().next();
        let target =
            first.and_then(|check| card.checks.iter().find(|card| card.id == check.id)).map(|card| &*card.target);
        let diagnosis = entry.diagnosis(target);
        Some(Self {
            kind: kind.as_str().to_owned(),
            since: since.wall.to_string(),
            why: diagnosis.as_ref().map(|diagnosis| diagnosis.what.clone()),
            fix: diagnosis.map(|diagnosis| diagnosis.fix).filter(|fix| !fix.is_empty()),
        })
    }
}
