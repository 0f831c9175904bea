//! Puts a check into the text of a configuration, where a person would: comments, order and style stay as they are.
//!
//! It knows the common shapes of YAML, not all. What it makes is read again before it is kept.

use kit::config::{Node, Place, Value};
use serde_json::{Value as Json, json};

use super::super::yaml;

/// Returns the text with a check added.
///
/// # Errors
/// One sentence if the check is there already, or something that is no mapping stands in its way.
pub(super) fn check(text: &str, root: &Node, service: &str, name: &str, settings: &Json) -> Result<String, String> {
    let mut here = root;
    let mut key_indent = None;
    let path = ["services", service, "checks", name];
    let mut steps = path.as_slice();
    while let [step, rest @ ..] = steps {
        let Value::Map(entries) = &here.value else {
            if here.value == Value::Null {
                return Ok(under_empty(text, here, key_indent, &wrapped(steps, settings)));
            }
            return Err(format!("{}: expected a mapping, found {}", here.place, here.type_name()));
        };
        match entries.iter().find(|entry| entry.key == **step) {
            Some(entry) if rest.is_empty() => {
                return Err(format!("{}: there is a check {service}/{name} already", entry.key_place));
            }
            Some(entry) => {
                key_indent = Some(indent_of(&entry.key_place));
                here = &entry.node;
                steps = rest;
            }
            None => return Ok(into(text, here, key_indent, &wrapped(steps, settings))),
        }
    }
    Err("nothing to add".to_owned())
}

/// The value under the keys that are not there yet.
fn wrapped(missing: &[&str], settings: &Json) -> (String, Json) {
    let (first, rest) = missing.split_first().map_or(("", missing), |(first, rest)| (*first, rest));
    let value = rest.iter().rev().fold(settings.clone(), |value, key| json!({ *key: value }));
    (first.to_owned(), value)
}

/// Adds an entry to a mapping: after its last one, or behind the brace that opens it.
fn into(text: &str, mapping: &Node, key_indent: Option<usize>, (key, value): &(String, Json)) -> String {
    let Value::Map(entries) = &mapping.value else { return text.to_owned() };
    let brace = offset(text, line_of(&mapping.place), indent_of(&mapping.place));
    if brace.is_some_and(|at| text[at..].starts_with('{')) {
        let at = brace.unwrap_or_default() + 1;
        let (before, after) = text.split_at(at);
        if entries.is_empty() && key_indent.is_some() {
            // An empty pair of braces opens into a block.
            let after = after.trim_start().strip_prefix('}').unwrap_or(after);
            let before = before.trim_end_matches('{').trim_end();
            let indent = key_indent.unwrap_or_default() + 2;
            return format!("{before}\n{}{}", block(key, value, indent), after.trim_start_matches([' ', '\n']));
        }
        let comma = if entries.is_empty() { "" } else { "," };
        return format!("{before} {}: {}{comma}{after}", yaml::flow(&Json::from(key.as_str())), yaml::flow(value));
    }
    let Some(last) = entries.last() else {
        return under_empty(text, mapping, key_indent, &(key.clone(), value.clone()));
    };
    let indent = indent_of(&last.key_place);
    let lines: Vec<&str> = text.lines().collect();
    let end = end_of_block(&lines, line_of(&last.key_place), indent);
    join(&lines, end, &block(key, value, indent))
}

/// Adds the first entry below a key that has no value.
fn under_empty(text: &str, node: &Node, key_indent: Option<usize>, (key, value): &(String, Json)) -> String {
    let lines: Vec<&str> = text.lines().collect();
    match key_indent {
        Some(indent) => join(&lines, line_of(&node.place), &block(key, value, indent + 2)),
        None => join(&lines, lines.len(), &block(key, value, 0)),
    }
}

/// Returns behind which line a block ends whose last key stands in `line`: the last one that is further in and says something.
fn end_of_block(lines: &[&str], line: usize, indent: usize) -> usize {
    let mut end = line;
    for (index, text) in lines.iter().enumerate().skip(line) {
        let content = text.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if text.len() - content.len() <= indent {
            break;
        }
        end = index + 1;
    }
    end
}

