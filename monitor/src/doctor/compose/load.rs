//! Reads the files of a project into one tree: variables, `include`, `extends`, and one file laid over another.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use kit::config::{Node, Place, Value};

use super::merge::{Tags, child_mut, lay, normalise, read_tags};
use super::project::Project;
use super::variables::{UsedUnset, Variables, read_env_file, substitute};

/// No Compose file of a person is larger; one that is would only fill the memory.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// `include` and `extends` go no deeper than this; a longer chain is a circle.
const MAX_DEPTH: usize = 16;

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Compose files, the later laid over the earlier.
    pub files: Vec<PathBuf>,
    /// Files of variables, instead of the `.env` beside the first file.
    pub env_files: Vec<PathBuf>,
    /// Profiles that are active; services of others are left out.
    pub profiles: Vec<String>,
    /// Variables of the environment, which come before those of files.
    pub environment: BTreeMap<String, String>,
}

/// Reads a project.
///
/// # Errors
/// The first file that cannot be read or parsed, with its line.
pub fn load(request: &Request) -> Result<Project, String> {
    let first = request.files.first().ok_or("name at least one compose file")?;
    let folder = folder_of(first);
    let variables = request.environment.clone();
    let mut loader = Loader { variables, sources: BTreeMap::new(), unset: Vec::new(), tags: Tags::new() };
    let default_env = folder.join(".env");
    let env_files = match request.env_files.as_slice() {
        [] if default_env.is_file() => std::slice::from_ref(&default_env),
        files => files,
    };
    for file in env_files {
        let text = loader.read(file)?;
        let read = read_env_file(&text, &loader.variables);
        loader.variables.extend(read.into_iter().map(|(_, key, value)| (key, value)));
        // The environment comes first.
        loader.variables.extend(request.environment.clone());
    }
    // Compose sets it to the folder's name, unless somebody has (docs.docker.com/compose/how-tos/project-name).
    let project = std::path::absolute(&folder).ok().and_then(|folder| folder.file_name().map(PathBuf::from));
    let project = project.map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    loader.variables.entry("COMPOSE_PROJECT_NAME".to_owned()).or_insert(project);
    let mut root = empty(first);
    for file in &request.files {
        let node = loader.compose_file(file, 0)?;
        lay(&mut root, node, "", &loader.tags);
    }
    let services = root.child("services");
    if !services.is_some_and(|services| matches!(services.value, Value::Map(_))) {
        let place = services.map_or(&root.place, |services| &services.place);
        return Err(format!("{place}: expected \"services\", a mapping of names to services; this is no compose file"));
    }
    Ok(Project::decode(&root, &folder, loader, &request.profiles))
}

/// Returns the folder that relative paths in `file` count from.
pub(super) fn folder_of(file: &Path) -> PathBuf {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Reads a regular file of bounded length.
pub(in crate::doctor) fn read_bounded(file: &Path) -> Result<String, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: cannot read this file: {why}", file.display());
    let metadata = std::fs::metadata(file).map_err(|error| wrong(&error))?;
    // A pipe or device may never end.
    if !metadata.is_file() {
        return Err(wrong(&"it is not a regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(wrong(&format_args!("it is {} bytes, more than {MAX_FILE_BYTES}", metadata.len())));
    }
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|error| wrong(&error))?;
    opened.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(|error| wrong(&error))?;
    Ok(text)
}

/// What is learned while the files are read.
pub(super) struct Loader {
    /// Of the environment and of `.env`.
    pub(super) variables: Variables,
    /// Text of the files, by their names.
    pub(super) sources: BTreeMap<String, String>,
    /// Variables that are used and not set.
    pub(super) unset: Vec<UsedUnset>,
    tags: Tags,
}

impl Loader {
    fn read(&mut self, file: &Path) -> Result<String, String> {
        let text = read_bounded(file)?;
        self.sources.insert(file.display().to_string(), text.clone());
        Ok(text)
    }

    fn compose_file(&mut self, file: &Path, depth: usize) -> Result<Node, String> {
        let shown = file.display().to_string();
        if depth > MAX_DEPTH {
            return Err(format!("{shown}: it includes or extends itself"));
        }
        let text = self.read(file)?;
        let mut node = Node::parse(&shown, &text).map_err(|(place, message)| format!("{place}: {message}"))?;
        if !matches!(node.value, Value::Map(_)) {
            return Err(format!("{}: expected a mapping with services, found {}", node.place, node.type_name()));
        }
        read_tags(&node, &text.lines().collect::<Vec<_>>(), &mut self.tags);
        let before = self.unset.len();
        substitute(&mut node, &self.variables, &mut self.unset);
        // What is reached twice by an anchor or a second `extends` is one mistake.
        let added = self.unset.split_off(before);
        self.unset.extend(added.into_iter().filter(|used| !used.1.is_empty()));
        normalise(&mut node);
        self.extend_services(&mut node, file, depth)?;
        self.include(node, file, depth)
    }

    fn include(&mut self, node: Node, file: &Path, depth: usize) -> Result<Node, String> {
        let mut whole = empty(file);
        if let Some(Node { value: Value::List(items), .. }) = node.child("include") {
            for item in items {
                let paths = item.child("path").unwrap_or(item);
                let paths = match &paths.value {
                    Value::List(paths) => paths.clone(),
                    _ => vec![paths.clone()],
                };
                for path in paths.iter().filter_map(Node::scalar_text) {
                    let path = folder_of(file).join(path.strip_prefix("./").unwrap_or(&path));
                    let included = self.compose_file(&path, depth + 1)?;
                    lay(&mut whole, included, "", &self.tags);
                }
            }
        }
        lay(&mut whole, node, "", &self.tags);
        Ok(whole)
    }

    fn extend_services(&mut self, root: &mut Node, file: &Path, depth: usize) -> Result<(), String> {
        let copy = root.clone();
        let Some(services) = child_mut(root, "services") else { return Ok(()) };
        let Value::Map(services) = &mut services.value else { return Ok(()) };
        for service in services {
            service.node = self.extended(service.node.clone(), &copy, file, depth)?;
        }
        Ok(())
    }

    fn extended(&mut self, service: Node, root: &Node, file: &Path, depth: usize) -> Result<Node, String> {
        let Some(extends) = service.child("extends") else { return Ok(service) };
        let place = extends.place.clone();
        if depth > MAX_DEPTH {
            return Err(format!("{place}: this service extends itself"));
        }
        let name = extends.child("service").unwrap_or(extends).scalar_text().unwrap_or_default();
        let other = match extends.child("file").and_then(Node::scalar_text) {
            Some(path) => Some(self.compose_file(&folder_of(file).join(path), depth + 1)?),
            None => None,
        };
        let base = other.as_ref().unwrap_or(root).child("services").and_then(|services| services.child(&name));
        let base = base.ok_or_else(|| format!("{place}: there is no service {name:?} to extend"))?;
        let mut base = self.extended(base.clone(), other.as_ref().unwrap_or(root), file, depth + 1)?;
        lay(&mut base, service, "", &self.tags);
        Ok(base)
    }
}

fn empty(file: &Path) -> Node {
    Node { place: Place::whole(&file.display().to_string()), value: Value::Map(Vec::new()), substituted: None }
}
