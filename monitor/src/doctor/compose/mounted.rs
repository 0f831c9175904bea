//! Configurations that services mount from beside the compose file, as text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kit::config::Place;

use super::mount::{Mount, beside};
use super::read::{is_of_kernel, read_bounded};

/// What is read: formats in which people write down what a program asks and where it sends.
const KINDS: [&str; 9] = ["yml", "yaml", "alloy", "river", "toml", "conf", "cfg", "sql", "sh"];
/// A longer one is data, not a configuration.
const MAX_FILE_BYTES: u64 = 256 << 10;
/// All that services mount, and is read: more than the configurations of any host.
const MAX_BYTES: u64 = 8 << 20;
/// Of one folder, and deeper ones are somebody's sources.
const MAX_FILES: usize = 64;
const MAX_DEPTH: usize = 3;
/// Entries of folders that are looked at, of a whole project.
const MAX_ENTRIES: usize = 50_000;

/// One file.
#[derive(Debug, Clone)]
pub struct Mounted {
    /// Its name, as the compose file leads to it.
    pub file: String,
    /// Its path inside the container.
    pub target: String,
    /// The text of it.
    pub text: Arc<String>,
}

impl Mounted {
    /// Returns where a byte of its text stands.
    pub fn place_of(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        Place {
            file: self.file.as_str().into(),
            line: count(before.matches('\n').count() + 1),
            column: count(column + 1),
        }
    }
}

/// What is read for the services of a project, each file and folder once, until there is no more room.
#[derive(Debug)]
pub(super) struct Shelf {
    bytes_left: u64,
    entries_left: usize,
    /// Files by the folders they are in, without links; each as its path from there.
    listings: BTreeMap<PathBuf, Vec<String>>,
    /// Texts by paths without links; none where there is none to be had.
    texts: BTreeMap<PathBuf, Option<Arc<String>>>,
    is_whole: bool,
}

impl Shelf {
    pub(super) fn new() -> Self {
        let (listings, texts) = (BTreeMap::new(), BTreeMap::new());
        Self { bytes_left: MAX_BYTES, entries_left: MAX_ENTRIES, listings, texts, is_whole: true }
    }

    /// Returns why something was left out, if it was.
    pub(super) fn left_out(&self) -> Option<String> {
        let bounds = format!("{} MiB, {MAX_ENTRIES} entries, {MAX_FILES} files of a folder", MAX_BYTES >> 20);
        (!self.is_whole).then(|| format!("mounted configurations: there are more than are read ({bounds})"))
    }

    /// Reads the files that a service mounts by name.
    pub(super) fn read_files(&mut self, mounts: &[Mount], folder: &Path) -> Vec<Mounted> {
        let mut found = Vec::new();
        for (path, root, target) in roots(mounts, folder).filter(|(path, ..)| path.is_file()) {
            found.extend(self.mounted(&path, &root, target.to_owned()));
        }
        found
    }

    /// Reads the files in the folders that a service mounts from beside the compose file.
    pub(super) fn read_folders(&mut self, mounts: &[Mount], folder: &Path) -> Vec<Mounted> {
        let mut found = Vec::new();
        let beside = mounts.iter().filter(|mount| mount.source.starts_with('.'));
        for (path, root, target) in roots(beside, folder).filter(|(path, ..)| path.is_dir()) {
            for name in self.listing(&root) {
                let target = format!("{}/{name}", target.trim_end_matches('/'));
                found.extend(self.mounted(&path.join(&name), &root, target));
            }
        }
        found
    }

    fn mounted(&mut self, path: &Path, root: &Path, target: String) -> Option<Mounted> {
        let real = within(path, root).filter(|_| is_wanted(path))?;
        let text = match self.texts.get(&real) {
            Some(text) => text.clone(),
            None => {
                let text = self.read(&real);
                self.texts.insert(real, text.clone());
                text
            }
        };
        Some(Mounted { file: path.display().to_string(), target, text: text? })
    }

