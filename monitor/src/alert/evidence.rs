//! What a person needs to see first of a service that is not well. Pure.

use std::time::Duration;

use kit::clock::{Moment, Stamp};
use kit::config::show_duration;

use super::message::Evidence;
use super::verdicts::ServiceAlerts;
use crate::judge::{CheckEntry, Health, ServiceEntry, WorkloadState};
use crate::probe::{Observation, Outcome, Reason};
use crate::supervise::redact;

/// A run that ended longer ago says nothing of a failure that began since.
const ENDED_LATELY: Duration = Duration::from_secs(3600);
/// A change longer ago is no likely cause.
const CHANGED_LATELY: Duration = Duration::from_secs(24 * 3600);
/// Hexadecimal digits of a digest that are shown: as many as `git` and `docker` show.
const DIGEST_SHOWN: usize = 12;

/// Gathers it. `replica` is the one that is worst off, if it runs more than once.
pub(super) fn evidence(
    service: &ServiceEntry,
    replica: Option<&ServiceEntry>,
    alerts: &ServiceAlerts,
    now: Stamp,
) -> Evidence {
    let mut evidence = Evidence::default();
    let runs = replica.unwrap_or(service);
    if let Some(check) = failing(service).or_else(|| failing(runs)) {
        evidence.check = check.id.to_string();
        evidence.target = alerts.targets.get(&check.id.to_string()).cloned().unwrap_or_default();
        if let Some(last) = &check.last {
            evidence.reason = reason(last).map(|reason| redact(&reason.text)).unwrap_or_default();
            let millis = |took: &Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            evidence.phases = last.parts().into_iter().map(|(part, took)| (part.to_owned(), millis(&took))).collect();
            evidence.trace_id.clone_from(&last.trace_id);
        }
    }
    let ended_lately = |end: Moment| now.at.since(end) < ENDED_LATELY;
    if let Some(workload) = &runs.workload {
        let last_end = workload.ledger.runs().rev().find_map(|run| run.end.as_ref());
        if last_end.is_some_and(|end| !end.planned && ended_lately(end.at.at)) {
            evidence.exit = workload.last_told.clone().unwrap_or_default();
            evidence.last_lines = workload.lines.last().to_vec();
        }
        evidence.digest = workload.digest.clone().unwrap_or_default();
    }
    let changes = [
        runs.workload.as_ref().and_then(|workload| new_program(workload, now)),
        new_version(service, now).or_else(|| new_version(runs, now)),
    ];
    evidence.changed = changes.into_iter().flatten().collect::<Vec<_>>().join("; ");
    evidence
}

/// Returns the check that says so: the worst.
pub(super) fn failing(service: &ServiceEntry) -> Option<&CheckEntry> {
    let worst = |check: &&CheckEntry| matches!(check.health, Health::Down | Health::Degraded);
    service.critical().find(|check| check.health == Health::Down).or_else(|| service.checks.iter().find(worst))
}

/// Returns why an answer is not as it should be.
pub(super) fn reason(observation: &Observation) -> Option<&Reason> {
    match &observation.outcome {
        Outcome::Fail(reason) | Outcome::Unknown(reason) => Some(reason),
        Outcome::Pass => observation.soft.first(),
    }
}

/// Says that another program runs than in the last run that worked, if so.
fn new_program(workload: &WorkloadState, now: Stamp) -> Option<String> {
    let mut runs = workload.ledger.runs().rev();
    let (present, digest) = runs.by_ref().find_map(|run| Some((run, run.digest.as_deref()?)))?;
    let (good, before) = runs.find_map(|run| Some((run, run.digest.as_deref().filter(|_| run.worked)?)))?;
    if present.worked || digest == before || now.at.since(present.started.at) > CHANGED_LATELY {
        return None;
    }
    let cut = |digest: &str| digest.chars().take(DIGEST_SHOWN).collect::<String>();
    let ago = show_duration(now.at.since(good.end.as_ref()?.at.at));
    Some(format!("the program: {} since {ago} ago, before that {}", cut(digest), cut(before)))
}

/// Says that a check has seen another version than before, if so.
fn new_version(service: &ServiceEntry, now: Stamp) -> Option<String> {
    let changes = service.checks.iter().filter_map(|check| Some((check, check.version.changed.as_ref()?)));
    let (check, change) = changes.max_by_key(|(_, change)| change.at)?;
    let passed = now.at.since(change.at);
    if passed > CHANGED_LATELY {
        return None;
    }
    let (check, from, to, ago) = (&check.id.check, &change.from, &change.to, show_duration(passed));
    Some(redact(&format!("the version ({check}): {to} since {ago} ago, before that {from}")))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::judge::RunLines;
    use crate::supervise::cause::{Cause, Exit};
    use crate::supervise::{End, Ledger, Who};

    fn stamp(secs: i64) -> Stamp {
        let wall = jiff::Timestamp::from_second(1_800_000_000 + secs).unwrap();
        Stamp { at: Moment::from_ms(secs * 1000), wall }
    }

    /// Runs of 60 s, one after the other: the letter of its program, in capitals if it worked.
    fn ran(runs: &str) -> WorkloadState {
        let mut ledger = Ledger::default();
        for (index, program) in (0_u8..).zip(runs.chars()) {
            let (id, began) = (Uuid::from_u128(u128::from(index)), i64::from(index) * 60);
            ledger.record_start(id, stamp(began), Who::Us);
            ledger.record_digest(id, program.to_string().to_lowercase().repeat(64));
            if program.is_uppercase() {
                ledger.record_worked();
            }
            if usize::from(index) + 1 < runs.len() {
                let (by, exit, cause) = (Who::Runtime, Exit::Code(1), Cause::Crashed { code: 1 });
                let at = stamp(began + 60);
                ledger.record_end(id, End { at, by, exit, cause, planned: false, excuse: None });
            }
        }
        WorkloadState::restored(ledger, RunLines::default())
    }

    #[test]
    fn another_program_than_in_the_last_run_that_worked_is_named() {
        for (runs, ago) in
            [("AAb", Some("1m")), ("Abbb", Some("2m")), ("AB", None), ("Aaa", None), ("abb", None), ("AbA", None)]
        {
            let named = |ago| format!("the program: bbbbbbbbbbbb since {ago} ago, before that aaaaaaaaaaaa");
            let expected: Option<String> = ago.map(named);
            assert_eq!(new_program(&ran(runs), stamp(180)), expected, "{runs}");
        }
    }
}
