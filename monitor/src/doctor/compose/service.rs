//! One service of a project, decoded into what the rules ask about.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kit::config::{Node, Place, Value};

use super::datasource::DataSource;
use super::dockerfile;
use super::health::Health;
use super::images::{ImageFacts, Kind};
use super::init_script::InitTrouble;
use super::mount::{Mount, beside, mount_of};
use super::mounted::Mounted;
use super::ports::{Port, range};
use super::read::read_bounded;
use super::variables::{Variables, read_env_file};
use crate::supervise::shell::{line_of, steps};

/// A text and where it stands.
#[derive(Debug, Clone)]
pub struct Located {
    /// The text.
    pub text: String,
    /// Where.
    pub place: Place,
}

/// One variable of a service's environment.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; none if it is handed on from the environment.
    pub value: Option<String>,
    /// Where it is set.
    pub place: Place,
    /// True if the value stands there as it is, and did not come out of a variable.
    pub is_literal: bool,
    /// True if it stands in the compose file itself, not in a file of variables.
    pub is_inline: bool,
    /// True if it comes from a file of variables that several services are given: it may be meant for another.
    pub is_shared: bool,
}

/// One service that must come first.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The service waited for.
    pub service: String,
    /// `service_started`, `service_healthy` or `service_completed_successfully`.
    pub condition: String,
    /// Where its name stands.
    pub place: Place,
}

impl Dependency {
    /// Returns true if it waits for more than a start.
    pub fn is_gate(&self) -> bool {
        self.condition != "service_started"
    }
}

/// A service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its key.
    pub name: String,
    /// Where its key stands.
    pub place: Place,
    /// Its section, for what is asked rarely.
    pub node: Node,
    /// The image that is named.
    pub image: Option<Located>,
    /// True if it is built here.
    pub is_built: bool,
    /// `entrypoint` and `command` as lines of a shell.
    pub commands: Vec<Located>,
    /// Its environment, files of variables included.
    pub environment: Vec<Variable>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// Ports told to others.
    pub expose: BTreeSet<u16>,
    /// What must come first.
    pub depends_on: Vec<Dependency>,
    /// Its health check, if the file has one.
    pub health: Option<Health>,
    /// Its restart policy.
    pub restart: Option<Located>,
    /// What is mounted.
    pub mounts: Vec<Mount>,
    /// Configurations among that, as text.
    pub mounted: Vec<Mounted>,
    /// The data sources that it is given, if it is a Grafana.
    pub datasources: Vec<DataSource>,
    /// What cannot work in the scripts of its first start, if it is a database.
    pub init_troubles: Vec<InitTrouble>,
    /// What is known of its image.
    pub facts: ImageFacts,
    /// Files of variables that are named but not there.
    pub missing_env_files: Vec<Located>,
    /// What could not be looked into.
    pub not_checked: Vec<String>,
}

impl Service {
    pub(super) fn decode(name: &str, place: &Place, node: &Node, folder: &Path, variables: &Variables) -> Self {
        let text = |key: &str| {
            let node = node.child(key)?;
            Some(Located { text: node.scalar_text()?, place: node.place.clone() })
        };
        let mut service = Self {
            name: name.to_owned(),
            place: place.clone(),
            node: node.clone(),
            image: text("image"),
            is_built: node.child("build").is_some_and(|build| build.value != Value::Null),
            commands: ["entrypoint", "command"].iter().filter_map(|key| command_of(node.child(key)?)).collect(),
            environment: Vec::new(),
            ports: items(node.child("ports")).iter().filter_map(Port::of).collect(),
            expose: items(node.child("expose"))
                .iter()
                .filter_map(Node::scalar_text)
                .flat_map(|t| exposed(&t))
                .collect(),
            depends_on: dependencies(node.child("depends_on")),
            health: entry(node, "healthcheck").map(|(place, node)| Health::of(node, place)),
            restart: text("restart").or_else(|| swarm_restart(node)),
            mounts: items(node.child("volumes")).iter().filter_map(mount_of).collect(),
            mounted: Vec::new(),
            datasources: Vec::new(),
            init_troubles: Vec::new(),
            facts: ImageFacts::default(),
            missing_env_files: Vec::new(),
            not_checked: Vec::new(),
        };
        service.read_environment(folder, variables);
        service.read_image(folder);
        service
    }

