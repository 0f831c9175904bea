//! What is to be mended and is no outage, as conditions: slow loops, restarts that nobody announced, a runtime that says
//! one thing while the checks find another. Each is one ticket, not repeated. Pure.

use std::time::Duration;

use kit::clock::{Moment, Stamp};

use super::condition::{Condition, Holds};
use super::evidence::evidence;
use super::message::{Evidence, Severity};
use super::verdicts::ServiceAlerts;
use crate::judge::{Discrepancy, ServiceEntry};

/// A disagreement must last this long: a check that was just mended, or a service that was, takes a few probes to show it.
const DISAGREES_FOR: Duration = Duration::from_secs(120);

/// Returns the findings about a service. While it cannot be seen or is broken what is open stays so, and nothing opens:
/// the outage is told already.
pub(super) fn findings(service: &ServiceEntry, alerts: &ServiceAlerts, now: Stamp) -> Vec<Condition> {
    let (Some(workload), Some(severity)) = (&service.workload, alerts.degraded) else { return Vec::new() };
    if service.verdict.is_bad() || workload.unseen.is_some() {
        let unclear = |kind| vague(key(service, kind));
        return [SLOW_LOOP, RESTARTED]
            .into_iter()
            .map(unclear)
            .chain(disagreement(service, alerts, severity, now))
            .collect();
    }
    let assessment = workload.assessment(now.at);
    let mut found = Vec::new();
    if let Some(recurring) = &assessment.recurring_crash {
        let title = format!("{} {recurring}", service.spec.name);
        let mut condition = finding(service, alerts, severity, (SLOW_LOOP, "RecurringCrash"), title, now);
        condition.cause = recurring.cause.name().to_owned();
        condition.description =
            format!("{} exits of like cause in {}.", recurring.exits, kit::config::show_duration(recurring.window));
        found.push(condition);
    }
    if assessment.something_keeps_restarting_this {
        let count = assessment.counted_restarts();
        let title = format!("something keeps restarting {}: {count} times in the last hour", service.spec.name);
        let mut condition = finding(service, alerts, severity, (RESTARTED, "SomethingKeepsRestartingThis"), title, now);
        condition.description =
            "Requested through the API of whoever runs it, and not announced: an operator's script, \
            a tool that restarts what it calls unhealthy, or a deployment that says nothing."
                .to_owned();
        // Who restarts it is to be found, not why it ends.
        condition.evidence = Evidence { digest: condition.evidence.digest, ..Evidence::default() };
        found.push(condition);
    }
    found.extend(disagreement(service, alerts, severity, now));
    found
}

/// Of so many more replicas it is told what was found of them.
const TOLD_OF: usize = 5;
const SLOW_LOOP: &str = "recurring_crash";
const RESTARTED: &str = "something_keeps_restarting_this";

/// The two in which a healthcheck is wrong. That nothing checks a service is shown, and no ticket: it was so from the
/// start; that it loops is paged.
fn disagreement(service: &ServiceEntry, alerts: &ServiceAlerts, severity: Severity, now: Stamp) -> Option<Condition> {
    let (kind, since) = service.discrepancy?;
    if !matches!(kind, Discrepancy::HealthyButFailing | Discrepancy::UnhealthyButServing) {
        return None;
    }
    let target = service.critical().next().and_then(|check| alerts.targets.get(&check.id.to_string()));
    let diagnosis = service.diagnosis(target.map(String::as_str))?;
    let said = match kind {
        Discrepancy::HealthyButFailing => "is called healthy and fails",
        _ => "is called unhealthy and serves",
    };
    let title = format!("{} {said}: {}", service.spec.name, diagnosis.what);
    let mut condition = finding(service, alerts, severity, (kind.as_str(), "Discrepancy"), title, now);
    condition.cause = kind.as_str().to_owned();
    condition.description = diagnosis.fix;
    (condition.since, condition.after) = (since.at, DISAGREES_FOR);
    Some(condition)
}

fn finding(
    service: &ServiceEntry,
    alerts: &ServiceAlerts,
    severity: Severity,
    (kind, name): (&str, &str),
    title: String,
    now: Stamp,
) -> Condition {
    let mut condition = Condition::new(key(service, kind), name, severity, title);
    condition.service = Some(service.whole().clone());
    condition.labels.clone_from(&alerts.labels);
    condition.since = Moment::min(service.since.at, now.at);
    condition.evidence = evidence(service, None, alerts, now);
    condition.reminded = false;
    condition
}

fn vague(key: String) -> Condition {
    Condition { holds: Holds::Unclear, ..Condition::new(key, "", Severity::Notice, "") }
}

fn key(service: &ServiceEntry, kind: &str) -> String {
    format!("finding:{}:{kind}", service.whole())
}

/// Joins what is found of several replicas alike: it is one thing to mend, told once.
pub(super) fn joined(found: impl Iterator<Item = Condition>) -> Vec<Condition> {
    let mut all: Vec<Condition> = Vec::new();
    for condition in found {
        let Some(known) = all.iter_mut().find(|known| known.key == condition.key) else {
            all.push(condition);
            continue;
        };
        match (known.holds, condition.holds) {
            (Holds::Unclear, _) => *known = condition,
            (_, Holds::Unclear) => {}
            _ => tell_too(&mut known.description, &condition.title),
        }
    }
    all
}

fn tell_too(description: &mut String, title: &str) {
    const MORE: &str = "And others alike.";
    let line = if description.matches("And: ").count() < TOLD_OF { format!("And: {title}.") } else { MORE.to_owned() };
    if !description.ends_with(MORE) {
        *description = format!("{description}\n{line}").trim().to_owned();
    }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
