//! A configuration of Gatus (github.com/TwiN/gatus, as of 2026-08) as ours: endpoints become services, providers channels.

mod alerting;
mod condition;
mod endpoint;
mod environment;
mod expectation;
mod fill;
mod glob;
mod maintenance;
mod numbers;
mod pushed;
mod source;
mod suite;
mod target;
mod text;
mod write;

use std::path::Path;

use kit::config::{Node, Place, Value as Written};
use serde_json::{Map, Value, json};

use super::Imported;
use super::keys::Keys;
use super::names::Names;
use super::routes::Audiences;
use super::secrets::Secrets;
use alerting::Alerting;

/// Its own defaults, which hold where its file says nothing; a fail is confirmed after a whole interval there.
const EVERY: &str = "1m";
const TIMEOUT: &str = "10s";
const FAIL_AFTER: u64 = 3;
const RECOVER_AFTER: u64 = 2;

/// Sections without an equivalent, and what does instead.
const SECTIONS: [(&str, &str); 12] = [
    ("web", "write listen: ADDRESS:PORT"),
    ("storage", "what was measured stays there; write data_dir: FOLDER"),
    ("ui", "the page is its own"),
    ("metrics", "/metrics is always there"),
    ("security", "make tokens with `monitor token`"),
    ("connectivity", "write anchors: […], two of them at least"),
    ("remote", "write its endpoints here, or watch its page"),
    ("tunneling", "run the monitor where the targets can be reached"),
    ("announcements", "announce a change with `monitor announce`, a window with windows: […]"),
    ("concurrency", "nothing waits for another check"),
    ("disable-monitoring-lock", "nothing waits for another check"),
    ("skip-invalid-config-update", "a bad file never changes anything"),
];

/// Everything that comes of it.
struct Gatus<'a> {
    secrets: &'a Secrets<'a>,
    alerting: Alerting<'a>,
    names: Names,
    services: Map<String, Value>,
    windows: Vec<Value>,
    audiences: Audiences,
    left_out: Vec<String>,
    changed: Vec<String>,
}

/// Reads the file, or the folder of files, and makes ours of it.
///
/// # Errors
/// It cannot be read, or is not what Gatus reads, or a secret cannot be kept.
pub(super) fn import(path: &Path, secrets: &Path) -> Result<Imported, String> {
    let root = source::read(path)?;
    let mut variables = std::collections::BTreeSet::new();
    let root = environment::ours(&root, &mut variables);
    let lists = ["endpoints", "services", "external-endpoints", "suites"];
    if !lists.iter().any(|key| root.child(key).is_some_and(|node| !items(node).is_empty())) {
        return Err(format!(
            "{}: there are no endpoints; give Gatus' config.yaml, or the folder of its files",
            path.display()
        ));
    }
    let secrets = Secrets::new(secrets);
    let (mut left_out, mut changed) = (Vec::new(), Vec::new());
    let mut rest = Keys::new("Gatus", &root.to_json());
    let section = rest.take("alerting").unwrap_or_default();
    let alerting = Alerting::read(&section, &secrets, &mut left_out, &mut changed);
    let mut gatus = Gatus {
        secrets: &secrets,
        alerting,
        names: Names::default(),
        services: Map::new(),
        windows: Vec::new(),
        audiences: Audiences::default(),
        left_out,
        changed,
    };
    for (key, node) in lists.iter().filter_map(|key| Some((*key, root.child(key)?))) {
        let _taken = rest.take(key);
        for item in items(node) {
            match key {
                "suites" => gatus.suite(&item.place, &item.to_json())?,
                "external-endpoints" => gatus.pushed(&item.place, &item.to_json())?,
                _ => gatus.endpoint(&item.place, &item.to_json())?,
            }
        }
    }
    if let Some(section) = rest.take("maintenance") {
        gatus.maintenance("maintenance", &section, None);
    }
    for (section, instead) in SECTIONS {
        if rest.take(section).is_some() {
            gatus.left_out.push(format!("{section}: {instead}"));
        }
    }
    // Blocks that are only there to be merged into others, and misspelt sections.
    gatus.left_out.extend(rest.rest().keys().map(|key| format!("{key}: Gatus does not read it")));
    secrets.all_kept()?;
    Ok(gatus.finish(&variables))
}

impl Gatus<'_> {
    fn finish(mut self, variables: &std::collections::BTreeSet<String>) -> Imported {
        let mut imported = Imported::default();
        // A fail is confirmed as slowly as there; every_when_failing: 2s tells people sooner, and of shorter outages.
        imported.config.insert(
            "defaults".to_owned(),
            json!({
                "every": EVERY, "every_when_failing": EVERY, "timeout": TIMEOUT,
                "fail_after": FAIL_AFTER, "recover_after": RECOVER_AFTER,
            }),
        );
        if !variables.is_empty() {
            let list: Vec<&str> = variables.iter().map(String::as_str).collect();
            self.changed.push(format!(
                "variables {}: one that is not set is a mistake here; Gatus took an empty text",
                list.join(", ")
            ));
        }
        imported.config.insert("services".to_owned(), self.services.into());
        let all = self.alerting.channels.all();
        if !all.is_empty() {
            self.changed.push("alerts: that an outage is over is always told, by every channel".to_owned());
            imported.config.insert("routes".to_owned(), self.audiences.into_routes(&all).into());
            imported.config.insert("channels".to_owned(), self.alerting.channels.made.into());
        }
        if !self.windows.is_empty() {
            imported.config.insert("windows".to_owned(), self.windows.into());
        }
        imported.left_out = self.left_out;
        imported.changed = self.changed;
        imported
    }
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Written::List(items) => items,
        _ => &[],
    }
}

/// A mistake that Gatus would not start with either.
fn wrong(place: &Place, what: &str) -> String {
    format!("{place}: {what}")
}