    /// Looks into what it mounts.
    pub(super) fn learn_from_mounted(&mut self, folder: &Path) {
        self.datasources = DataSource::of(self);
        self.init_troubles = InitTrouble::of(self, folder);
    }

    fn read_environment(&mut self, folder: &Path, variables: &Variables) {
        for item in items(self.node.child("env_file")) {
            let Some(path) = item.child("path").unwrap_or(&item).scalar_text() else { continue };
            let is_required = item.child("required").is_none_or(|node| node.value != Value::Bool(false));
            let file = beside(folder, &item.place, &path);
            match read_bounded(&file) {
                Ok(text) => {
                    self.environment.extend(read_env_file(&text, variables).into_iter().map(|(line, name, value)| {
                        let place = Place { file: file.display().to_string().into(), line, column: 1 };
                        Variable {
                            name,
                            value: Some(value),
                            place,
                            is_literal: true,
                            is_inline: false,
                            is_shared: false,
                        }
                    }))
                }
                Err(_) if !is_required => {}
                Err(_) => self.missing_env_files.push(Located { text: path, place: item.place.clone() }),
            }
        }
        let Some(Node { value: Value::Map(entries), .. }) = self.node.child("environment") else { return };
        for entry in entries {
            self.environment.retain(|variable| variable.name != entry.key);
            self.environment.push(Variable {
                name: entry.key.clone(),
                value: entry.node.scalar_text(),
                place: entry.key_place.clone(),
                is_literal: entry.node.substituted.is_none(),
                is_inline: true,
                is_shared: false,
            });
        }
    }

