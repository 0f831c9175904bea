//! Reads a service that runs more than once: one entry of the file becomes the service and each of its replicas.

use std::ops::RangeInclusive;
use std::sync::Arc;

use kit::config::{Cursor, Entry, Mistakes, Node, Value};

use super::plan::ServicePlan;
use super::service::{CheckDefaults, service};
use crate::config::check_name;
use crate::judge::{ReplicaOf, Replicas, Severity};
use crate::probe::Kinds;
use crate::supervise::discovery::FoundBy;

/// What stands for the number of a replica, wherever it is written.
const NUMBER: &str = "{replica}";
/// Beyond this many it is a mistake in a generator.
const COUNTS: RangeInclusive<usize> = 1..=100;
/// What of a service's entry is each replica's, beside the checks that name [`NUMBER`].
const OF_REPLICAS: [&str; 6] = ["critical", "group", "heal", "needs", "was", "workload"];
/// What of it is not the service's own.
const NOT_OF_THE_WHOLE: [&str; 3] = ["heal", "replicas", "workload"];

/// Checks what is written of a service; returns it, and then its replicas if it has any.
pub(super) fn services(name: &str, cursor: &Cursor<'_>, defaults: &CheckDefaults, kinds: &Kinds) -> Vec<ServicePlan> {
    check_name(cursor, "service", name);
    let node = cursor.node();
    if node.child("checks").is_none() && node.child("workload").is_none() {
        cursor.mistake("neither \"checks\" nor \"workload\": there is nothing to watch");
    }
    let Some((count, quorum)) = count(cursor) else {
        return service(name, cursor, None, defaults, kinds).into_iter().collect();
    };
    let whole = only(node, &|key| !NOT_OF_THE_WHOLE.contains(&key), &|check| !is_numbered(check));
    let Some(whole) = service(name, &cursor.with(&whole), None, defaults, kinds) else { return Vec::new() };
    let of_one = only(node, &|key| OF_REPLICAS.contains(&key), &is_numbered);
    let mut replicas = Vec::new();
    for number in 1..=count {
        let before = cursor.mistakes_so_far();
        let node = of_one.map_texts(&|text| text.contains(NUMBER).then(|| text.replace(NUMBER, &number.to_string())));
        let node = renamed(node, number);
        let replica = service(&format!("{name}.{number}"), &cursor.with(&node), None, defaults, kinds);
        replicas.extend(replica);
        // All are made of the same words, and have the same mistakes.
        if cursor.mistakes_so_far() > before {
            break;
        }
    }
    let count = replicas.len();
    join(whole, replicas, count, quorum)
}

/// Makes one service of several that were found, each of which is read already; `node` is what one of them says of it. Only
/// the first `voting` of them count.
pub(super) fn joined(
    name: &str,
    node: &Node,
    (replicas, voting): (Vec<ServicePlan>, usize),
    quorum: usize,
    defaults: &CheckDefaults,
    kinds: &Kinds,
) -> Vec<ServicePlan> {
    let (whole, said_of_each) = (only(node, &|key| key != "checks", &|_| false), Mistakes::default());
    let Some(whole) = service(name, &Cursor::top(&whole, &said_of_each), None, defaults, kinds) else {
        return replicas;
    };
    let found = replicas.first().and_then(|replica| replica.found.as_ref()).map(|found| FoundBy {
        shown: format!("{voting} containers like {}", found.shown),
        mistakes: Vec::new(),
        ..found.clone()
    });
    join(ServicePlan { found, ..whole }, replicas, voting, quorum)
}