fn block(key: &str, value: &Json, indent: usize) -> String {
    let mut map = serde_json::Map::new();
    map.insert(key.to_owned(), value.clone());
    let written = yaml::write(&map);
    written.lines().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect()
}

fn join(lines: &[&str], at: usize, block: &str) -> String {
    let at = at.min(lines.len());
    let line = |line: &&str| format!("{line}\n");
    let before: String = lines.iter().take(at).map(line).collect();
    let after: String = lines.iter().skip(at).map(line).collect();
    format!("{before}{block}{after}")
}

/// The line, from 1.
fn line_of(place: &Place) -> usize {
    usize::try_from(place.line).unwrap_or(usize::MAX)
}

/// How many characters stand before it in its line.
fn indent_of(place: &Place) -> usize {
    usize::try_from(place.column.saturating_sub(1)).unwrap_or(usize::MAX)
}

/// The byte in a line, from 1, behind so many characters.
fn offset(text: &str, line: usize, characters: usize) -> Option<usize> {
    let start: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let rest = text.get(start..)?;
    rest.char_indices().nth(characters).map(|(at, _)| start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn adds(before: &str, name: &str, after: &str) {
        let root = Node::parse("m.yml", before).unwrap();
        let (service, check_name) = name.split_once('/').unwrap();
        let settings = json!({ "tcp": { "address": "db:5432" } });
        let added = check(before, &root, service, check_name, &settings).unwrap();
        assert_eq!(added, after, "\n{added}");
        let read = Node::parse("m.yml", &added).unwrap();
        let found = ["services", service, "checks", check_name].iter().try_fold(&read, |node, key| node.child(key));
        assert_eq!(found.map(Node::to_json), Some(settings), "{added}");
    }

    const NEW: &str = "        tcp:\n          address: \"db:5432\"\n";

    #[test]
    fn a_check_goes_where_a_person_would_write_it() {
        adds("", "db/port", &format!("services:\n  db:\n    checks:\n      port:\n{NEW}"));
        adds("listen: x\n", "db/port", &format!("listen: x\nservices:\n  db:\n    checks:\n      port:\n{NEW}"));
        adds("services:\n", "db/port", &format!("services:\n  db:\n    checks:\n      port:\n{NEW}"));
        adds("services: {}\n", "db/port", &format!("services:\n  db:\n    checks:\n      port:\n{NEW}"));
        adds(
            "services:\n  web: # the shop\n    checks:\n      page: { http: { url: x } }\n\n# who is told\nchannels: {}\n",
            "db/port",
            &format!(
                "services:\n  web: # the shop\n    checks:\n      page: {{ http: {{ url: x }} }}\n  db:\n    checks:\n      port:\n{NEW}\n# who is told\nchannels: {{}}\n"
            ),
        );
        adds(
            "services:\n  db:\n    about: data\n    checks:\n      old:\n        exec: { command: [a] }\n    needs: [x]\n  web: {}\n",
            "db/port",
            &format!(
                "services:\n  db:\n    about: data\n    checks:\n      old:\n        exec: {{ command: [a] }}\n      port:\n{NEW}    needs: [x]\n  web: {{}}\n"
            ),
        );
        adds(
            "services:\n  db:\n    workload: { unit: a }\n",
            "db/port",
            &format!("services:\n  db:\n    workload: {{ unit: a }}\n    checks:\n      port:\n{NEW}"),
        );
        adds(
            "services:\n  db: { checks: { old: { exec: { command: [a] } } } }\n",
            "db/port",
            "services:\n  db: { checks: { port: { tcp: { address: \"db:5432\" } }, old: { exec: { command: [a] } } } }\n",
        );
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let text = "services:\n  db: { checks: { port: { tcp: { address: x } } } }\n  web: none\n";
        let root = Node::parse("m.yml", text).unwrap();
        let add = |service: &str| check(text, &root, service, "port", &json!({}));
        assert_eq!(add("db"), Err("m.yml:2:19: there is a check db/port already".to_owned()));
        assert_eq!(add("web"), Err("m.yml:3:8: expected a mapping, found text".to_owned()));
    }
}
