//! Joins what was found with what is written: a plan of the file and a list of finds become one plan. Pure.
//!
//! What is written wins. What is wrong in one find concerns that one alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use kit::config::{Cursor, Mistake, suggest};

use super::needs::{Needs, start_order};
use super::plan::{MAX_SERVICES, Plan, ServicePlan};
use super::replicas;
use super::service::{generation, service};
use crate::probe::Kinds;
use crate::supervise::Workload;
use crate::supervise::discovery::{Discovery, Finds, FoundBy, Known, Labelled, Roster, Sighting, told};
use crate::supervise::workload::Sought;

/// What is said of one discovery as a whole, or of one find, at most: whoever starts containers could have us say without
/// end.
const MAX_SAID: usize = 20;

/// What the discoveries have found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// By the discovery's name.
    pub rosters: BTreeMap<Arc<str>, Roster>,
    /// Why some cannot look now.
    pub blind: BTreeMap<Arc<str>, String>,
}

impl Found {
    /// Returns whether both come to the same plan.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let is_alike =
            |(name, roster): (&Arc<str>, &Roster)| other.rosters.get(name).is_some_and(|known| roster.is_like(known));
        self.blind == other.blind && self.rosters.len() == other.rosters.len() && self.rosters.iter().all(is_alike)
    }
}

impl Plan {
    /// Returns the plan with what was found added to what is written.
    #[must_use]
    pub fn with_found(&self, found: &Found, kinds: &Kinds) -> Self {
        let mut plan = self.clone();
        for discovery in &self.discoveries {
            let finds = add_finds(&mut plan, discovery, found, kinds);
            plan.finds.push(finds);
        }
        settle_needs(&mut plan);
        for finds in &mut plan.finds {
            let found = plan.services.iter().filter_map(|service| Some((&service.name, service.found.as_ref()?)));
            let wrong = found.filter(|(_, by)| by.discovery == finds.discovery && !by.mistakes.is_empty());
            finds.mistakes = wrong.map(|(name, by)| (name.clone(), by.mistakes.clone())).collect();
        }
        plan
    }

    /// Returns the services that were found.
    pub fn found(&self) -> impl Iterator<Item = (&ServicePlan, &FoundBy)> {
        self.services.iter().filter_map(|service| Some((service, service.found.as_ref()?)))
    }
}

fn add_finds(plan: &mut Plan, discovery: &Discovery, found: &Found, kinds: &Kinds) -> Finds {
    let roster = found.rosters.get(&discovery.name);
    let mut finds = Finds {
        discovery: discovery.name.clone(),
        address: discovery.scout.address().to_owned(),
        looks_for: discovery.scout.looks_for(),
        services: 0,
        left_out: roster.map_or(0, Roster::left_out),
        blind: found.blind.get(&discovery.name).cloned(),
        blind_since: None,
        problems: Vec::new(),
        mistakes: BTreeMap::new(),
        wrong_since: None,
    };
    if finds.left_out > 0 {
        finds.problems.push(format!(
            "{} more are there than the limit of {} and are not watched; raise discover.{}.limit",
            finds.left_out, discovery.limit, discovery.name
        ));
    }
    // What is there goes before what is gone, where both want one name.
    let mut known: Vec<&Known> = roster.map(Roster::known).unwrap_or_default().iter().collect();
    known.sort_by_key(|known| known.lost.is_some());
    known.retain(|known| {
        let Some(service) = written_for(plan, discovery, &known.sighting) else { return true };
        // Under its own name it is watched as it is written.
        if known.lost.is_none() && service != Labelled::read(&known.sighting, kinds).name {
            finds.problems.push(format!(
                "{}: the configuration watches it as the service {service:?}, so it is not watched twice; label it \
                 monitor.enable=false",
                known.sighting.shown
            ));
        }
        false
    });
    let mut services: Vec<ServicePlan> = Vec::new();
    for group in groups(known) {
        let Some(first) = group.first() else { continue };
        let name = Labelled::read(&first.sighting, kinds).name;
        match taken(plan, &services, &name) {
            None => services.extend(find(plan, discovery, &group, kinds)),
            // It left the name to another one.
            Some(_) if first.lost.is_some() => {}
            Some(_) if is_watched(plan, &discovery.scout.workload(&first.sighting.sought)) => {}
            Some(whose) => finds.problems.push(format!(
                "{}: {whose}, so this one is not watched; write another one as label monitor.name",
                first.sighting.shown
            )),
        }
    }
    shorten(&mut finds.problems);
    finds.services = services.iter().filter(|service| service.replica_of.is_none()).count();
    services.sort_by(|left, right| left.name.cmp(&right.name));
    plan.services.extend(services);
    finds
}

