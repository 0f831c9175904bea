//! What is mounted into a container, and the paths of the host behind it.

use std::path::{Path, PathBuf};

use kit::config::{Node, Place, Value};

use super::load::{folder_of, inside};
use super::service::items;

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

/// Returns the files behind a service's `configs`, which Compose mounts at `/NAME` unless told where.
pub(super) fn configs_of(service: &Node, root: &Node) -> Vec<Mount> {
    let of_config = |used: &Node| {
        let name = used.child("source").unwrap_or(used).scalar_text()?;
        let file = root.child("configs")?.child(&name)?.child("file")?;
        let (path, place) = (file.scalar_text()?, file.place.clone());
        let source = if path.starts_with(['.', '/', '~']) { path } else { format!("./{path}") };
        let target = used.child("target").and_then(Node::scalar_text).unwrap_or(name);
        let target = if target.starts_with('/') { target } else { format!("/{target}") };
        Some(Mount { source, target, place })
    };
    items(service.child("configs")).iter().filter_map(of_config).collect()
}

/// Paths count from the project's folder; those of an included or extended file from that file's own.
pub(super) fn beside(folder: &Path, place: &Place, path: &str) -> PathBuf {
    let by_project = inside(folder, path);
    if by_project.exists() { by_project } else { inside(&folder_of(Path::new(&*place.file)), path) }
}
