//! Puts a check into the text of a configuration, where a person would: comments, order and style stay as they are.
//!
//! It knows the common shapes of YAML, not all. What it makes is read again before it is kept.

use kit::config::{Node, Place, Value};
use serde_json::{Value as Json, json};

use super::super::yaml;

/// Returns the text with a check added.
///
/// # Errors
/// One sentence if the check is there already, if something that is no mapping stands in its way, or if the text is written in
/// a way that this does not know.
pub(super) fn check(text: &str, root: &Node, service: &str, name: &str, settings: &Json) -> Result<String, String> {
    let path = ["services", service, "checks", name];
    let added = put(text, root, &path, settings)?;
    let mut expected = root.to_json();
    insert(&mut expected, &path, settings);
    let read = Node::parse("m.yml", &added).map(|node| node.to_json());
    if read != Ok(expected) {
        let file = &root.place.file;
        let entry = yaml::write(&map_of(wrapped(&path, settings)));
        return Err(format!(
            "{file} is written in a way that this command cannot add to; nothing was changed. Add it by hand:\n{entry}"
        ));
    }
    Ok(added)
}

/// What the configuration must be when it is read again: nothing else may have changed.
fn insert(json: &mut Json, path: &[&str], settings: &Json) {
    if !json.is_object() {
        *json = json!({});
    }
    let ([key, rest @ ..], Some(map)) = (path, json.as_object_mut()) else { return };
    if rest.is_empty() {
        map.insert((*key).to_owned(), settings.clone());
    } else {
        insert(map.entry(*key).or_insert(Json::Null), rest, settings);
    }
}