    fn read_image(&mut self, folder: &Path) {
        if let Some(build) = self.node.child("build").filter(|_| self.is_built) {
            let text = |key| build.child(key).and_then(Node::scalar_text);
            let context = build.scalar_text().or_else(|| text("context")).unwrap_or_else(|| ".".to_owned());
            let dockerfile = text("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
            let file = beside(folder, &build.place, &format!("{context}/{dockerfile}"));
            match dockerfile::read(&file, text("target").as_deref()) {
                Ok(built) => {
                    self.facts = built.facts;
                    // A base of which nothing is known may have a check of its own.
                    if self.facts.kind.is_none() && self.facts.has_health != Some(true) {
                        self.facts.has_health = None;
                    }
                    if self.commands.is_empty() {
                        self.commands.push(Located { text: built.command, place: self.place.clone() });
                    }
                }
                Err(why) => self.not_checked.push(format!("service {}: its image: {why}", self.name)),
            }
        } else if let Some(image) = &self.image {
            self.facts = ImageFacts::of(&image.text);
        }
    }

    /// Returns the ports its program listens on, as far as known: none known means that nothing can be said.
    pub fn listens_on(&self) -> BTreeSet<u16> {
        let told = self.told_port();
        let mut published: BTreeSet<u16> = self.ports.iter().flat_map(|port| port.inside.clone().take(64)).collect();
        // A program of our own listens where it is told; ports that are published beside that lead nowhere.
        let is_ours = self.facts.kind.is_none_or(|kind| kind == Kind::Base);
        if told.is_some_and(|told| is_ours && !published.contains(&told)) {
            published.clear();
        }
        let known = told.into_iter().chain(self.expose.iter().copied()).chain(self.facts.ports.iter().copied());
        known.chain(published).collect()
    }

    /// Returns true if a number stands somewhere in its environment, commands or files: it may listen there too.
    pub fn mentions(&self, port: u16) -> bool {
        let text = port.to_string();
        let values = self.environment.iter().filter_map(|variable| variable.value.as_deref());
        let commands = self.commands.iter().map(|command| command.text.as_str());
        let files = self.mounted.iter().map(|mounted| mounted.text.as_str());
        values.chain(commands).chain(files).any(|value| value.contains(&text))
    }

    /// Returns true if a file that was not read, or was copied into its image, may tell it to listen elsewhere.
    pub fn may_listen_elsewhere(&self) -> bool {
        let is_read = |target: &str| {
            let folder = format!("{}/", target.trim_end_matches('/'));
            self.mounted.iter().any(|mounted| mounted.target == target || mounted.target.starts_with(&folder))
        };
        let is_unread = |mount: &Mount| mount.source.starts_with(['.', '/']) && !is_read(&mount.target);
        let has_other_files =
            self.is_built || self.node.child("configs").is_some() || self.mounts.iter().any(is_unread);
        self.facts.is_told_by_files() && has_other_files
    }

    /// Returns the port that its environment or command tells it to listen on, with its place.
    pub fn told_port_at(&self) -> Option<(u16, &Place)> {
        for command in &self.commands {
            let words: Vec<String> = steps(&command.text).into_iter().flat_map(|step| step.words).collect();
            for (index, word) in words.iter().enumerate() {
                let value = match word.as_str() {
                    "--port" | "--http-port" => words.get(index + 1).map(String::as_str),
                    _ => word.strip_prefix("--port="),
                };
                if let Some(port) = value.and_then(|value| value.parse().ok()) {
                    return Some((port, &command.place));
                }
            }
        }
        let variable = self.environment.iter().find(|variable| variable.name == "PORT" && !variable.is_shared)?;
        Some((variable.value.as_ref()?.parse().ok()?, &variable.place))
    }

    fn told_port(&self) -> Option<u16> {
        self.told_port_at().map(|(port, _)| port).or(self.facts.port_variable)
    }

    /// Returns true if others' names and ports are its own: it has no network of its own.
    pub fn shares_network(&self) -> bool {
        self.node.child("network_mode").and_then(Node::scalar_text).is_some_and(|mode| mode != "bridge")
    }

    /// Returns true if it watches others: it must be up when they are not.
    pub fn is_monitor(&self) -> bool {
        let named = self.name.split(['-', '_']).any(|word| matches!(word, "monitor" | "monitoring" | "watchdog"));
        self.facts.is(Kind::Monitor) || (named && self.facts.kind.is_none_or(|kind| kind == Kind::Base))
    }

    /// Returns true if it only shows or keeps what others say of themselves.
    pub fn is_observability(&self) -> bool {
        self.facts.is(Kind::Observability) || self.facts.is(Kind::Monitor)
    }

    /// Returns true if the file or the image has a check; none if nobody knows.
    pub fn has_check(&self) -> Option<bool> {
        match &self.health {
            Some(health) if health.runs() => Some(true),
            Some(Health { test: super::health::Test::Off, .. }) => Some(false),
            _ => self.facts.has_health,
        }
    }

    /// Returns whether the restart policy starts it again whatever happened.
    pub fn restarts_for_ever(&self) -> bool {
        self.restart.as_ref().is_some_and(|restart| matches!(restart.text.as_str(), "always" | "unless-stopped"))
    }

    /// Returns whether the policy starts it again each time it fails, without a limit.
    pub fn is_retried_for_ever(&self) -> bool {
        self.restarts_for_ever() || self.restart.as_ref().is_some_and(|restart| restart.text == "on-failure")
    }

    /// Returns whether any policy starts it again.
    pub fn is_restarted(&self) -> bool {
        self.restart.as_ref().is_some_and(|restart| !matches!(restart.text.as_str(), "no" | "none" | "false"))
    }

    /// Returns where a key of its section stands; if it is not there, where the service's own does.
    pub fn place_of(&self, key: &str) -> &Place {
        entry(&self.node, key).map_or(&self.place, |(place, _)| place)
    }

    /// Returns a variable by name.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|variable| variable.name == name)?.value.as_deref()
    }

