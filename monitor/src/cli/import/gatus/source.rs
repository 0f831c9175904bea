//! Reads what Gatus reads: one file, or every YAML file below a folder, joined.

use std::path::{Path, PathBuf};

use kit::config::{Entry, Node, Value};

/// Deepest folder that is looked into; a loop of links ends here.
const MAX_DEPTH: usize = 8;

/// Reads everything into one tree.
///
/// # Errors
/// A file cannot be read, is no YAML, or says otherwise than another.
pub(super) fn read(path: &Path) -> Result<Node, String> {
    if !path.is_dir() {
        return one(path);
    }
    let mut files = Vec::new();
    collect(path, 0, &mut files)?;
    files.sort();
    let mut whole: Option<Node> = None;
    for file in &files {
        let node = one(file)?;
        whole = Some(match whole {
            None => node,
            Some(so_far) => join(so_far, node)?,
        });
    }
    whole.ok_or_else(|| format!("{}: there is no .yaml or .yml file in it", path.display()))
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if depth < MAX_DEPTH {
                collect(&path, depth + 1, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(())
}

fn one(file: &Path) -> Result<Node, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Node::parse(&file.display().to_string(), &text).map_err(|(place, message)| format!("{place}: {message}"))
}

/// Mappings are joined key by key, lists are put one behind the other.
fn join(first: Node, second: Node) -> Result<Node, String> {
    let value = match (first.value, second.value) {
        (Value::Map(mut entries), Value::Map(others)) => {
            for other in others {
                match entries.iter().position(|entry| entry.key == other.key) {
                    Some(at) => {
                        let known = entries.remove(at);
                        entries.insert(at, Entry { node: join(known.node.clone(), other.node)?, ..known });
                    }
                    None => entries.push(other),
                }
            }
            Value::Map(entries)
        }
        (Value::List(mut items), Value::List(others)) => {
            items.extend(others);
            Value::List(items)
        }
        (known, Value::Null) => known,
        (known, other) if known == other || known == Value::Null => other,
        _ => {
            return Err(format!(
                "{}: another file says otherwise ({}); keep one of the two",
                second.place, first.place
            ));
        }
    };
    Ok(Node { value, ..first })
}