fn shorten(said: &mut Vec<String>) {
    let more = said.len().saturating_sub(MAX_SAID);
    said.truncate(MAX_SAID);
    if more > 0 {
        said.push(format!("and {more} more"));
    }
}

/// Returns the written service that watches the same workload, however that is found.
fn written_for(plan: &Plan, discovery: &Discovery, sighting: &Sighting) -> Option<String> {
    let ways = [sighting.sought.clone(), Sought::Name(sighting.called.clone())];
    let ways = ways.map(|sought| discovery.scout.workload(&sought));
    let watches = |service: &&ServicePlan| {
        let watched = service.workload.as_ref().and_then(Workload::as_watch).filter(|_| service.found.is_none());
        watched.is_some_and(|watched| ways.iter().filter_map(Workload::as_watch).any(|way| watched.covers(way)))
    };
    plan.services.iter().find(watches).map(|service| replicas::whole(service).to_string())
}

/// Returns whether another discovery has found it too.
fn is_watched(plan: &Plan, workload: &Workload) -> bool {
    let mut found = plan.found().filter_map(|(service, _)| service.workload.as_ref()?.as_watch());
    workload.as_watch().is_some_and(|watched| found.any(|known| known.is_found_like(watched)))
}

/// Returns who has a name already.
fn taken(plan: &Plan, beside: &[ServicePlan], name: &str) -> Option<String> {
    if plan.services.len() + beside.len() >= MAX_SERVICES {
        return Some(format!("there are {MAX_SERVICES} services already"));
    }
    let other = plan.services.iter().chain(beside).find(|service| &*service.name == name)?;
    Some(match &other.found {
        None => format!("the configuration has a service {name:?}"),
        Some(found) => format!("the name {name:?} is that of {}", found.shown),
    })
}

/// Puts together what is one service, who is there before who was removed.
fn groups(known: Vec<&Known>) -> Vec<Vec<&Known>> {
    let mut groups: Vec<Vec<&Known>> = Vec::new();
    for known in known {
        let is_it = |group: &&mut Vec<&Known>| {
            group.first().is_some_and(|first| first.sighting.whole() == known.sighting.whole())
        };
        match groups.iter_mut().find(is_it) {
            Some(group) => group.push(known),
            None => groups.push(vec![known]),
        }
    }
    let number = |known: &&Known| (known.lost.is_some(), known.sighting.one_of.as_ref().map(|one_of| one_of.number));
    groups.iter_mut().for_each(|group| group.sort_by_key(number));
    groups
}

/// Makes a service of a find, or of several that are one: then it is followed by each of them.
fn find(plan: &mut Plan, discovery: &Discovery, group: &[&Known], kinds: &Kinds) -> Vec<ServicePlan> {
    let read = |known: &Known| Labelled::read(&known.sighting, kinds);
    let mut found = match group {
        [] => Vec::new(),
        [one] if read(one).quorum == 1 || one.sighting.one_of.is_none() => {
            find_one(plan, discovery, one, read(one), kinds).into_iter().collect()
        }
        [first, ..] => {
            let Labelled { name, node, quorum, .. } = read(first);
            // Who was removed has no say while others are there, and keeps its past until it is forgotten.
            let there = group.iter().filter(|known| known.lost.is_none()).count();
            let voting = if there == 0 { group.len() } else { there };
            let replica = |known: &&Known| {
                let number = known.sighting.one_of.as_ref()?.number;
                let labelled = Labelled { name: format!("{name}.{number}"), ..read(known) };
                find_one(plan, discovery, known, labelled, kinds)
            };
            let all = group.iter().filter_map(replica).collect();
            replicas::joined(&name, &node, (all, voting), quorum, &plan.defaults, kinds)
        }
    };
    for service in found.iter_mut().filter(|service| service.replica_of.is_none()) {
        if let Some(by) = service.found.as_mut().filter(|_| !plan.alerts.tells_of(&service.name, &service.alerts)) {
            by.mistakes.push(format!(
                "{}: its alerts fit no route and would be lost; add a last route without \"match\" to the configuration",
                by.shown
            ));
        }
        plan.alerts.services.insert(service.name.clone(), service.alerts.clone());
    }
    found
}

