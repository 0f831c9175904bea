//! Lays one Compose file over another, as `docker compose -f a -f b` does, and brings short forms into their long ones.
//!
//! The rules are those of docs.docker.com/reference/compose-file/merge: mappings key by key, lists one behind the other,
//! but `command`, `entrypoint` and a health check's `test` are replaced; mounts are told apart by their target.

use std::collections::HashMap;

use kit::config::{Entry, Node, Place, Value};

/// Lists that a later file replaces as a whole.
const REPLACED: [&str; 3] = ["command", "entrypoint", "test"];

/// What a later file says of a key of an earlier one (docs.docker.com/reference/compose-file/merge).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// `!reset`: it is taken away.
    Reset,
    /// `!override`: this counts alone.
    Override,
}

/// Tags, by where their keys stand.
pub(super) type Tags = HashMap<Place, Tag>;

/// Finds the tags in the text of a file: a tree has none.
pub(super) fn read_tags(node: &Node, lines: &[&str], tags: &mut Tags) {
    let Value::Map(entries) = &node.value else { return };
    for entry in entries {
        let Place { line, column, .. } = entry.key_place;
        let nth = |number: u64| usize::try_from(number).ok()?.checked_sub(1);
        let line = nth(line).and_then(|line| lines.get(line));
        let key = line.and_then(|line| Some(&line[line.char_indices().nth(nth(column)?)?.0..]));
        let value = key.and_then(|key| key.split_once(entry.key.as_str())?.1.split_once(':'));
        let value = value.map_or("", |(_, value)| value.trim_start());
        let tag = [("!reset", Tag::Reset), ("!override", Tag::Override)];
        let tag = tag.into_iter().find(|(word, _)| value.split_whitespace().next() == Some(word));
        tags.extend(tag.map(|(_, tag)| (entry.key_place.clone(), tag)));
        read_tags(&entry.node, lines, tags);
    }
}

/// Lays `over` over `node`, the value of `key`.
pub(super) fn lay(node: &mut Node, over: Node, key: &str, tags: &Tags) {
    match (&mut node.value, over.value) {
        (Value::Map(entries), Value::Map(others)) => {
            for other in others {
                let tag = tags.get(&other.key_place);
                if tag.is_some() {
                    entries.retain(|entry| entry.key != other.key);
                }
                match entries.iter_mut().find(|entry| entry.key == other.key) {
                    _ if tag == Some(&Tag::Reset) => {}
                    Some(entry) => lay(&mut entry.node, other.node, &other.key, tags),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(first: &str, second: &str) -> String {
        let mut tags = Tags::new();
        let mut root = Node { place: Place::whole("a"), value: Value::Map(Vec::new()), substituted: None };
        for (file, text) in [("a", first), ("b", second)] {
            let node = Node::parse(file, text).unwrap();
            read_tags(&node, &text.lines().collect::<Vec<_>>(), &mut tags);
            lay(&mut root, node, "", &tags);
        }
        let web = root.child("web").unwrap();
        let Value::Map(entries) = &web.value else { panic!("a mapping") };
        let shown = entries.iter().map(|entry| match &entry.node.value {
            Value::List(items) => {
                let items: Vec<String> = items.iter().filter_map(Node::scalar_text).collect();
                format!("{}: {}", entry.key, items.join(" "))
            }
            _ => format!("{}: {}", entry.key, entry.node.scalar_text().unwrap_or_default()),
        });
        shown.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn lists_are_joined_and_commands_replaced_unless_a_tag_says_otherwise() {
        let first = "web:\n  image: a\n  ports: [1, 2]\n  command: [x]\n";
        for (second, expected) in [
            ("web:\n  ports: [3]\n  command: [z]\n", "image: a; ports: 1 2 3; command: z"),
            ("web:\n  ports: !override [3]\n", "image: a; command: x; ports: 3"),
            ("web:\n  ports: !reset []\n  image: !reset null\n", "command: x"),
            ("web: { image: !reset null, ports: !override [3], command: [a] }\n", "command: a; ports: 3"),
            ("web:\n  ports: !override\n    - 3\n", "image: a; command: x; ports: 3"),
        ] {
            assert_eq!(merged(first, second), expected, "{second}");
        }
    }
}
