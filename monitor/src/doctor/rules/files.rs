//! Mistakes in files that services mount: what Grafana is to show, and what a database runs at its first start.

use url::Url;

use crate::doctor::compose::{DataSource, Project, Service, Trouble};
use crate::doctor::finding::{Hit, Rule};

use super::instances::without_secret;
use super::targets::wrong_port_of;

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::error(
        "datasource-wrong-target",
        "Grafana is given a data source that it cannot reach",
        "Grafana asks from its own container: every panel of this source shows an error.",
        wrong_target,
    ),
    Rule::warning(
        "datasource-missing",
        "a store of telemetry that Grafana is not told of",
        "What is kept there can be seen by nobody, and panels that want it are empty.",
        missing,
    ),
    Rule::error(
        "init-script-missing-include",
        "a database's first start reads a file that is not there",
        "The first start breaks off. The next one finds a database, runs no script again, and goes on without its tables.",
        missing_include,
    ),
    Rule::error(
        "init-script-unknown-role",
        "a database's first start names a role that does not exist",
        "The first start breaks off. The next one finds a database, runs no script again, and goes on without its tables.",
        unknown_role,
    ),
];

fn wrong_target(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        for source in &service.datasources {
            let Some((message, fix)) = source.url.as_ref().and_then(|url| unreachable(project, service, source, url))
            else {
                continue;
            };
            hits.push(Hit::new(
                &source.place,
                &service.name,
                format!("{}: {message}", source.name),
                format!("url: {fix}"),
            ));
        }
    }
    hits
}

/// Returns what is wrong with the address of a data source, and what to write instead.
fn unreachable(project: &Project, service: &Service, source: &DataSource, url: &Url) -> Option<(String, String)> {
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let others = || project.services.iter().filter(|other| other.name != service.name);
    let with = |name: &str, port: u16| format!("{}://{name}:{port}", url.scheme());
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        if service.shares_network() || service.listens_on().contains(&port) {
            return None;
        }
        let other = others().find(|other| other.listens_on().contains(&port));
        let other = other.or_else(|| others().find(|other| other.facts.name == source.kind));
        let right = other.map_or_else(|| with("NAME", port), |other| with(&other.name, port));
        return Some((
            format!("{} leads to the container of {} itself", without_secret(url.as_str()), service.name),
            right,
        ));
    }
    if let Some(other) = project.reached_by(host) {
        let (message, port) = wrong_port_of(other, port)?;
        return Some((message, with(host, port)));
    }
    let is_foreign = host.contains(['.', ':']) || project.networks.iter().any(|network| network.is_external);
    if is_foreign || project.inactive.iter().any(|name| name == host) || service.node.child("extra_hosts").is_some() {
        return None;
    }
    let near = kit::config::suggest(host, project.services.iter().map(|service| service.name.as_str()));
    let same = others().find(|other| other.facts.name == source.kind);
    let right = same.map_or_else(|| with("NAME", port), |other| with(&other.name, port));
    Some((format!("no service of this project is called {host:?}{near}"), right))
}

/// Stores by their images, with the type and port of their data source.
const STORES: [(&str, &str, u16); 4] = [
    ("prometheus", "prometheus", 9090),
    ("loki", "loki", 3100),
    ("tempo", "tempo", 3200),
    ("all-in-one", "jaeger", 16686),
];

fn missing(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for grafana in project.services.iter().filter(|service| !service.datasources.is_empty()) {
        for (image, kind, port) in STORES {
            let is_one = |service: &&Service| service.is_observability() && service.facts.name == image;
            let Some(store) = project.services.iter().find(is_one) else { continue };
            let names = store.names();
            let leads_there = |source: &DataSource| {
                let host = source.url.as_ref().and_then(Url::host_str);
                source.kind == kind || host.is_some_and(|host| names.iter().any(|name| name == host))
            };
            let Some(last) = grafana.datasources.last().filter(|_| !grafana.datasources.iter().any(leads_there)) else {
                continue;
            };
            let message = format!("none of its data sources is of type {kind}, and {} is there", store.name);
            let fix = format!("- name: {kind}\n  type: {kind}\n  url: http://{}:{port}", store.name);
            hits.push(Hit::new(&last.place, &grafana.name, message, fix));
        }
    }
    hits
}

fn missing_include(project: &Project) -> Vec<Hit> {
    each_trouble(project, |service, trouble| {
        let Trouble::MissingInclude(path) = trouble else { return None };
        let name = path.rsplit('/').next().unwrap_or(path);
        let message = format!("{path} is read, but nothing is mounted there");
        Some((message, format!("{}:\n  volumes:\n    - ./{name}:{path}:ro   # or remove the line", service.name)))
    })
}

fn unknown_role(project: &Project) -> Vec<Hit> {
    each_trouble(project, |_, trouble| {
        let Trouble::UnknownRole(user) = trouble else { return None };
        let message = format!("POSTGRES_USER is {user}, and so there is no role \"postgres\"");
        Some((message, format!("OWNER {user}   -- or first: CREATE ROLE postgres;")))
    })
}

fn each_trouble(project: &Project, say: fn(&Service, &Trouble) -> Option<(String, String)>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        for trouble in &service.init_troubles {
            let said = say(service, &trouble.what);
            hits.extend(said.map(|(message, fix)| Hit::new(&trouble.place, &service.name, message, fix)));
        }
    }
    hits
}