fn put(text: &str, root: &Node, path: &[&str], settings: &Json) -> Result<String, String> {
    let mut here = root;
    let mut key_indent = None;
    let mut steps = path;
    while let [step, rest @ ..] = steps {
        let Value::Map(entries) = &here.value else {
            if here.value == Value::Null {
                return Ok(under_empty(text, here, key_indent, &wrapped(steps, settings)));
            }
            return Err(format!("{}: expected a mapping, found {}", here.place, here.type_name()));
        };
        match entries.iter().find(|entry| entry.key == **step) {
            Some(entry) if rest.is_empty() => {
                let name = [path.get(1), path.last()].into_iter().flatten().copied().collect::<Vec<_>>().join("/");
                return Err(format!("{}: there is a check {name} already", entry.key_place));
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
fn into(text: &str, mapping: &Node, key_indent: Option<usize>, entry: &(String, Json)) -> String {
    let Value::Map(entries) = &mapping.value else { return text.to_owned() };
    let at = offset(text, line_of(&mapping.place), indent_of(&mapping.place));
    if let Some((before, after)) = at.and_then(|at| text.split_at_checked(at))
        && let Some(after) = after.strip_prefix('{')
    {
        return match (entries.is_empty(), key_indent, after.trim_start().strip_prefix('}')) {
            // An empty pair of braces opens into a block.
            (true, Some(indent), Some(after)) => opened(before, after, indent, entry),
            (is_empty, ..) => {
                let (key, value) = entry;
                let comma = if is_empty { "" } else { "," };
                let key = yaml::flow(&Json::from(key.as_str()));
                format!("{before}{{ {key}: {}{comma}{after}", yaml::flow(value))
            }
        };
    }
    let Some(last) = entries.last() else { return under_empty(text, mapping, key_indent, entry) };
    let indent = indent_of(&last.key_place);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    join(&lines, end_of_block(&lines, line_of(&last.key_place), indent), &block(entry, indent, ending(text)))
}

/// Adds the first entry below a key that has no value, or nothing (`~`, `null`) for one.
fn under_empty(text: &str, node: &Node, key_indent: Option<usize>, entry: &(String, Json)) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(indent) = key_indent else { return join(&lines, lines.len(), &block(entry, 0, ending(text))) };
    let at = offset(text, line_of(&node.place), indent_of(&node.place));
    if let Some((before, after)) = at.and_then(|at| text.split_at_checked(at)) {
        let words = ["~", "null", "Null", "NULL"];
        if let Some(after) = words.iter().find_map(|word| after.strip_prefix(word)) {
            return opened(before, after, indent, entry);
        }
    }
    join(&lines, line_of(&node.place), &block(entry, indent + 2, ending(text)))
}

/// Puts a block in place of what stood behind its key; a comment behind that stays there.
fn opened(before: &str, after: &str, indent: usize, entry: &(String, Json)) -> String {
    let (line, rest) = after.split_once('\n').unwrap_or((after, ""));
    let (before, line) = (before.trim_end(), line.trim_end());
    let ending = ending(&format!("{before}\n{after}"));
    format!("{before}{line}{ending}{}{rest}", block(entry, indent + 2, ending))
}

/// Returns behind which line a block ends whose last key stands in `line`: the last one that is further in and says something.
/// Items of a list may stand as far in as their key.
fn end_of_block(lines: &[&str], line: usize, indent: usize) -> usize {
    let mut end = line;
    for (index, text) in lines.iter().enumerate().skip(line) {
        let content = text.trim();
        let depth = text.len() - text.trim_start().len();
        if content.is_empty() || (content.starts_with('#') && depth <= indent) {
            continue;
        }
        let is_item = depth == indent && (content == "-" || content.starts_with("- "));
        if depth <= indent && !is_item {
            break;
        }
        end = index + 1;
    }
    end
}

fn block(entry: &(String, Json), indent: usize, ending: &str) -> String {
    let written = yaml::write(&map_of(entry.clone()));
    written.lines().map(|line| format!("{}{line}{ending}", " ".repeat(indent))).collect()
}

fn map_of((key, value): (String, Json)) -> serde_json::Map<String, Json> {
    std::iter::once((key, value)).collect()
}

/// How lines end in this text.
fn ending(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn join(lines: &[&str], at: usize, block: &str) -> String {
    let (before, after) = lines.split_at(at.min(lines.len()));
    let before = before.concat();
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { ending(&before) };
    format!("{before}{gap}{block}{}", after.concat())
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
    fn everything_else_stays_as_it_is() {
        let rest = "about: x\n    needs:\n    - web\n";
        for (before, after) in [
            ("checks: {}\n    ", "checks:\n      port:\n"),
            ("checks: { } # none\n    ", "checks: # none\n      port:\n"),
            ("checks: ~\n    ", "checks:\n      port:\n"),
            ("checks: null\n    ", "checks:\n      port:\n"),
        ] {
            let head = "services:\n  db:\n    ";
            adds(&format!("{head}{before}{rest}"), "db/port", &format!("{head}{after}{NEW}    {rest}"));
        }
        let listed = "services:\n  web:\n    checks: { a: { tcp: { address: x } } }\n    needs:\n    - db\n";
        adds(listed, "db/port", &format!("{listed}  db:\n    checks:\n      port:\n{NEW}"));
        let body = "services:\n  web:\n    checks:\n      a:\n        http:\n          body: |\n            one\n            # two\n\n# end\n";
        let (before, end) = body.split_at(body.len() - "\n# end\n".len());
        adds(body, "db/port", &format!("{before}  db:\n    checks:\n      port:\n{NEW}{end}"));
        let windows = "services:\r\n  web:\r\n    checks: {}\r\n";
        let added =
            format!("{windows}  db:\n    checks:\n      port:\n{NEW}").replace("\r\n", "\n").replace('\n', "\r\n");
        adds(windows, "db/port", &added);
    }

    #[test]
    fn what_cannot_be_added_to_is_left_alone_and_told() {
        let settings = json!({ "tcp": { "address": "db:5432" } });
        let add = |text: &str| check(text, &Node::parse("m.yml", text).unwrap(), "db", "port", &settings);
        let entry = "  db:\n    checks:\n      port:\n        tcp:\n          address: \"db:5432\"\n";
        let odd = "services:\n  web:\n    checks:\n      a:\n        http: { url: x, body: \"\n    two\" }\n";
        assert_eq!(add(odd), Ok(format!("{odd}{entry}")));
        // What is added to one would be added to the other.
        let why = "m.yml is written in a way that this command cannot add to; nothing was changed. Add it by hand:";
        let told = format!("{why}\nservices:\n{}", entry.trim_end());
        assert_eq!(add("services: &all\n  web: {}\nother: *all\n"), Err(told));
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
