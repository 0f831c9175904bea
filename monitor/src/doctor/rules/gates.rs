//! `depends_on` as a gate: what never opens, what must not be waited for, and who must not wait.

use std::collections::BTreeSet;

use crate::doctor::compose::{Dependency, Kind, Project, Service};
use crate::doctor::finding::{Hit, Rule};

use super::health::can_never_pass;

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::error(
        "gate-without-health",
        "waits for the health of a service that has no health check",
        "Compose refuses to start it: nothing ever says that the other one is healthy.",
        without_health,
    ),
    Rule::error(
        "gate-never-opens",
        "waits for a service that can never become healthy",
        "It stays created and is never started; a published port then refuses connections.",
        never_opens,
    ),
    Rule::warning(
        "gate-on-observability",
        "waits for what only watches",
        "When tracing, metrics or logs are down, this does not start either: a blind spot becomes an outage.",
        on_observability,
    ),
    Rule::error(
        "gate-before-monitor",
        "a monitor waits for what it should watch",
        "One sick service keeps the monitor from starting that would have reported it.",
        before_monitor,
    ),
    Rule::error(
        "gate-cycle",
        "services wait for each other in a circle",
        "Compose refuses to start any of them.",
        cycle,
    ),
    Rule::error(
        "gate-unknown-service",
        "waits for a service that does not exist",
        "Compose refuses the whole project.",
        unknown_service,
    ),
    Rule::error(
        "gate-on-restarting-job",
        "waits for the end of a job that is started again and again",
        "It ends and is started anew at once: it may never be seen as completed, and does its work again and again.",
        on_restarting_job,
    ),
];

type Edge<'a> = (&'a Service, &'a Dependency, &'a Service);

fn edges(project: &Project) -> Vec<Edge<'_>> {
    let mut found = Vec::new();
    for service in &project.services {
        for dependency in &service.depends_on {
            found.extend(project.service(&dependency.service).map(|other| (service, dependency, other)));
        }
    }
    found
}

fn hit(edge: &Edge<'_>, message: String, fix: String) -> Hit {
    Hit::new(&edge.1.place, &edge.0.name, message, fix)
}

/// What may be written instead of a gate.
fn started(name: &str) -> String {
    format!("depends_on:\n  {name}:\n    condition: service_started   # and let the program retry until it answers")
}

fn without_health(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for edge in edges(project) {
        let (_, dependency, other) = &edge;
        if dependency.condition == "service_healthy" && other.has_check() == Some(false) {
            let message = format!("{} has no health check, neither here nor in its image", other.name);
            let fix = format!("{}:\n  healthcheck:\n    test: [\"CMD\", \"…\"]\n    start_period: 1m", other.name);
            hits.push(hit(&edge, message, fix));
        }
    }
    hits
}

fn never_opens(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for edge in edges(project) {
        let (service, dependency, other) = &edge;
        let is_stuck = dependency.condition == "service_healthy" && can_never_pass(other);
        if is_stuck {
            let message = format!("{} waits for {}, whose health check can never pass", service.name, other.name);
            let fix = format!("Mend the health check of {} (see its own finding).", other.name);
            hits.push(hit(&edge, message, fix));
        } else if let Some(chain) = stuck_behind(project, other, &mut BTreeSet::new()) {
            let message = format!("{} never starts: it waits for {}", service.name, chain.join(", which waits for "));
            let fix =
                format!("Mend the health check of {} (see its own finding).", chain.last().unwrap_or(&other.name));
            hits.push(hit(&edge, message, fix));
        }
    }
    hits
}

/// Returns the way from a service to the one that keeps it from starting.
fn stuck_behind(project: &Project, service: &Service, seen: &mut BTreeSet<String>) -> Option<Vec<String>> {
    if !seen.insert(service.name.clone()) {
        return None;
    }
    for dependency in &service.depends_on {
        let Some(other) = project.service(&dependency.service) else { continue };
        if dependency.condition == "service_healthy" && can_never_pass(other) {
            return Some(vec![service.name.clone(), other.name.clone()]);
        }
        if let Some(mut chain) = stuck_behind(project, other, seen) {
            chain.insert(0, service.name.clone());
            return Some(chain);
        }
    }
    None
}

