//! A module as people see it: what the file says, without secrets.

use kit::config::{Node, Value};

/// What stands in a secret's place, as in blackbox_exporter.
const HIDDEN: &str = "<secret>";
/// Options that are secret.
const SECRETS: [&str; 5] = ["password", "credentials", "bearer_token", "client_secret", "secrets"];

/// Writes a node as YAML, each line behind `indent` spaces.
pub(super) fn yaml(node: &Node, indent: usize) -> String {
    let mut out = String::new();
    write(node, indent, &mut out);
    out
}

fn write(node: &Node, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let is_secret = SECRETS.contains(&entry.key.as_str()) || is_secret_header(&entry.key);
                out.push_str(&format!("{pad}{}:", key(&entry.key)));
                match &entry.node.value {
                    Value::Null => out.push('\n'),
                    _ if is_secret => out.push_str(&format!(" {HIDDEN}\n")),
                    _ => below(&entry.node, indent, out),
                }
            }
        }
        Value::List(items) => {
            for item in items {
                let mut text = String::new();
                write(item, indent + 2, &mut text);
                let text = text.strip_prefix(&" ".repeat(indent + 2)).unwrap_or(&text);
                out.push_str(&format!("{pad}- {text}"));
            }
        }
        _ => out.push_str(&format!("{pad}{}\n", scalar(node))),
    }
}

fn below(node: &Node, indent: usize, out: &mut String) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            write(node, indent + 2, out);
        }
        Value::List(items) if !items.is_empty() => {
            out.push('\n');
            write(node, indent + 2, out);
        }
        Value::Map(_) => out.push_str(" {}\n"),
        Value::List(_) => out.push_str(" []\n"),
        _ => out.push_str(&format!(" {}\n", scalar(node))),
    }
}

/// A header that signs somebody in.
fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["authorization", "cookie", "token", "secret", "api-key", "apikey", "password"];
    name.contains('-') && words.iter().any(|word| name.contains(word)) || ["authorization", "cookie"].contains(&&*name)
}

pub(super) fn key(text: &str) -> String {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if is_plain { text.to_owned() } else { format!("{text:?}") }
}

fn scalar(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => {
            let text = kit::secrets::redact(text);
            let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
                && !text.contains(": ")
                && !text.contains(" #")
                && !text.ends_with([':', ' '])
                && !text.chars().any(char::is_control)
                && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
            if is_plain { text.into_owned() } else { serde_json::to_string(&text).unwrap_or_default() }
        }
        _ => node.scalar_text().unwrap_or_else(|| "null".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back_the_same_without_its_secrets() {
        let text = "prober: http\ntimeout: 5s\nhttp:\n  valid_status_codes: [200, 201]\n  headers:\n    Authorization: abc\n    X: y\n  \
                    basic_auth: { username: u, password: p }\n  fail_if_header_matches:\n  - header: A\n    regexp: '^x: y'\n    allow_missing: true\n  bearer_token:\n";
        let node = Node::parse("m.yml", text).unwrap();
        let shown = yaml(&node, 0);
        let again = Node::parse("m.yml", &shown).unwrap_or_else(|error| panic!("{error:?} in {shown}"));
        let hidden = text.replace("abc", "<secret>").replace("password: p", "password: <secret>");
        assert_eq!(again, Node::parse("m.yml", &hidden).unwrap(), "{shown}");
    }
}
