//! Writes YAML that a person would write: block style, quotes only as JSON has them.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Writes a mapping.
pub(super) fn write(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    mapping(map, 0, &mut out);
    out.trim_end().to_owned()
}

fn mapping(map: &Map<String, Value>, depth: usize, out: &mut String) {
    for (key, value) in map {
        let _infallible = write!(out, "{}{}:", "  ".repeat(depth), name(key));
        below(value, depth, out);
    }
}

/// Short things stand in the same line, longer ones below.
fn below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            mapping(map, depth + 1, out);
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            out.push('\n');
            for item in items {
                let mut text = String::new();
                match item {
                    Value::Object(map) => mapping(map, depth + 2, &mut text),
                    other => text = format!("{}{}\n", "  ".repeat(depth + 2), scalar(other)),
                }
                let _infallible = write!(out, "{}- {}", "  ".repeat(depth + 1), text.trim_start());
            }
        }
        other => {
            let _infallible = writeln!(out, " {}", scalar(other));
        }
    }
}

/// Writes a value into one line.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", name(key), flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => scalar(other),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn name(key: &str) -> String {
    if is_plain(key) { key.to_owned() } else { Value::from(key).to_string() }
}

/// Text that YAML reads as this very text wherever it stands, also in a list.
fn is_plain(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@');
    let looks_like_another =
        matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "~") || text.parse::<f64>().is_ok();
    !text.is_empty()
        && text.chars().all(is_word)
        && (text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') || is_duration(text))
        && !looks_like_another
}

/// `30s`, which no reader takes for a number.
fn is_duration(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < text.len() && matches!(unit, "ms" | "s" | "m" | "h" | "d" | "w")
}

#[cfg(test)]
mod tests {
    use kit::config::Node;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({
            "channels": { "ops": { "webhook": { "url": "http://x/?a=b", "n": 5, "empty": "", "no": "no", "every": "30s", "hex": "0x1" } } },
            "routes": [{ "to": ["ops", "1"], "match": { "severity": ["page", "ticket"] }, "routes": [{ "to": ["x: y"] }] }],
            "nothing": [],
        });
        let text = write(value.as_object().unwrap());
        let node = Node::parse("m.yml", &text).unwrap_or_else(|(place, message)| panic!("{place}: {message}\n{text}"));
        assert_eq!(node.to_json(), value, "{text}");
        let text = flow(&value);
        let node = Node::parse("m.yml", &text).unwrap_or_else(|(place, message)| panic!("{place}: {message}\n{text}"));
        assert_eq!(node.to_json(), value, "{text}");
    }
}
