//! A whole project: its services and networks, and what the files say of both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kit::config::{Entry, Node, Place, Value};

use super::images::split as image_tag;
use super::load::{Loader, inside};
use super::mount::configs_of;
use super::mounted::Shelf;
use super::read::read_bounded;
use super::scrape::Scrape;
use super::service::{Service, env_files, items};

/// A network of the project.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its key.
    pub key: String,
    /// Its real name, if it is written.
    pub name: Option<String>,
    /// What makes it, if that is written: `bridge`, `overlay`.
    pub driver: Option<String>,
    /// Where its key stands.
    pub place: Place,
    /// True if somebody else makes it.
    pub is_external: bool,
    /// Another compose file of this folder that makes it under its own prefix.
    pub made_elsewhere: Option<String>,
}

/// A variable without value or default.
#[derive(Debug, Clone)]
pub struct Unset {
    /// Where it is used.
    pub place: Place,
    /// Its name.
    pub name: String,
}

/// A project.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its name, which is the prefix of what Compose makes.
    pub name: String,
    /// Its services of active profiles, in the order of the files.
    pub services: Vec<Service>,
    /// Its networks.
    pub networks: Vec<Network>,
    /// Variables without value or default.
    pub unset: Vec<Unset>,
    /// Prometheus configurations that its services mount.
    pub scrapes: Vec<Scrape>,
    /// Text of the files that were read, by their names.
    pub sources: BTreeMap<String, String>,
    /// Services of profiles that are not active.
    pub inactive: Vec<String>,
    /// What could not be looked into.
    pub not_checked: Vec<String>,
    /// False if some of what is mounted was left out: then nothing can be said to stand nowhere.
    pub is_read_whole: bool,
}

impl Project {
    pub(super) fn decode(root: &Node, folder: &Path, read: Loader, profiles: &[String]) -> Self {
        let Loader { variables, mut sources, unset, not_checked, .. } = read;
        let (mut services, mut inactive) = (Vec::new(), Vec::new());
        if let Some(Node { value: Value::Map(entries), .. }) = root.child("services") {
            for entry in entries {
                let wanted: Vec<String> =
                    items(entry.node.child("profiles")).iter().filter_map(Node::scalar_text).collect();
                let is_active = wanted.is_empty()
                    || wanted.iter().any(|profile| profiles.iter().any(|active| active == "*" || active == profile));
                if is_active {
                    let mut service = Service::decode(&entry.key, &entry.key_place, &entry.node, folder, &variables);
                    service.mounts.extend(configs_of(&entry.node, root));
                    services.push(service);
                } else {
                    inactive.push(entry.key.clone());
                }
            }
            share_variables(&mut services, entries, folder);
        }
        // What is named comes first: in a folder there may be anything.
        let mut shelf = Shelf::new();
        for service in &mut services {
            service.mounted = shelf.read_files(&service.mounts, folder);
        }
        for service in &mut services {
            service.mounted.extend(shelf.read_folders(&service.mounts, folder));
            service.learn_from_mounted(folder);
        }
        let left_out = shelf.left_out();
        let mut project = Self {
            name: root.child("name").and_then(Node::scalar_text).unwrap_or_else(|| name_of(folder)),
            networks: networks(root, folder, &sources),
            unset: unset.into_iter().map(|(place, name)| Unset { place, name }).collect(),
            scrapes: services.iter().filter_map(|service| Scrape::of(service, folder)).collect(),
            not_checked: services.iter().flat_map(|service| service.not_checked.clone()).chain(not_checked).collect(),
            is_read_whole: left_out.is_none(),
            services,
            inactive,
            sources: BTreeMap::new(),
        };
        for service in &project.services {
            for variable in service.environment.iter().filter(|variable| !variable.is_inline) {
                let file = variable.place.file.to_string();
                if let Ok(text) = read_bounded(Path::new(&file)) {
                    sources.entry(file).or_insert(text);
                }
            }
        }
        sources.extend(project.scrapes.iter().map(|scrape| (scrape.file.clone(), scrape.text.clone())));
        for mounted in project.services.iter().flat_map(|service| &service.mounted) {
            sources.entry(mounted.file.clone()).or_insert_with(|| mounted.text.to_string());
        }
        project.not_checked.extend(left_out);
        project.sources = sources;
        project
    }

    /// Returns a service by its key.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Returns true if a service is built here under this name: then nobody pulls it.
    pub fn builds(&self, image: &str) -> bool {
        let mut built = self.services.iter().filter(|service| service.is_built);
        built.any(|service| service.image.as_ref().is_some_and(|own| whole(&own.text) == whole(image)))
    }

    /// Returns the service that answers to a name in the project's networks.
    pub fn reached_by(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.names().iter().any(|own| own == name))
    }
}

/// Marks variables of files that several services name, active or not.
fn share_variables(services: &mut [Service], entries: &[Entry], folder: &Path) {
    let mut users: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for entry in entries {
        let files: BTreeSet<PathBuf> = env_files(&entry.node, folder).into_iter().map(real).collect();
        files.into_iter().for_each(|file| *users.entry(file).or_default() += 1);
    }
    for service in services {
        for variable in service.environment.iter_mut().filter(|variable| !variable.is_inline) {
            variable.is_shared = users.get(&real((*variable.place.file).into())).is_some_and(|users| *users > 1);
        }
    }
}

fn real(path: PathBuf) -> PathBuf {
    path.canonicalize().unwrap_or(path)
}

/// No tag means `latest`.
fn whole(image: &str) -> (&str, &str) {
    match image_tag(image) {
        (name, "") => (name, "latest"),
        whole => whole,
    }
}

/// A project without a name is called after its folder.
fn name_of(folder: &Path) -> String {
    let whole: PathBuf = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn networks(root: &Node, folder: &Path, sources: &BTreeMap<String, String>) -> Vec<Network> {
    let Some(Node { value: Value::Map(entries), .. }) = root.child("networks") else { return Vec::new() };
    let mut found: Vec<Network> = entries
        .iter()
        .map(|entry| Network {
            key: entry.key.clone(),
            name: entry.node.child("name").and_then(Node::scalar_text),
            driver: entry.node.child("driver").and_then(Node::scalar_text),
            place: entry.key_place.clone(),
            is_external: entry.node.child("external").is_some_and(|node| node.value != Value::Bool(false)),
            made_elsewhere: None,
        })
        .collect();
    if found.iter().any(|network| network.is_external) {
        for (file, other) in neighbours(folder, sources) {
            let Some(Node { value: Value::Map(made), .. }) = other.child("networks") else { continue };
            for network in found.iter_mut().filter(|network| network.is_external) {
                let real = network.name.as_ref().unwrap_or(&network.key);
                let makes = |entry: &&Entry| {
                    entry.key == *real && entry.node.child("external").is_none() && entry.node.child("name").is_none()
                };
                if made.iter().any(|entry| makes(&entry)) {
                    network.made_elsewhere = Some(file.clone());
                }
            }
        }
    }
    found
}

/// Other compose files of the folder.
fn neighbours(folder: &Path, sources: &BTreeMap<String, String>) -> Vec<(String, Node)> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_compose = name.contains("compose") && (name.ends_with(".yml") || name.ends_with(".yaml"));
        let shown = inside(folder, &name).display().to_string();
        if !is_compose || sources.contains_key(&shown) {
            continue;
        }
        if let Ok(node) = read_bounded(&path).and_then(|text| Node::parse(&shown, &text).map_err(|(_, why)| why)) {
            found.push((name, node));
        }
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    found
}