fn join(mut whole: ServicePlan, mut replicas: Vec<ServicePlan>, voting: usize, quorum: usize) -> Vec<ServicePlan> {
    for replica in &mut replicas {
        let number = replica.name.rsplit('.').next().unwrap_or_default();
        replica.about = Some(format!("replica {number} of {}, which has {voting}", whole.name));
        whole.alerts.targets.append(&mut replica.alerts.targets);
    }
    let are_checked = replicas.iter().any(|replica| critical(replica).next().is_some());
    let of = ReplicaOf { whole: whole.name.clone(), asked_with: (!are_checked).then(|| critical(&whole).collect()) };
    replicas.iter_mut().for_each(|replica| replica.replica_of = Some(of.clone()));
    let names = replicas.iter().take(voting).map(|replica| replica.name.clone()).collect();
    whole.replicas = Some(Replicas { names, quorum, are_checked });
    [whole].into_iter().chain(replicas).collect()
}

fn critical(service: &ServicePlan) -> impl Iterator<Item = Arc<str>> {
    let critical = service.checks.iter().filter(|check| check.policy.severity == Severity::Critical);
    critical.map(|check| check.question.id.check.clone())
}

/// Reads `replicas: 3` or `replicas: { count: 3, quorum: 2 }`: how many, and how many must work. What is wrong with that is
/// one, so that the rest is read too.
fn count(cursor: &Cursor<'_>) -> Option<(usize, usize)> {
    let fields = cursor.fields()?;
    let Some(replicas) = fields.get("replicas") else {
        let workload = fields.get("workload").filter(|workload| is_numbered(workload.node()))?;
        workload
            .mistake(format!("{NUMBER} is the number of a replica: write how many there are too, like replicas: 3"));
        return Some((1, 1));
    };
    let (count, quorum) = match replicas.node().value {
        Value::Map(_) => {
            let own = replicas.fields()?;
            let count = own.require("count").and_then(|c| c.whole(COUNTS));
            let quorum = own.get("quorum").and_then(|c| c.whole(1..=count.unwrap_or(*COUNTS.end())));
            own.end();
            (count, quorum.unwrap_or(1))
        }
        _ => (replicas.whole(COUNTS), 1),
    };
    let count = count.unwrap_or(1);
    match fields.get("workload") {
        None => replicas.mistake("replicas of what? write \"workload\" too, or leave \"replicas\" out"),
        Some(workload) if !is_numbered(workload.node()) => workload.mistake(format!(
            "all {count} replicas would be the same one; write {NUMBER} where the number of each stands, like \
             \"web-{NUMBER}\""
        )),
        Some(_) => {}
    }
    Some((count, quorum))
}

/// Returns whether the number of a replica is to be written somewhere below a node.
fn is_numbered(node: &Node) -> bool {
    match &node.value {
        Value::Text(text) => text.contains(NUMBER),
        Value::List(items) => items.iter().any(is_numbered),
        Value::Map(entries) => entries.iter().any(|entry| is_numbered(&entry.node)),
        _ => false,
    }
}

/// Returns a service's entry with some of its keys, and of its checks some.
fn only(node: &Node, keys: &dyn Fn(&str) -> bool, checks: &dyn Fn(&Node) -> bool) -> Node {
    let Value::Map(entries) = &node.value else { return node.clone() };
    let kept = entries.iter().filter_map(|entry| match (entry.key.as_str(), &entry.node.value) {
        ("checks", Value::Map(all)) => {
            let kept = all.iter().filter(|check| checks(&check.node)).cloned().collect();
            Some(Entry { node: Node { value: Value::Map(kept), ..entry.node.clone() }, ..entry.clone() })
        }
        (key, _) => keys(key).then(|| entry.clone()),
    });
    Node { value: Value::Map(kept.collect()), ..node.clone() }
}

/// Replicas of a service that had another name had another one too.
fn renamed(mut node: Node, number: usize) -> Node {
    if let Value::Map(entries) = &mut node.value {
        for entry in entries.iter_mut().filter(|entry| entry.key == "was") {
            if let Value::Text(name) = &mut entry.node.value {
                *name = format!("{name}.{number}");
            }
        }
    }
    node
}

/// Returns the name of a service as people know it: a replica goes by that of the service it is one of.
pub(super) fn whole(service: &ServicePlan) -> &Arc<str> {
    service.replica_of.as_ref().map_or(&service.name, |one| &one.whole)
}
