//! What is mounted into a container, and the paths of the host behind it.

use std::path::{Path, PathBuf};

use kit::config::{Node, Place, Value};

use super::load::{folder_of, inside};

/// Something mounted into the container.
#[derive(Debug, Clone)]
pub struct Mount {
    /// A path of the host, or a volume's name.
    pub source: String,
    /// The path inside.
    pub target: String,
    /// Where it stands.
    pub place: Place,
}

/// Reads one item of `volumes`, short or long.
pub(super) fn mount_of(node: &Node) -> Option<Mount> {
    let place = node.place.clone();
    if matches!(node.value, Value::Map(_)) {
        let text = |key| node.child(key).and_then(Node::scalar_text);
        return Some(Mount { source: text("source").unwrap_or_default(), target: text("target")?, place });
    }
    let text = node.scalar_text()?;
    let mut parts = text.split(':');
    let source = parts.next()?.to_owned();
    let target = parts.next().unwrap_or(&source).to_owned();
    Some(Mount { source, target, place })
}

/// Paths count from the project's folder; those of an included or extended file from that file's own.
pub(super) fn beside(folder: &Path, place: &Place, path: &str) -> PathBuf {
    let by_project = inside(folder, path);
    if by_project.exists() { by_project } else { inside(&folder_of(Path::new(&*place.file)), path) }
}

/// Returns the path of the host that a mount names, if it is one.
pub(super) fn host_path(folder: &Path, source: &str) -> Option<PathBuf> {
    source.starts_with(['.', '/', '~']).then(|| inside(folder, source))
}
