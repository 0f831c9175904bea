//! Reads one service and its checks, whoever wrote them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use kit::config::{Cursor, Node, Value, suggest};

use super::needs::Needs;
use super::plan::{CheckPlan, ServicePlan, Slo};
use crate::alert::{Objectives, decode_service};
use crate::config::check_name;
use crate::heal::decode_heal;
use crate::judge::{Policy, Severity};
use crate::probe::{CheckId, Kinds, decode_question};
use crate::schedule::Cadence;
use crate::supervise::{Workload, WorkloadKinds};

/// Keys of a check that are not its kind.
const CHECK_KEYS: [&str; 8] =
    ["about", "expect", "every", "every_when_failing", "timeout", "fail_after", "recover_after", "severity"];

/// What holds for checks that say nothing else.
#[derive(Debug, Clone, Copy)]
pub struct CheckDefaults {
    /// How they are judged.
    pub policy: Policy,
    /// How often they are asked.
    pub cadence: Cadence,
}

/// Checks what a service says. What runs it is `known` if that was not written but found.
pub(super) fn service(
    name: &str,
    cursor: &Cursor<'_>,
    known: Option<Workload>,
    defaults: &CheckDefaults,
    kinds: &Kinds,
) -> Option<ServicePlan> {
    let fields = cursor.fields()?;
    let mut checks = Vec::new();
    for (check_name_, check_cursor) in fields.get("checks").and_then(|c| c.entries()).unwrap_or_default() {
        check_name(&check_cursor, "check", check_name_);
        checks.extend(check(CheckId::new(name, check_name_), &check_cursor, defaults, kinds));
    }
    let workload = known.or_else(|| fields.get("workload").and_then(|c| WorkloadKinds::standard().decode(&c)));
    if let Some(ready) = workload.as_ref().and_then(Workload::ready) {
        let found = checks.iter().find(|check: &&CheckPlan| *check.question.id.check == *ready);
        match found {
            Some(check) if check.policy.severity == Severity::Critical => {}
            Some(_) => cursor.mistake(format!(
                "its process is ready by the check {ready:?}, which is a warning: name one that can make it down"
            )),
            None => {
                let near = suggest(ready, checks.iter().map(|check: &CheckPlan| &*check.question.id.check));
                cursor.mistake(format!("its process is ready by the check {ready:?}, which it does not have{near}"));
            }
        }
    }
    let critical = fields.get("critical").and_then(|c| c.bool()).unwrap_or(true);
    let mut alerts = decode_service(&fields, critical);
    let target = |check: &CheckPlan| (check.question.id.to_string(), check.question.probe.target().shown);
    let slo = slo(fields.get("slo"));
    alerts.objectives = Objectives { availability: slo.availability, latency_p95: slo.latency_p95 };
    alerts.targets = checks.iter().map(target).collect();
    let plan = ServicePlan {
        name: name.into(),
        was: fields.get("was").and_then(|c| c.text()).map(Into::into),
        about: fields.get("about").and_then(|c| c.text()),
        group: fields.get("group").and_then(|c| c.text()),
        critical,
        needs: needs(fields.get("needs")),
        slo,
        alerts,
        heal: decode_heal(&fields),
        workload,
        replicas: None,
        replica_of: None,
        found: None,
        checks,
    };
    fields.end();
    Some(plan)
}

fn check(id: CheckId, cursor: &Cursor<'_>, defaults: &CheckDefaults, kinds: &Kinds) -> Option<CheckPlan> {
    let fields = cursor.fields()?;
    let mut policy = Policy::decode(&fields, &defaults.policy);
    let cadence = Cadence::decode(&fields, policy.every, &defaults.cadence);
    let about = fields.get("about").and_then(|c| c.text());
    let generation = generation(cursor.node());
    let (question, kind) = decode_question(fields, id, policy.timeout, kinds, &CHECK_KEYS)?;
    if question.probe.is_pushed() {
        // A missed deadline is one fact, however often we look at it.
        policy.fail_after = crate::judge::Threshold::InARow(std::num::NonZeroU32::MIN);
        policy.recover_after = std::num::NonZeroU32::MIN;
    }
    Some(CheckPlan { question, kind, about, cadence, policy, generation })
}

/// A hash of everything that decides what is asked and expected; how often and how it is judged may change freely.
pub(super) fn generation(check: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Value::Map(entries) = &check.value {
        for entry in entries.iter().filter(|entry| entry.key == "expect" || !CHECK_KEYS.contains(&entry.key.as_str())) {
            entry.key.hash(&mut hasher);
            entry.node.to_json().to_string().hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn needs(cursor: Option<Cursor<'_>>) -> Needs {
    let Some(cursor) = cursor else { return Needs::default() };
    let names = |c: Cursor<'_>| c.texts().into_iter().map(Into::into).collect();
    // A plain list is the common case: everything in it is needed.
    if matches!(cursor.node().value, Value::List(_) | Value::Text(_)) {
        return Needs { hard: names(cursor), soft: Vec::new() };
    }
    let Some(fields) = cursor.fields() else { return Needs::default() };
    let needs = Needs {
        hard: fields.get("hard").map(names).unwrap_or_default(),
        soft: fields.get("soft").map(names).unwrap_or_default(),
    };
    fields.end();
    needs
}

fn slo(cursor: Option<Cursor<'_>>) -> Slo {
    let Some(fields) = cursor.and_then(|c| c.fields()) else { return Slo::default() };
    let latency = fields.get("latency").and_then(|c| c.fields());
    let p95 = latency
        .as_ref()
        .and_then(|f| f.get("p95"))
        .and_then(|c| c.duration(Duration::from_millis(1)..=Duration::from_secs(3600)));
    if let Some(latency) = latency {
        latency.end();
    }
    let slo = Slo { availability: fields.get("availability").and_then(|c| c.ratio()), latency_p95: p95 };
    fields.end();
    slo
}