fn on_observability(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for edge in edges(project) {
        let (service, dependency, other) = &edge;
        if service.is_observability() || service.is_monitor() {
            continue;
        }
        let chain = match other.is_observability() && dependency.is_gate() {
            true => Some(vec![other.name.clone()]),
            false => waits_for_observability(project, other, &mut BTreeSet::new()),
        };
        if let Some(chain) = chain {
            let message = format!("{} waits for {}", service.name, chain.join(", which waits for "));
            hits.push(hit(&edge, message, started(chain.last().unwrap_or(&other.name))));
        }
    }
    hits
}

fn waits_for_observability(project: &Project, service: &Service, seen: &mut BTreeSet<String>) -> Option<Vec<String>> {
    if service.is_observability() || !seen.insert(service.name.clone()) {
        return None;
    }
    for dependency in &service.depends_on {
        let Some(other) = project.service(&dependency.service) else { continue };
        if other.is_observability() && dependency.is_gate() {
            return Some(vec![service.name.clone(), other.name.clone()]);
        }
        if let Some(mut chain) = waits_for_observability(project, other, seen) {
            chain.insert(0, service.name.clone());
            return Some(chain);
        }
    }
    None
}

fn before_monitor(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    let all = edges(project);
    for edge in &all {
        let (service, dependency, other) = edge;
        let is_watched = !other.is_observability() && !other.is_monitor();
        // A store that nobody else uses is a part of the monitor itself.
        let is_its_own =
            other.facts.is(Kind::Store) && all.iter().filter(|(_, _, used)| used.name == other.name).count() == 1;
        let gates = dependency.is_gate() || other.depends_on.iter().any(Dependency::is_gate);
        if service.is_monitor() && is_watched && gates && !is_its_own {
            let message = match dependency.is_gate() {
                true => format!("{} starts only when {} is {}", service.name, other.name, state_of(dependency)),
                false => format!("{} starts after {}, which itself waits for others", service.name, other.name),
            };
            hits.push(hit(
                edge,
                message,
                format!("Remove depends_on of {}: what it watches may come later.", service.name),
            ));
        }
    }
    hits
}

fn state_of(dependency: &Dependency) -> &'static str {
    if dependency.condition == "service_healthy" { "healthy" } else { "done" }
}

fn cycle(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut told = BTreeSet::new();
    for edge in edges(project) {
        let (service, _, other) = &edge;
        if let Some(way) = way_to(project, other, &service.name, &mut BTreeSet::new()) {
            let members: BTreeSet<String> = way.iter().cloned().chain([service.name.clone()]).collect();
            if told.insert(members) {
                let message = format!("{} waits for {}", service.name, way.join(", which waits for "));
                hits.push(hit(
                    &edge,
                    message,
                    "Remove one of these depends_on, and let that program retry.".to_owned(),
                ));
            }
        }
    }
    hits
}

fn way_to(project: &Project, from: &Service, goal: &str, seen: &mut BTreeSet<String>) -> Option<Vec<String>> {
    if from.name == goal {
        return Some(vec![goal.to_owned()]);
    }
    if !seen.insert(from.name.clone()) {
        return None;
    }
    for dependency in &from.depends_on {
        let Some(next) = project.service(&dependency.service) else { continue };
        if let Some(mut way) = way_to(project, next, goal, seen) {
            way.insert(0, from.name.clone());
            return Some(way);
        }
    }
    None
}

fn unknown_service(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        for dependency in &service.depends_on {
            let name = &dependency.service;
            if project.service(name).is_none() && !project.inactive.contains(name) {
                let names = project.services.iter().map(|service| service.name.as_str());
                let near = kit::config::suggest(name, names);
                let message = format!("there is no service {name:?}{near}");
                hits.push(Hit::new(
                    &dependency.place,
                    &service.name,
                    message,
                    "Name a service of this project, or remove it.",
                ));
            }
        }
    }
    hits
}

fn on_restarting_job(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for edge in edges(project) {
        let (_, dependency, other) = &edge;
        if dependency.condition == "service_completed_successfully" && other.restarts_for_ever() {
            let policy = other.restart.as_ref().map(|restart| restart.text.as_str()).unwrap_or_default();
            let message = format!("{} is started again when it has ended (restart: {policy})", other.name);
            hits.push(hit(&edge, message, format!("{}:\n  restart: \"no\"", other.name)));
        }
    }
    hits
}
