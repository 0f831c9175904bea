//! The Prometheus configuration that a service mounts from beside the compose file.

use std::path::{Path, PathBuf};

use kit::config::{Node, Place, Value};

use super::mount::beside;
use super::mounted::within;
use super::read::read_bounded;
use super::service::{Service, items};
use crate::supervise::shell::steps;

/// One address that is scraped.
#[derive(Debug, Clone)]
pub struct ScrapeTarget {
    /// The job.
    pub job: String,
    /// Host without the port.
    pub host: String,
    /// The port, if written.
    pub port: Option<u16>,
    /// Where it stands.
    pub place: Place,
}

/// A Prometheus configuration.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// The service that reads it.
    pub service: String,
    /// Its file, and the text of it.
    pub file: String,
    /// The text of it.
    pub text: String,
    /// Addresses that are scraped.
    pub targets: Vec<ScrapeTarget>,
    /// True if targets come from elsewhere too (files, Docker, DNS).
    pub discovers: bool,
    /// Where the jobs are listed.
    pub jobs_place: Place,
    /// Files of rules that are named, and where.
    pub rule_files: Vec<(String, Place)>,
    /// Addresses that alerts are sent to.
    pub alertmanagers: Vec<ScrapeTarget>,
    /// True if it is told of any place to send alerts to, a list of addresses or a discovery.
    pub sends_alerts: bool,
}

impl Scrape {
    /// Finds the configuration among what the service mounts; none if it cannot be read.
    pub(super) fn of(service: &Service, folder: &Path) -> Option<Self> {
        if service.facts.name != "prometheus" {
            return None;
        }
        let inside = Self::path_in(service);
        let path = service.mounts.iter().find_map(|mount| {
            let is_path = mount.source.starts_with(['.', '/', '~']);
            let root = is_path.then(|| beside(folder, &mount.place, &mount.source))?;
            let rest = inside.strip_prefix(mount.target.trim_end_matches('/'))?;
            let path = match rest.strip_prefix('/') {
                Some(rest) => root.join(rest),
                None if rest.is_empty() => root.clone(),
                None => return None,
            };
            let is_inside = |path: &PathBuf| root.canonicalize().is_ok_and(|root| within(path, &root).is_some());
            Some(path).filter(|path| path.is_file() && is_inside(path))
        })?;
        let text = read_bounded(&path).ok()?;
        let file = path.display().to_string();
        let root = Node::parse(&file, &text).ok()?;
        let mut scrape = Self {
            service: service.name.clone(),
            file,
            text,
            targets: Vec::new(),
            discovers: false,
            jobs_place: root.child("scrape_configs").map_or(root.place.clone(), |node| node.place.clone()),
            rule_files: items(root.child("rule_files"))
                .iter()
                .filter_map(|node| Some((node.scalar_text()?, node.place.clone())))
                .collect(),
            alertmanagers: Vec::new(),
            sends_alerts: false,
        };
        for group in items(root.child("alerting").and_then(|alerting| alerting.child("alertmanagers"))) {
            scrape.sends_alerts = true;
            scrape.alertmanagers.extend(static_targets(&group, "alerting"));
        }
        for job in items(root.child("scrape_configs")) {
            scrape.read_job(&job);
        }
        Some(scrape)
    }

    /// Returns where the configuration stands in the container: as the command says, else where the image looks for it.
    pub fn path_in(service: &Service) -> String {
        let words = service.commands.iter().flat_map(|command| steps(&command.text)).flat_map(|step| step.words);
        let told = words.filter_map(|word| word.strip_prefix("--config.file=").map(str::to_owned)).next_back();
        told.unwrap_or_else(|| "/etc/prometheus/prometheus.yml".to_owned())
    }

    fn read_job(&mut self, job: &Node) {
        let name = job.child("job_name").and_then(Node::scalar_text).unwrap_or_default();
        if let Value::Map(entries) = &job.value {
            self.discovers |= entries.iter().any(|entry| entry.key.ends_with("_sd_configs"));
        }
        // Behind a proxy such as blackbox_exporter targets are no addresses of this network.
        if job.child("relabel_configs").is_some() {
            return;
        }
        self.targets.extend(static_targets(job, &name));
    }
}

fn static_targets(section: &Node, job: &str) -> Vec<ScrapeTarget> {
    let mut found = Vec::new();
    for group in items(section.child("static_configs")) {
        for target in items(group.child("targets")) {
            let Some(text) = target.scalar_text() else { continue };
            let (host, port) = text.rsplit_once(':').unwrap_or((&text, ""));
            found.push(ScrapeTarget {
                job: job.to_owned(),
                host: host.to_owned(),
                port: port.parse().ok(),
                place: target.place.clone(),
            });
        }
    }
    found
}
