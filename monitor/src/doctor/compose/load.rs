//! Reads the files of a project into one tree: variables, `include`, `extends`, and one file laid over another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kit::config::{Node, Place, Value};

use super::merge::{Tags, child_mut, lay, normalise, read_tags};
use super::project::Project;
use super::read::{parse, read_bounded};
use super::service::items;
use super::variables::{UsedUnset, Variables, read_env_file, substitute};

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
    let mut loader =
        Loader { variables, sources: BTreeMap::new(), unset: Vec::new(), not_checked: Vec::new(), tags: Tags::new() };
    let default_env = inside(&folder, ".env");
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

/// Returns a path as files of `folder` write it; nobody wants to read `./` before each name.
pub(super) fn inside(folder: &Path, path: &str) -> PathBuf {
    let path = path.strip_prefix("./").unwrap_or(path);
    if folder == Path::new(".") && !path.is_empty() { PathBuf::from(path) } else { folder.join(path) }
}

/// What is learned while the files are read.
pub(super) struct Loader {
    /// Of the environment and of `.env`.
    pub(super) variables: Variables,
    /// Text of the files, by their names.
    pub(super) sources: BTreeMap<String, String>,
    /// Variables that are used and not set.
    pub(super) unset: Vec<UsedUnset>,
    /// What is not on this machine.
    pub(super) not_checked: Vec<String>,
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
        let mut node = empty(file);
        for document in parse(&shown, &text)? {
            read_tags(&document, &text.lines().collect::<Vec<_>>(), &mut self.tags);
            lay(&mut node, document, "", &self.tags);
        }
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
        for item in items(node.child("include")) {
            let paths = items(Some(item.child("path").unwrap_or(&item)));
            let outside = self.variables.clone();
            self.read_included_env(&item, &paths, file)?;
            for path in &paths {
                let Some(text) = path.scalar_text() else { continue };
                // Compose fetches those itself (docs.docker.com/reference/compose-file/include, "Remote files").
                if text.contains("://") || text.starts_with("git@") {
                    self.not_checked.push(format!("include {text}: it is not on this machine"));
                    continue;
                }
                let other = inside(&folder_of(file), &text);
                let included = self.compose_file(&other, depth + 1).map_err(|why| by(&path.place, &other, why))?;
                lay(&mut whole, included, "", &self.tags);
            }
            self.variables = outside;
        }
        lay(&mut whole, node, "", &self.tags);
        Ok(whole)
    }

    /// An included file has variables of its own: those of its `env_file`, or of the `.env` beside it. What is set outside
    /// comes first (docs.docker.com/reference/compose-file/include, "env_file").
    fn read_included_env(&mut self, item: &Node, paths: &[Node], file: &Path) -> Result<(), String> {
        let folder = folder_of(file);
        let named = items(item.child("env_file"));
        let own = item.child("project_directory").and_then(Node::scalar_text).map(|path| inside(&folder, &path));
        let beside = || folder_of(&inside(&folder, &paths.first().and_then(Node::scalar_text).unwrap_or_default()));
        let standard = own.unwrap_or_else(beside).join(".env");
        let files: Vec<PathBuf> = match named.as_slice() {
            [] => Some(standard).filter(|file| file.is_file()).into_iter().collect(),
            named => named.iter().filter_map(Node::scalar_text).map(|path| inside(&folder, &path)).collect(),
        };
        for env_file in files {
            let text = self.read(&env_file).map_err(|why| by(&item.place, &env_file, why))?;
            for (_, key, value) in read_env_file(&text, &self.variables) {
                self.variables.entry(key).or_insert(value);
            }
        }
        Ok(())
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
            Some(path) => {
                let other = inside(&folder_of(file), &path);
                Some(self.compose_file(&other, depth + 1).map_err(|why| by(&place, &other, why))?)
            }
            None => None,
        };
        let base = other.as_ref().unwrap_or(root).child("services").and_then(|services| services.child(&name));
        let base = base.ok_or_else(|| format!("{place}: there is no service {name:?} to extend"))?;
        let mut base = self.extended(base.clone(), other.as_ref().unwrap_or(root), file, depth + 1)?;
        lay(&mut base, service, "", &self.tags);
        Ok(base)
    }
}

/// Says who leads to a file that is not there: of one that is, its own place says more.
fn by(place: &Place, file: &Path, why: String) -> String {
    if file.exists() { why } else { format!("{place}: {why}") }
}

fn empty(file: &Path) -> Node {
    Node { place: Place::whole(&file.display().to_string()), value: Value::Map(Vec::new()), substituted: None }
}