    /// Returns the names by which others reach it.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.name.clone()];
        names.extend(["container_name", "hostname"].iter().filter_map(|key| self.node.child(key)?.scalar_text()));
        if let Some(Node { value: Value::Map(networks), .. }) = self.node.child("networks") {
            let aliases = networks.iter().flat_map(|network| items(network.node.child("aliases")));
            names.extend(aliases.filter_map(|alias| alias.scalar_text()));
        }
        names
    }
}

/// Returns the files of variables that a service names.
pub(super) fn env_files(node: &Node, folder: &Path) -> Vec<PathBuf> {
    let paths = items(node.child("env_file")).into_iter();
    let named = paths.filter_map(|item| Some((item.child("path").unwrap_or(&item).scalar_text()?, item.place.clone())));
    named.map(|(path, place)| beside(folder, &place, &path)).collect()
}

/// Returns a list's items; a single value counts as a list of one.
pub(in crate::doctor) fn items(node: Option<&Node>) -> Vec<Node> {
    match node {
        Some(Node { value: Value::List(items), .. }) => items.clone(),
        Some(Node { value: Value::Null | Value::Broken, .. }) | None => Vec::new(),
        Some(node) => vec![node.clone()],
    }
}

/// Returns where a key stands, and its value.
pub(in crate::doctor) fn entry<'a>(node: &'a Node, key: &str) -> Option<(&'a Place, &'a Node)> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| (&entry.key_place, &entry.node))
}

fn command_of(node: &Node) -> Option<Located> {
    let text = match &node.value {
        Value::List(_) => {
            let words: Vec<String> = items(Some(node)).iter().filter_map(Node::scalar_text).collect();
            // What `sh -c` is given is what runs.
            let is_shell = words.first().is_some_and(|first| first.ends_with("sh"));
            match words.as_slice() {
                [_, flag, line, ..] if is_shell && flag.ends_with('c') => line.clone(),
                words => line_of(words),
            }
        }
        _ => {
            let text = node.scalar_text()?;
            let words = steps(&text).into_iter().next().map(|step| step.words).unwrap_or_default();
            match words.as_slice() {
                [shell, flag, line, ..] if shell.ends_with("sh") && flag.starts_with('-') && flag.ends_with('c') => {
                    line.clone()
                }
                _ => text,
            }
        }
    };
    Some(Located { text, place: node.place.clone() })
}

fn exposed(text: &str) -> Vec<u16> {
    range(text.split('/').next().unwrap_or_default()).map(|range| range.take(64).collect()).unwrap_or_default()
}

fn dependencies(node: Option<&Node>) -> Vec<Dependency> {
    let Some(Node { value: Value::Map(entries), .. }) = node else { return Vec::new() };
    let one = |entry: &kit::config::Entry| {
        let condition = entry.node.child("condition").and_then(Node::scalar_text);
        let is_optional = entry.node.child("required").is_some_and(|node| node.value == Value::Bool(false));
        (!is_optional).then(|| Dependency {
            service: entry.key.clone(),
            condition: condition.unwrap_or_else(|| "service_started".to_owned()),
            place: entry.key_place.clone(),
        })
    };
    entries.iter().filter_map(one).collect()
}

/// What `deploy.restart_policy` would be as `restart`: without a limit, `always`.
fn swarm_restart(node: &Node) -> Option<Located> {
    let (place, policy) = entry(node.child("deploy")?, "restart_policy")?;
    let text = |key| policy.child(key).and_then(Node::scalar_text);
    let condition = text("condition").unwrap_or_else(|| "any".to_owned());
    let text = match (condition.as_str(), text("max_attempts")) {
        ("none", _) => "no".to_owned(),
        (_, Some(limit)) => format!("on-failure:{limit}"),
        ("any", None) => "always".to_owned(),
        _ => condition,
    };
    Some(Located { text, place: place.clone() })
}