/// Makes a service of one find: what of it cannot be read is left out, and said.
fn find_one(
    plan: &Plan,
    discovery: &Discovery,
    known: &Known,
    labelled: Labelled,
    kinds: &Kinds,
) -> Option<ServicePlan> {
    let Labelled { name, node, placeless, is_pending, mistakes, .. } = labelled;
    let workload = discovery.scout.workload(&known.sighting.sought);
    let cursor = Cursor::top(&node, &mistakes);
    let mut service = service(&name, &cursor, Some(workload), &plan.defaults, kinds)?;
    let mistakes = mistakes.into_sorted();
    service.checks.retain(|check| !is_pending && !concerns(&mistakes, &check.question.id.check));
    for check in &mut service.checks {
        // Another address is no other question.
        if let Some(node) = placeless.child("checks").and_then(|checks| checks.child(&check.question.id.check)) {
            check.generation = generation(node);
        }
    }
    service.alerts.targets.retain(|name, _| service.checks.iter().any(|check| check.question.id.to_string() == *name));
    let mut texts: Vec<String> = mistakes.iter().map(told).collect();
    if let Some(why) = &known.astray {
        texts.push(format!("{}: {why}; it is asked where it was reached before", known.sighting.shown));
    }
    shorten(&mut texts);
    service.found =
        Some(FoundBy { discovery: discovery.name.clone(), shown: known.sighting.shown.clone(), mistakes: texts });
    Some(service)
}

/// Returns whether a mistake is about a check.
fn concerns(mistakes: &[Mistake], check: &str) -> bool {
    let path = format!("checks.{check}");
    mistakes.iter().any(|mistake| {
        mistake.path.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// Leaves out needs of finds that nobody can meet, and orders the starts anew.
fn settle_needs(plan: &mut Plan) {
    let known: Vec<Arc<str>> = plan.services.iter().map(|service| service.name.clone()).collect();
    for service in &mut plan.services {
        let Some(found) = &mut service.found else { continue };
        for needs in [&mut service.needs.hard, &mut service.needs.soft] {
            needs.retain(|need| {
                let is_known = known.contains(need);
                if !is_known {
                    let near = suggest(need, known.iter().map(|name| &**name));
                    found.mistakes.push(format!(
                        "{}, label monitor.needs: needs {need:?}, which is not a service{near}",
                        found.shown
                    ));
                }
                is_known
            });
        }
    }
    loop {
        let graph: Vec<(Arc<str>, Needs)> =
            plan.services.iter().map(|service| (service.name.clone(), service.needs.clone())).collect();
        let cycle = match start_order(&graph) {
            Ok(order) => {
                plan.start_order = order;
                return;
            }
            Err(cycle) => cycle,
        };
        let is_in_it = |service: &&mut ServicePlan| service.found.is_some() && cycle.contains(&service.name);
        // What is written has no cycles, so one of them was found.
        let Some(service) = plan.services.iter_mut().find(is_in_it) else { return };
        let Some(found) = &mut service.found else { return };
        let circle = cycle.iter().map(|name| &**name).collect::<Vec<_>>().join(" → ");
        found.mistakes.push(format!(
            "{}, label monitor.needs: these services need each other in a circle: {circle}; what it needs is left out",
            found.shown
        ));
        service.needs = Needs::default();
    }
}

#[cfg(test)]
#[path = "found_tests.rs"]
pub(super) mod tests;
