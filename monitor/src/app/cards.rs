//! What the board and readers need to know of a plan.

use kit::clock::Stamp;

use super::plan::{CheckPlan, Plan, ServicePlan};
use crate::export::{Catalogue, CheckCard, ServiceCard};
use crate::judge::{CheckSpec, ServiceSpec};
use crate::supervise::Workload;

pub(super) fn spec(service: &ServicePlan) -> ServiceSpec {
    ServiceSpec {
        name: service.name.clone(),
        hard_needs: service.needs.hard.clone(),
        checks: service.checks.iter().map(check_spec).collect(),
        runtime: service.workload.as_ref().and_then(|workload| Some(workload.as_watch()?.runtime.address().into())),
        ready: service.workload.as_ref().and_then(|workload| workload.ready().map(Into::into)),
        start_grace: service.workload.as_ref().map(Workload::ready_timeout),
        replicas: service.replicas.clone(),
        replica_of: service.replica_of.clone(),
    }
}

fn check_spec(check: &CheckPlan) -> CheckSpec {
    CheckSpec {
        name: check.question.id.check.clone(),
        policy: check.policy,
        pushed: check.question.probe.is_pushed(),
        generation: check.generation,
    }
}

pub(super) fn catalogue(plan: &Plan, now: Stamp) -> Catalogue {
    let services = plan.services.iter().map(|service| ServiceCard {
        name: service.name.clone(),
        about: service.about.clone(),
        group: service.group.clone(),
        critical: service.critical,
        hard_needs: service.needs.hard.clone(),
        soft_needs: service.needs.soft.clone(),
        availability: service.slo.availability,
        latency_p95: service.slo.latency_p95,
        found: service.found.clone(),
        replicas: service.replicas.as_ref().map(|replicas| replicas.names.clone()).unwrap_or_default(),
        quorum: service.replicas.as_ref().map_or(1, |replicas| replicas.quorum),
        replica_of: service.replica_of.as_ref().map(|one| one.whole.clone()),
        checks: service.checks.iter().map(check_card).collect(),
    });
    Catalogue { services: services.collect(), discoveries: plan.finds.clone(), loaded: now.wall }
}

fn check_card(check: &CheckPlan) -> CheckCard {
    CheckCard {
        id: check.question.id.clone(),
        kind: check.kind,
        about: check.about.clone(),
        target: check.question.probe.target().shown,
        every: check.cadence.every,
        severity: check.policy.severity,
        pushed: check.question.probe.is_pushed(),
        push_token: check.question.probe.push_token().cloned(),
    }
}
