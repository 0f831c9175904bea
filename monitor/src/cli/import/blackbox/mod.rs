//! Scrape jobs of Prometheus that ask blackbox_exporter, and its modules, as checks of ours: each target becomes a service,
//! each job that asks it a check.

mod http;
mod module;

use std::collections::BTreeMap;
use std::path::Path;

use kit::cli::at;
use kit::config::Node;
use serde_json::{Map, Value, json};

use super::Imported;
use super::names::Names;
use super::request::without_secrets;
use super::secrets::{Secrets, without_variables};

/// Prometheus' own defaults.
const MODULE: &str = "http_2xx";
const INTERVAL: &str = "1m";

/// Reads both files and makes checks of them.
///
/// # Errors
/// One of them cannot be read, or a secret in them cannot be kept.
pub(super) fn import(prometheus: &Path, modules: &Path, secrets: &Path) -> Result<Imported, String> {
    let (scrapes, modules) = (read(prometheus)?, read(modules)?);
    let secrets = Secrets::new(secrets);
    let mut imported = Imported::default();
    let mut services: Map<String, Value> = Map::new();
    let (mut of_targets, mut of_jobs) = (Named::default(), Named::default());
    let global = at(at(&scrapes, "global"), "scrape_interval").as_str().unwrap_or(INTERVAL).to_owned();
    for job in at(&scrapes, "scrape_configs").as_array().into_iter().flatten() {
        if at(job, "metrics_path").as_str() != Some("/probe") {
            continue;
        }
        let name = at(job, "job_name").as_str().unwrap_or("blackbox");
        let module_name = at(at(job, "params"), "module").get(0).and_then(Value::as_str).unwrap_or(MODULE);
        let Some(module) = at(&modules, "modules").get(module_name) else {
            imported.left_out.push(format!("job {name}: there is no module {module_name:?}"));
            continue;
        };
        let every = at(job, "scrape_interval").as_str().unwrap_or(&global).to_owned();
        let targets = targets(job, name, &mut imported.left_out);
        for (position, target) in targets.iter().enumerate() {
            let mut left_out = Vec::new();
            let shown = without_secrets(target);
            let service = of_targets.name(target, &shown);
            let asked = module::Asked { target, service: &service, secrets: &secrets };
            let check = module::check(module_name, module, &asked, &mut left_out)?;
            // What a module has that we do not is the same for each target.
            if position == 0 {
                imported.left_out.append(&mut left_out);
            }
            let Some(mut check) = check else { continue };
            check.insert("every".to_owned(), every.clone().into());
            if let Some(timeout) = module.get("timeout") {
                check.insert("timeout".to_owned(), timeout.clone());
            }
            let service = services.entry(service).or_insert_with(|| json!({ "about": shown, "checks": {} }));
            if let Some(checks) = service.get_mut("checks").and_then(Value::as_object_mut) {
                checks.insert(of_jobs.name(name, name), Value::Object(check));
            }
        }
    }
    if services.is_empty() {
        return Err(format!("{}: no job asks blackbox_exporter (metrics_path: /probe)", prometheus.display()));
    }
    imported.config.insert("services".to_owned(), Value::Object(services));
    Ok(imported)
}

fn read(file: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let node = Node::parse(&file.display().to_string(), &text);
    let mut read = node.map_err(|(place, message)| format!("{place}: {message}"))?.to_json();
    without_variables(&mut read);
    Ok(read)
}

fn targets(job: &Value, name: &str, left_out: &mut Vec<String>) -> Vec<String> {
    for key in job.as_object().into_iter().flat_map(Map::keys) {
        if key.ends_with("_sd_configs") {
            left_out.push(format!("job {name}: {key}; write its targets down, or find containers with discover"));
        }
    }
    let groups = at(job, "static_configs").as_array().into_iter().flatten();
    let listed = groups.flat_map(|group| at(group, "targets").as_array().into_iter().flatten());
    listed.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Names by what they were made of.
#[derive(Debug, Default)]
struct Named {
    names: Names,
    known: BTreeMap<String, String>,
}

impl Named {
    /// Returns the name of a target or job, made of what may be shown of it: the same each time, and nobody else's.
    fn name(&mut self, text: &str, shown: &str) -> String {
        let bare = shown.split_once("://").map_or(shown, |(_, rest)| rest);
        self.known.entry(text.to_owned()).or_insert_with(|| self.names.take(&[bare, shown])).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_name_of_its_own() {
        let mut named = Named::default();
        for (target, name) in [
            ("https://Shop.example.com/health?x=1", "shop-example-com-health-x-1"),
            ("10.0.0.1:9100", "10-0-0-1-9100"),
            ("[::1]:80", "1-80"),
            ("//", "unnamed"),
            ("http://a.example/", "a-example"),
            ("https://a.example/", "https-a-example"),
            ("a.example", "a-example-2"),
            ("http://a.example/", "a-example"),
        ] {
            assert_eq!(named.name(target, target), name, "{target}");
        }
    }
}
