//! Configurations that services mount from beside the compose file, as text.

use std::path::{Path, PathBuf};

use kit::config::Place;

use super::mount::{Mount, beside};
use super::read::{is_of_kernel, read_bounded};

/// What is read: formats in which people write down what a program asks and where it sends.
const KINDS: [&str; 9] = ["yml", "yaml", "alloy", "river", "toml", "conf", "cfg", "sql", "sh"];
/// A longer one is data, not a configuration.
const MAX_FILE_BYTES: u64 = 256 << 10;
/// Of one service, and deeper folders are somebody's sources.
const MAX_FILES: usize = 64;
const MAX_DEPTH: usize = 3;
/// Entries of a folder that are looked at.
const MAX_ENTRIES: usize = 256;

/// One file.
#[derive(Debug, Clone)]
pub struct Mounted {
    /// Its name, as the compose file leads to it.
    pub file: String,
    /// Its path inside the container.
    pub target: String,
    /// The text of it.
    pub text: String,
}

impl Mounted {
    /// Reads what a service mounts, until `room`, in bytes, is used up; returns false if that was not enough.
    pub(super) fn read(mounts: &[Mount], folder: &Path, room: &mut u64, into: &mut Vec<Self>) -> bool {
        let mut files = Vec::new();
        for mount in mounts.iter().filter(|mount| mount.source.starts_with(['.', '/'])) {
            let path = beside(folder, &mount.place, &mount.source);
            let Some(root) = path.canonicalize().ok().filter(|root| !is_of_kernel(root)) else { continue };
            if path.is_file() {
                files.push((path, mount.target.clone(), root));
            } else if mount.source.starts_with('.') {
                let mut found = Vec::new();
                list(&path, &mount.target, 0, &mut found);
                files.extend(found.into_iter().map(|(path, target)| (path, target, root.clone())));
            }
        }
        for (path, target, root) in files.into_iter().take(MAX_FILES) {
            let Some(real) = within(&path, &root) else { continue };
            let bytes = real.metadata().map_or(0, |metadata| metadata.len());
            if !is_wanted(&path) || bytes > MAX_FILE_BYTES {
                continue;
            }
            let Some(left) = room.checked_sub(bytes) else { return false };
            *room = left;
            let Ok(text) = read_bounded(&real) else { continue };
            into.push(Self { file: path.display().to_string(), target, text });
        }
        true
    }

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

/// Returns a path without its links, unless they lead out of what is mounted: in the container they lead elsewhere.
pub(super) fn within(path: &Path, root: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|real| real.starts_with(root) && !is_of_kernel(real))
}

fn is_wanted(path: &Path) -> bool {
    path.extension().is_some_and(|extension| KINDS.iter().any(|kind| extension == *kind))
}

/// Lists the files of a folder that is mounted; hidden ones and others' packages are none of its own.
fn list(folder: &Path, target: &str, depth: usize, into: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).take(MAX_ENTRIES).collect();
    paths.sort();
    for path in paths {
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        let target = format!("{}/{name}", target.trim_end_matches('/'));
        if name.starts_with('.') || name == "node_modules" || into.len() >= MAX_FILES {
            continue;
        }
        // A link may lead in a circle.
        if path.is_dir() && !path.is_symlink() && depth < MAX_DEPTH {
            list(&path, &target, depth + 1, into);
        } else if path.is_file() && is_wanted(&path) {
            into.push((path, target));
        }
    }
}
