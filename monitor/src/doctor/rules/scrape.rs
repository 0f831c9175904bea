//! What Prometheus scrapes, and what it does not.

use crate::doctor::compose::{Project, Scrape, Service};
use crate::doctor::finding::{Hit, Rule};

use super::targets::wrong_port_of;

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::error(
        "scrape-unknown-target",
        "Prometheus scrapes an address that no service has",
        "The target is down for ever: its panels stay empty, and its alert becomes noise.",
        unknown_target,
    ),
    Rule::warning(
        "metrics-not-scraped",
        "a service offers metrics that nobody scrapes",
        "Its dashboards are empty and its alerts can never fire.",
        not_scraped,
    ),
    Rule::error(
        "alert-rules-not-mounted",
        "rule files that are not in the container",
        "Prometheus loads no rule from there and says nothing: no alert ever fires.",
        rules_not_mounted,
    ),
];

fn unknown_target(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for scrape in &project.scrapes {
        for target in &scrape.targets {
            let own = matches!(target.host.as_str(), "localhost" | "127.0.0.1");
            // A name with dots is another machine's, unless it is an address of the project after all.
            let is_foreign =
                target.host.contains('.') || target.host == "host.docker.internal" || target.host.is_empty();
            let service = if own { project.service(&scrape.service) } else { project.reached_by(&target.host) };
            let (message, fix) = match service {
                Some(other) => match target.port.and_then(|port| wrong_port_of(other, port)) {
                    Some((message, port)) => (message, format!("{}:{port}", target.host)),
                    None => continue,
                },
                None if is_foreign || project.inactive.contains(&target.host) => continue,
                None => {
                    let near = kit::config::suggest(
                        &target.host,
                        project.services.iter().map(|service| service.name.as_str()),
                    );
                    (
                        format!("no service of this project is called {:?}{near}", target.host),
                        "Name a service, or remove the job.".to_owned(),
                    )
                }
            };
            hits.push(Hit::new(&target.place, &scrape.service, format!("job {}: {message}", target.job), fix));
        }
    }
    hits
}

fn not_scraped(project: &Project) -> Vec<Hit> {
    let Some(scrape) = project.scrapes.first().filter(|scrape| !scrape.discovers) else { return Vec::new() };
    let is_scraped = |service: &Service| {
        project.scrapes.iter().flat_map(|scrape| &scrape.targets).any(|target| service.names().contains(&target.host))
    };
    let mut hits = Vec::new();
    for service in project.services.iter().filter(|service| offers_metrics(service) && !is_scraped(service)) {
        let port = service.listens_on().first().copied().unwrap_or(8080);
        let message = format!("{} has no job in {}", service.name, scrape.file);
        let fix = format!(
            "scrape_configs:\n  - job_name: {0}\n    static_configs: [{{ targets: [\"{0}:{port}\"] }}]",
            service.name
        );
        hits.push(Hit::new(&service.place, &service.name, message, fix));
    }
    hits
}

fn offers_metrics(service: &Service) -> bool {
    let is_exporter = service.facts.name.ends_with("exporter") || service.facts.name == "cadvisor";
    let is_on = |name: &str| service.variable(name).is_some_and(|value| !matches!(value, "false" | "0" | ""));
    let labels = ["prometheus.io/scrape", "prometheus.scrape"];
    let labelled = labels.iter().any(|label| {
        service
            .node
            .child("labels")
            .and_then(|labels| labels.child(label))
            .and_then(kit::config::Node::scalar_text)
            .is_some_and(|value| value == "true")
    });
    is_exporter
        || labelled
        || is_on("ENABLE_METRICS")
        || is_on("METRICS_PORT")
        || (service.is_monitor() && service.facts.name != "prometheus" && !service.ports.is_empty())
}

fn rules_not_mounted(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for scrape in &project.scrapes {
        let Some(service) = project.service(&scrape.service) else { continue };
        for (file, place) in &scrape.rule_files {
            let path = in_container(file, scrape, service);
            if !service.mounts.iter().any(|mount| covers(&mount.target, &path)) {
                let name = path.rsplit('/').next().unwrap_or(file);
                let message = format!("{file} is named here, but nothing is mounted there");
                hits.push(Hit::new(
                    place,
                    &service.name,
                    message,
                    format!("{}:\n  volumes:\n    - ./{name}:{path}:ro", service.name),
                ));
            }
        }
    }
    hits
}

/// A relative path counts from the folder of the configuration.
fn in_container(file: &str, _scrape: &Scrape, service: &Service) -> String {
    if file.starts_with('/') {
        return file.to_owned();
    }
    let config = service.mounts.iter().find(|mount| mount.target.ends_with("prometheus.yml"));
    let folder = config.and_then(|mount| mount.target.rsplit_once('/')).map_or("/etc/prometheus", |(folder, _)| folder);
    format!("{folder}/{file}")
}

/// True if a mount brings the path, or some of what a pattern may match.
fn covers(target: &str, path: &str) -> bool {
    let fixed = path.split('*').next().unwrap_or(path);
    let folder = target.trim_end_matches('/');
    path == folder || path.starts_with(&format!("{folder}/")) || (path.contains('*') && target.starts_with(fixed))
}