    fn read(&mut self, real: &Path) -> Option<Arc<String>> {
        let bytes = real.metadata().ok()?.len();
        if bytes > MAX_FILE_BYTES {
            return None;
        }
        let Some(left) = self.bytes_left.checked_sub(bytes) else {
            self.is_whole = false;
            return None;
        };
        self.bytes_left = left;
        read_bounded(real).ok().map(Arc::new)
    }

    fn listing(&mut self, root: &Path) -> Vec<String> {
        if let Some(known) = self.listings.get(root) {
            return known.clone();
        }
        let mut found = Vec::new();
        self.list(root, "", 0, &mut found);
        self.listings.insert(root.to_owned(), found.clone());
        found
    }

    /// Lists the files of a folder that is mounted; hidden ones and others' packages are none of its own.
    fn list(&mut self, folder: &Path, before: &str, depth: usize, into: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<PathBuf> = paths.take(self.entries_left.saturating_add(1)).collect();
        self.is_whole &= paths.len() <= self.entries_left;
        self.entries_left = self.entries_left.saturating_sub(paths.len());
        paths.sort();
        for path in paths {
            let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
            if name.starts_with('.') || name == "node_modules" {
                continue;
            }
            // A link may lead in a circle.
            if path.is_dir() && !path.is_symlink() && depth < MAX_DEPTH {
                self.list(&path, &format!("{before}{name}/"), depth + 1, into);
            } else if is_wanted(&path) && path.is_file() {
                if into.len() >= MAX_FILES {
                    self.is_whole = false;
                    return;
                }
                into.push(format!("{before}{name}"));
            }
        }
    }
}

/// Returns each path of the host that is mounted, as the compose file leads to it and without links, and its target.
fn roots<'a>(
    mounts: impl IntoIterator<Item = &'a Mount>,
    folder: &Path,
) -> impl Iterator<Item = (PathBuf, PathBuf, &'a str)> {
    let mounts = mounts.into_iter().filter(|mount| mount.source.starts_with(['.', '/']));
    mounts.filter_map(|mount| {
        let path = beside(folder, &mount.place, &mount.source);
        let root = path.canonicalize().ok().filter(|root| !is_of_kernel(root))?;
        Some((path, root, mount.target.as_str()))
    })
}

/// Returns a path without its links, unless they lead out of what is mounted: in the container they lead elsewhere.
pub(super) fn within(path: &Path, root: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|real| real.starts_with(root) && !is_of_kernel(real))
}

fn is_wanted(path: &Path) -> bool {
    path.extension().is_some_and(|extension| KINDS.iter().any(|kind| extension == *kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(source: &str) -> Mount {
        Mount { source: source.to_owned(), target: "/c".to_owned(), place: Place::whole("compose.yml") }
    }

    #[test]
    fn each_file_and_folder_is_read_once_and_what_is_left_out_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: String, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("conf")).unwrap();
        for number in 0..40 {
            write(format!("conf/{number:02}.yml"), &"#".repeat(200 << 10));
        }
        let mut shelf = Shelf::new();
        let all = |shelf: &mut Shelf| shelf.read_folders(&[mount("./conf")], folder.path()).len();
        for _service in 0..3 {
            assert_eq!((all(&mut shelf), shelf.left_out()), (40, None), "it takes its room once");
        }
        assert_eq!(MAX_ENTRIES - shelf.entries_left, 40);
        for number in 40..MAX_FILES + 1 {
            write(format!("conf/{number}.yml"), "a: 1\n");
        }
        assert_eq!(all(&mut shelf), 40, "a folder is listed once");
        let mut shelf = Shelf::new();
        assert_eq!((all(&mut shelf), shelf.is_whole), (MAX_FILES, false));
        let mut shelf = Shelf { bytes_left: 300 << 10, ..Shelf::new() };
        assert_eq!(all(&mut shelf), 1 + MAX_FILES - 40, "what is small still fits");
        let why = "mounted configurations: there are more than are read (8 MiB, 50000 entries, 64 files of a folder)";
        assert_eq!(shelf.left_out().as_deref(), Some(why));
        let mut shelf = Shelf { entries_left: 10, ..Shelf::new() };
        all(&mut shelf);
        assert_eq!((shelf.is_whole, shelf.entries_left), (false, 0));
    }
}
