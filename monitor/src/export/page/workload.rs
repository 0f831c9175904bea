//! A service's process as its page shows it: how it runs, every start and end, the last lines it wrote.

use std::time::Duration;

use kit::page::chart::{Segment, level, runs};
use kit::page::{Html, Tone, words};
use uuid::Uuid;

use super::{Moment, When};
use crate::judge::{Phase, RunLines, WorkloadState};
use crate::supervise::{Assessment, DeclaredState, DeclaredUnit, Run, Who, redact};

/// Of what a declared check wrote, at most, in characters.
const MAX_SAID: usize = 300;
/// Runs that are listed, newest first.
const LISTED: usize = 15;
/// Hexadecimal digits of a digest that are shown: as many as `git` and `docker` show.
const DIGEST_SHOWN: usize = 12;
/// The timeline shows at least the last hour and at most the last week.
const SHORTEST_MS: i64 = 3_600_000;
const LONGEST_MS: i64 = 7 * 86_400_000;

/// What the template shows of a workload.
pub(super) struct WorkloadView {
    /// `running`, `waiting` …
    pub(super) phase: String,
    pub(super) pid: Option<i32>,
    pub(super) running_since: Option<When>,
    pub(super) exits: String,
    /// Its unit's file, and what that says.
    pub(super) unit: Option<String>,
    /// How full the restart budget is, drawn and in words.
    pub(super) budget: (Html, String),
    /// The finding that something keeps restarting it.
    pub(super) restarted: Option<String>,
    pub(super) recurring: Option<String>,
    /// What its runtime's own check finds, and its command.
    pub(super) declared: Option<(Tone, &'static str, String)>,
    /// The last probes of that check, newest first: when, how it ended, what it wrote.
    pub(super) declared_log: Vec<(When, Tone, String)>,
    pub(super) timeline: Html,
    pub(super) runs: Vec<RunView>,
    pub(super) older: usize,
}

/// One run in the table.
pub(super) struct RunView {
    pub(super) id: Uuid,
    pub(super) started: When,
    pub(super) by: &'static str,
    pub(super) lasted: String,
    pub(super) end: String,
    pub(super) unplanned: bool,
    /// The program, where it is another one than in the run before.
    pub(super) program: Option<String>,
    /// The last lines that it wrote.
    pub(super) lines: Vec<String>,
    /// Whether no other run has ended since.
    pub(super) is_last_end: bool,
}

/// Makes it.
pub(super) fn view(workload: &WorkloadState, moment: &Moment) -> WorkloadView {
    let all: Vec<&Run> = workload.ledger.runs().collect();
    let assessment = workload.assessment(moment.now.at);
    let exits = match (workload.ledger.unplanned_ends(), assessment.exits_10m) {
        (0, _) => "none on record".to_owned(),
        (all, 0) => format!("{all}, none in the last 10 min"),
        (all, _) => format!("{all}, {} in the last 10 min", assessment.counted_exits()),
    };
    let (phase, pid, running_since) = match &workload.phase {
        _ if workload.unseen.is_some() => ("unknown".to_owned(), None, None),
        Phase::Pending => ("not started yet".to_owned(), None, None),
        Phase::Waiting(delay) if delay.is_zero() => ("about to be started again".to_owned(), None, None),
        Phase::Waiting(delay) => (format!("waits {} before the next start", words::length(*delay)), None, None),
        Phase::Resting(rest) => (rest.as_str().to_owned(), None, None),
        Phase::Running { pid, since, .. } => ("running".to_owned(), *pid, Some(moment.when(since.wall))),
    };
    let restarted = assessment
        .something_keeps_restarting_this
        .then(|| format!("{} times in the last hour, and nobody announced it", assessment.counted_restarts()));
    WorkloadView {
        phase,
        pid,
        running_since,
        exits,
        unit: workload.described.unit.as_ref().map(DeclaredUnit::words),
        budget: budget(workload, &assessment, moment),
        restarted,
        recurring: assessment.recurring_crash.map(|recurring| recurring.to_string()),
        declared: workload.described.health.as_ref().map(|health| {
            let tone = match health.state {
                DeclaredState::Healthy => Tone::Good,
                DeclaredState::Unhealthy => Tone::Bad,
                DeclaredState::Starting => Tone::Busy,
            };
            (tone, health.state.as_str(), redact(&health.command()))
        }),
        declared_log: declared_log(workload, moment),
        timeline: timeline(&all, moment),
        runs: runs_listed(&all, &workload.lines, moment),
        older: all.len().saturating_sub(LISTED),
    }
}

/// Says how full the restart budget is, and when the next try comes.
fn budget(workload: &WorkloadState, assessment: &Assessment, moment: &Moment) -> (Html, String) {
    let policy = workload.ledger.policy();
    let said = format!(
        "{:.1} of {:.0}: a crash loop from {:.0} on, given up from {:.0} on",
        assessment.level, policy.max_level, policy.loop_level, policy.give_up_level
    );
    let drawn = level(assessment.level, policy.max_level, &[policy.loop_level, policy.give_up_level], &said);
    let next = workload.next_try.map(|at| at.since(moment.now.at)).filter(|wait| !wait.is_zero());
    let next = next.map(|wait| format!("; next try in {}", words::length(wait))).unwrap_or_default();
    (drawn, format!("{said}{next}"))
}

fn declared_log(workload: &WorkloadState, moment: &Moment) -> Vec<(When, Tone, String)> {
    let probes = workload.described.health.iter().flat_map(|health| health.log.iter().rev());
    let shown = probes.map(|probe| {
        let tone = if probe.exit == 0 { Tone::Good } else { Tone::Bad };
        let said = words::clip(redact(probe.output.trim()).as_str(), MAX_SAID);
        let said = if said.is_empty() { "wrote nothing".to_owned() } else { said };
        (moment.when(probe.at), tone, format!("ended with {}: {said}", probe.exit))
    });
    shown.collect()
}

/// The newest runs, newest first.
fn runs_listed(all: &[&Run], lines: &RunLines, moment: &Moment) -> Vec<RunView> {
    let newest = (0..all.len()).rev().take(LISTED);
    let last_end = all.iter().rev().find(|run| run.end.is_some()).map(|run| run.id);
    let view = |run: &Run, before| RunView {
        lines: lines.of(run.id).to_vec(),
        is_last_end: last_end == Some(run.id),
        ..run_view(run, before, moment)
    };
    newest.filter_map(|at| Some(view(all.get(at)?, all.get(..at)?))).collect()
}

fn run_view(run: &Run, before: &[&Run], moment: &Moment) -> RunView {
    let known = before.iter().rev().find_map(|run| run.digest.as_deref());
    let program = run.digest.as_deref().filter(|digest| known.is_some_and(|known| known != *digest));
    RunView {
        id: run.id,
        started: moment.when(run.started.wall),
        by: match run.started_by {
            Who::Us => "the monitor",
            Who::Runtime => "the runtime",
            Who::Announced => "a person or program that said so",
            Who::Anonymous => "somebody",
        },
        lasted: lasted(run, moment),
        end: ended(run),
        unplanned: run.end.as_ref().is_some_and(|end| !end.planned),
        program: program.map(|digest| digest.chars().take(DIGEST_SHOWN).collect()),
        lines: Vec::new(),
        is_last_end: false,
    }
}

fn lasted(run: &Run, moment: &Moment) -> String {
    let length = run.duration(moment.now.at);
    match length {
        length if length < Duration::from_secs(1) => format!("{} ms", length.as_millis()),
        length => words::length(length),
    }
}

fn ended(run: &Run) -> String {
    let Some(end) = &run.end else { return "still runs".to_owned() };
    let how = end.cause.told(end.exit, run.said.as_deref().filter(|_| !end.planned));
    let by = match end.by {
        Who::Us => ", by the monitor",
        Who::Anonymous => ", by somebody who did not say so",
        Who::Runtime | Who::Announced => "",
    };
    let planned = if end.planned { ", planned" } else { "" };
    format!("{how}{by}{planned}")
}

fn timeline(all: &[&Run], moment: &Moment) -> Html {
    let to_ms = moment.now.wall.as_millisecond();
    let oldest_ms = all.first().map_or(to_ms, |run| run.started.wall.as_millisecond());
    let from_ms = oldest_ms.clamp(to_ms - LONGEST_MS, to_ms - SHORTEST_MS);
    let end_ms = |run: &Run| run.end.as_ref().map(|end| end.at.wall.as_millisecond());
    let shown = all.iter().filter(|run| end_ms(run).is_none_or(|end| end >= from_ms));
    let segments: Vec<Segment> = shown
        .map(|run| Segment {
            from_ms: run.started.wall.as_millisecond(),
            to_ms: end_ms(run),
            planned: run.end.as_ref().is_some_and(|end| end.planned),
            said: format!(
                "{}: ran {}, {}",
                words::short_time(run.started.wall, &moment.zone),
                lasted(run, moment),
                ended(run)
            ),
        })
        .collect();
    let summary =
        format!("{} starts since {}", segments.len(), words::short_time(oldest_ms_shown(from_ms), &moment.zone));
    runs(&segments, from_ms, to_ms, &moment.zone, &summary)
}

fn oldest_ms_shown(from_ms: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(from_ms).unwrap_or_default()
}
