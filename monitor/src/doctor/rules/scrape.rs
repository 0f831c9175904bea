//! What Prometheus scrapes, and what it does not.

use crate::doctor::compose::{Project, Scrape, ScrapeTarget, Service};
use crate::doctor::finding::{Hit, Rule};

use super::targets::{is_known, wrong_port_of};

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
    Rule::warning(
        "alerts-go-nowhere",
        "Prometheus has alerts, and nobody to send them to",
        "They fire on a page that nobody looks at: no message is ever sent.",
        alerts_to_nobody,
    ),
];

fn unknown_target(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for scrape in &project.scrapes {
        for target in &scrape.targets {
            let Some((message, fix)) = unreachable(project, scrape, target) else { continue };
            hits.push(Hit::new(&target.place, &scrape.service, format!("job {}: {message}", target.job), fix));
        }
    }
    hits
}

/// Returns what is wrong with an address that Prometheus is told, and what to write instead.
fn unreachable(project: &Project, scrape: &Scrape, target: &ScrapeTarget) -> Option<(String, String)> {
    let own = matches!(target.host.as_str(), "localhost" | "127.0.0.1");
    // A name with dots is another machine's, unless it is an address of the project after all.
    let is_foreign = target.host.contains('.') || target.host == "host.docker.internal" || target.host.is_empty();
    let service = if own { project.service(&scrape.service) } else { project.reached_by(&target.host) };
    if let Some(other) = service {
        let (message, port) = wrong_port_of(other, target.port?)?;
        return Some((message, format!("{}:{port}", target.host)));
    }
    let asks = project.service(&scrape.service)?;
    if is_foreign || is_known(project, asks, &target.host) {
        return None;
    }
    let near = kit::config::suggest(&target.host, project.services.iter().map(|service| service.name.as_str()));
    let message = format!("no service of this project is called {:?}{near}", target.host);
    Some((message, "Name a service, or remove the job.".to_owned()))
}

fn alerts_to_nobody(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for scrape in &project.scrapes {
        for target in &scrape.alertmanagers {
            let Some((message, fix)) = unreachable(project, scrape, target) else { continue };
            let fix = fix.replace("remove the job", "remove it");
            hits.push(Hit::new(&target.place, &scrape.service, format!("alerting: {message}"), fix));
        }
        let alerting = scrape.rule_files.iter().find(|(file, _)| holds_alerts(project, scrape, file));
        let Some((file, place)) = alerting.filter(|_| !scrape.sends_alerts) else { continue };
        let message = format!("{file} has alerts, and there is no alertmanager to send them to");
        let manager = project.services.iter().find(|service| service.facts.name == "alertmanager");
        let name = manager.map_or("alertmanager", |service| service.name.as_str());
        let section = format!("alerting:\n  alertmanagers:\n    - static_configs: [{{ targets: [\"{name}:9093\"] }}]");
        let fix = match manager {
            Some(_) => section,
            None => format!("{section}\n# and in the compose file:\nalertmanager:\n  image: prom/alertmanager:v0.27.0"),
        };
        hits.push(Hit::new(place, &scrape.service, message, fix));
    }
    hits
}

/// Returns whether a file of rules has alerts: by its text where it is mounted from here, else by its name.
fn holds_alerts(project: &Project, scrape: &Scrape, file: &str) -> bool {
    let Some(service) = project.service(&scrape.service) else { return false };
    let path = in_container(file, service);
    let texts: Vec<&str> = service
        .mounted
        .iter()
        .filter(|mounted| covers(&mounted.target, &path) && mounted.target != Scrape::path_in(service))
        .map(|mounted| mounted.text.as_str())
        .collect();
    match texts.as_slice() {
        [] => file.contains("alert"),
        texts => texts.iter().any(|text| text.contains("alert:")),
    }
}

fn not_scraped(project: &Project) -> Vec<Hit> {
    let Some(scrape) = project.scrapes.first().filter(|scrape| !scrape.discovers) else { return Vec::new() };
    // By a job of its own, by one that writes addresses anew, or by a collector that is told of it.
    let others_files = |service: &Service| {
        let others = project.services.iter().filter(|other| other.name != service.name);
        others.flat_map(|other| &other.mounted).map(|mounted| mounted.text.as_str()).collect::<Vec<_>>()
    };
    let is_scraped = |service: &Service| {
        let scrapes = project.scrapes.iter();
        let is_target =
            scrapes.clone().flat_map(|scrape| &scrape.targets).any(|target| service.names().contains(&target.host));
        let named = service.names().iter().map(|name| format!("{name}:")).collect::<Vec<_>>();
        let is_named = |text: &str| named.iter().any(|name| is_address_in(text, name));
        is_target || scrapes.map(|scrape| scrape.text.as_str()).chain(others_files(service)).any(is_named)
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

/// Returns whether `NAME:` stands in a text before a number, as the end of no other name.
fn is_address_in(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|after| after.chars().next());
        let is_apart = before.is_none_or(|before| !(before.is_alphanumeric() || "-_.".contains(before)));
        is_apart && after.is_some_and(|after| after.is_ascii_digit())
    })
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
            let path = in_container(file, service);
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
fn in_container(file: &str, service: &Service) -> String {
    if file.starts_with('/') {
        return file.to_owned();
    }
    let config = Scrape::path_in(service);
    let folder = config.rsplit_once('/').map_or("/etc/prometheus", |(folder, _)| folder);
    format!("{folder}/{file}")
}

/// True if a mount brings the path, or some of what a pattern may match.
fn covers(target: &str, path: &str) -> bool {
    let fixed = path.split('*').next().unwrap_or(path);
    let folder = target.trim_end_matches('/');
    path == folder || path.starts_with(&format!("{folder}/")) || (path.contains('*') && target.starts_with(fixed))
}
