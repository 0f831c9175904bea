//! Lays one Compose file over another, as `docker compose -f a -f b` does, and brings short forms into their long ones.
//!
//! The rules are those of docs.docker.com/reference/compose-file/merge: mappings key by key, lists one behind the other,
//! but `command`, `entrypoint` and a health check's `test` are replaced; mounts are told apart by their target.

use kit::config::{Entry, Node, Place, Value};

/// Lists that a later file replaces as a whole.
const REPLACED: [&str; 3] = ["command", "entrypoint", "test"];

/// Lays `over` over `node`, the value of `key`.
pub(super) fn lay(node: &mut Node, over: Node, key: &str) {
    match (&mut node.value, over.value) {
        (Value::Map(entries), Value::Map(others)) => {
            for other in others {
                match entries.iter_mut().find(|entry| entry.key == other.key) {
                    Some(entry) => lay(&mut entry.node, other.node, &other.key),
                    None => entries.push(other),
                }
            }
        }
        (Value::List(items), Value::List(others)) if !REPLACED.contains(&key) => {
            for other in others {
                if key == "volumes" {
                    items.retain(|item| mount_target(item) != mount_target(&other));
                }
                if !items.contains(&other) {
                    items.push(other);
                }
            }
        }
        (_, Value::Null) => {}
        (_, value) => *node = Node { place: over.place, value, substituted: over.substituted },
    }
}

fn mount_target(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => text.split(':').nth(1).unwrap_or(text).to_owned(),
        _ => node.child("target").and_then(Node::scalar_text).unwrap_or_default(),
    }
}

/// Brings the short forms of every service into the long ones, so that they can be merged and read alike.
pub(super) fn normalise(root: &mut Node) {
    let Some(services) = child_mut(root, "services") else { return };
    let Value::Map(services) = &mut services.value else { return };
    for service in services {
        for key in ["environment", "labels"] {
            if let Some(node) = child_mut(&mut service.node, key) {
                pairs_to_map(node);
            }
        }
        for key in ["depends_on", "networks"] {
            if let Some(node) = child_mut(&mut service.node, key) {
                names_to_map(node);
            }
        }
    }
}

pub(super) fn child_mut<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node),
        _ => None,
    }
}

/// `- KEY=VALUE` becomes `KEY: VALUE`, and `- KEY` a key without a value.
fn pairs_to_map(node: &mut Node) {
    let Value::List(items) = &node.value else { return };
    let entries = items.iter().filter_map(|item| {
        let text = item.scalar_text()?;
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Value::Text(value.to_owned())),
            None => (text, Value::Null),
        };
        let node = Node { place: item.place.clone(), value, substituted: item.substituted.clone() };
        Some(Entry { key, key_place: item.place.clone(), node })
    });
    node.value = Value::Map(entries.collect());
}

fn names_to_map(node: &mut Node) {
    let Value::List(items) = &node.value else { return };
    let entries = items.iter().filter_map(|item| Some(empty_entry(item.scalar_text()?, &item.place)));
    node.value = Value::Map(entries.collect());
}

pub(super) fn empty_entry(key: String, place: &Place) -> Entry {
    let node = Node { place: place.clone(), value: Value::Map(Vec::new()), substituted: None };
    Entry { key, key_place: place.clone(), node }
}
