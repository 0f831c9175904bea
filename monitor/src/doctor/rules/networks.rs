//! Published ports and networks that are not what they look like.

use crate::doctor::compose::{Project, Service};
use crate::doctor::finding::{Hit, Rule};

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::error(
        "published-port-not-listened",
        "the published port leads to one where the program does not listen",
        "Connections to the published port are refused although the program runs.",
        not_listened,
    ),
    Rule::error(
        "published-port-conflict",
        "two services publish the same port",
        "The second one fails to start: the port is already allocated.",
        conflict,
    ),
    Rule::error(
        "replicas-fixed-name",
        "several replicas with one container_name or one published port",
        "Names and ports of the host are unique: only the first replica starts.",
        replicas,
    ),
    Rule::warning(
        "external-network-prefix",
        "an external network that another project makes under another name",
        "Compose puts the project's name before a network's: names resolve only if somebody joins the containers by hand.",
        external,
    ),
];

fn not_listened(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        let told = service.told_port_at().map(|(port, _)| port).or(service.facts.port_variable);
        let Some(told) =
            told.filter(|_| service.facts.kind.is_none_or(|kind| kind == crate::doctor::compose::Kind::Base))
        else {
            continue;
        };
        let published = &service.ports;
        if published.is_empty() || published.iter().any(|port| port.inside.contains(&told)) {
            continue;
        }
        let Some(port) = published.iter().find(|port| !port.is_udp) else { continue };
        let inside = port.inside.start();
        let message = format!("{} is told to listen on {told}, but {inside} is published", service.name);
        let outside = port.outside.as_ref().map_or(told, |range| *range.start());
        hits.push(Hit::new(&port.place, &service.name, message, format!("ports:\n  - \"{outside}:{told}\"")));
    }
    hits
}

fn conflict(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, second) in project.services.iter().enumerate() {
        for port in &second.ports {
            let before = project.services.iter().take(index);
            let taken = before
                .filter(|first| first.ports.iter().any(|other| other.meets(port)))
                .map(|first| &first.name)
                .next();
            let (Some(first), Some(outside)) = (taken, &port.outside) else { continue };
            let number = outside.start();
            let message = format!("{first} publishes {number} already");
            let free = number.saturating_add(10_000);
            let fix = format!("ports:\n  - \"{free}:{}\"", port.inside.start());
            hits.push(Hit::new(&port.place, &second.name, message, fix));
        }
    }
    hits
}

fn replicas(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        let count = replicas_of(service);
        if count < 2 {
            continue;
        }
        if let Some(node) = service.node.child("container_name") {
            let message = format!("{count} replicas cannot share one container_name");
            hits.push(Hit::new(
                &node.place,
                &service.name,
                message,
                "Remove container_name; others reach it by the service's name.",
            ));
        }
        let fixed =
            service.ports.iter().find(|port| port.outside.as_ref().is_some_and(|range| range.clone().count() < count));
        // A swarm publishes one port for all of them.
        if let Some(port) = fixed.filter(|_| !is_for_swarm(project, service)) {
            let message = format!("{count} replicas cannot share one published port");
            hits.push(Hit::new(
                &port.place,
                &service.name,
                message,
                format!("ports:\n  - \"{}\"   # Docker chooses the host's", port.inside.start()),
            ));
        }
    }
    hits
}

/// True where something stands that nothing but a swarm heeds (docs.docker.com/reference/compose-file/deploy).
fn is_for_swarm(project: &Project, service: &Service) -> bool {
    let keys = ["update_config", "rollback_config", "placement", "mode", "endpoint_mode"];
    let deploy = service.node.child("deploy");
    deploy.is_some_and(|deploy| keys.iter().any(|key| deploy.child(key).is_some()))
        || project.networks.iter().any(|network| network.driver.as_deref() == Some("overlay"))
}

fn replicas_of(service: &Service) -> usize {
    let deployed = service.node.child("deploy").and_then(|deploy| deploy.child("replicas"));
    let count = deployed.or_else(|| service.node.child("scale")).and_then(kit::config::Node::scalar_text);
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

fn external(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for network in project.networks.iter().filter(|network| network.is_external) {
        let real = network.name.as_ref().unwrap_or(&network.key);
        let message = if let Some(file) = &network.made_elsewhere {
            format!("{file} makes it as PROJECT_{real}, not as {real}")
        } else if real.ends_with("_default") || *real == format!("{}_{}", project.name, network.key) {
            format!("{real} is a name that Compose makes of a project's name")
        } else {
            continue;
        };
        let fix = format!(
            "# in the file that makes it, so that its name is the same whatever the project is called:\nnetworks:\n  {0}:\n    name: {0}",
            network.key
        );
        hits.push(Hit::new(&network.place, "", message, fix));
    }
    hits
}
