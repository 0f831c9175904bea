//! A module and a target as people see them: what was written, without secrets.

use std::borrow::Cow;

use kit::config::{Node, Value};

/// What stands in a secret's place, as in blackbox_exporter.
const HIDDEN: &str = "<secret>";
/// Options that are secret, or may hold a secret anywhere: a password is sent like any other text.
const SECRETS: [&str; 8] =
    ["password", "credentials", "bearer_token", "client_secret", "secrets", "key", "send", "body"];
/// Options whose values are secret, whatever their keys are.
const SECRET_MAPS: [&str; 2] = ["proxy_connect_header", "endpoint_params"];
/// Options whose keys are names of headers.
const HEADERS: [&str; 3] = ["headers", "http_headers", "metadata"];
/// A header with one of these words in its name may sign somebody in.
const SIGNING: [&str; 10] =
    ["auth", "token", "key", "secret", "cookie", "pass", "credential", "session", "signature", "assertion"];

/// Writes a node as YAML, each line behind `indent` spaces.
pub(super) fn yaml(node: &Node, indent: usize) -> String {
    let mut out = String::new();
    write(node, indent, Keys::Options, &mut out);
    out
}

/// Returns a target or URL without what stands before `@` in its authority, with a scheme or without (RFC 3986 section 3.2).
/// As lenient as parsers of URLs are: slashes may lean either way, or be missing.
pub fn without_userinfo(text: &str) -> Cow<'_, str> {
    let is_scheme = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let start =
        text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).map_or(0, |(scheme, _)| scheme.len() + 3);
    let (scheme, rest) = text.split_at(start);
    let authority = rest.trim_start_matches(['/', '\\']);
    let slashes = rest.strip_suffix(authority).unwrap_or_default();
    let (authority, path) = authority.split_at(authority.find(['/', '\\', '?', '#']).unwrap_or(authority.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{scheme}{slashes}***@{host}{path}")),
        None => Cow::Borrowed(text),
    }
}

/// What the keys of a mapping are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Options,
    /// Names of headers; some sign somebody in.
    Headers,
    /// Names of secrets.
    Secrets,
}

impl Keys {
    /// Those of the mapping that stands at this option.
    fn of(option: &str) -> Self {
        match option {
            option if HEADERS.contains(&option) => Self::Headers,
            option if SECRET_MAPS.contains(&option) => Self::Secrets,
            _ => Self::Options,
        }
    }

    fn is_secret(self, key: &str) -> bool {
        match self {
            Self::Options => SECRETS.contains(&key),
            Self::Headers => is_signing(key),
            Self::Secrets => true,
        }
    }
}

fn write(node: &Node, indent: usize, keys: Keys, out: &mut String) {
    let pad = " ".repeat(indent);
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                out.push_str(&format!("{pad}{}:", key(&entry.key)));
                match &entry.node.value {
                    Value::Null => out.push('\n'),
                    _ if keys.is_secret(&entry.key) => out.push_str(&format!(" {HIDDEN}\n")),
                    Value::Text(text) if entry.key.ends_with("_url") => {
                        out.push_str(&format!(" {}\n", quoted(&without_userinfo(text))));
                    }
                    _ => below(&entry.node, indent, Keys::of(&entry.key), out),
                }
            }
        }
        Value::List(items) => {
            for item in items {
                let mut text = String::new();
                write(item, indent + 2, Keys::Options, &mut text);
                let text = text.strip_prefix(&" ".repeat(indent + 2)).unwrap_or(&text);
                out.push_str(&format!("{pad}- {text}"));
            }
        }
        _ => out.push_str(&format!("{pad}{}\n", scalar(node))),
    }
}

fn below(node: &Node, indent: usize, keys: Keys, out: &mut String) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            write(node, indent + 2, keys, out);
        }
        Value::List(items) if !items.is_empty() => {
            out.push('\n');
            write(node, indent + 2, Keys::Options, out);
        }
        Value::Map(_) => out.push_str(" {}\n"),
        Value::List(_) => out.push_str(" []\n"),
        _ => out.push_str(&format!(" {}\n", scalar(node))),
    }
}

/// Whether a header with this name may sign somebody in.
pub(super) fn is_signing(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SIGNING.iter().any(|word| name.contains(word))
}

pub(super) fn key(text: &str) -> String {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if is_plain { text.to_owned() } else { in_quotes(text) }
}

fn scalar(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => quoted(text),
        _ => node.scalar_text().unwrap_or_else(|| "null".to_owned()),
    }
}

fn quoted(text: &str) -> String {
    let text = kit::secrets::redact(text);
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !text.chars().any(is_unprintable)
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.into_owned() } else { in_quotes(&text) }
}

/// YAML reads what JSON writes, but for some characters that JSON leaves as they are.
fn in_quotes(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let written = |c: char| if is_unprintable(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    quoted.chars().map(written).collect()
}

/// YAML 1.2 section 5.1; a byte order mark counts only at the beginning.
fn is_unprintable(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_host_is_not_shown() {
        for (text, expected) in [
            ("bob:s3cret@127.0.0.1:1/", "***@127.0.0.1:1/"),
            ("https://TOKEN@a.example/x?y#z", "https://***@a.example/x?y#z"),
            ("http:///me:a@b@host", "http:///***@host"),
            ("HTTP://me:a\\b@host", "HTTP://me:a\\b@host"),
            ("me:pw@host/?u=http://x", "***@host/?u=http://x"),
            ("/run/a@b.sock", "/run/a@b.sock"),
            ("http://host/a@b", "http://host/a@b"),
            ("host:80?q=a@b", "host:80?q=a@b"),
        ] {
            assert_eq!(without_userinfo(text), expected);
        }
    }

    #[test]
    fn what_may_sign_somebody_in_is_not_shown() {
        let text = "http:\n  proxy_url: http://pu:pw1@proxy:3128\n  headers: { apikey: pw2, Token: pw3, X-Auth: pw4, Accept: '*/*' }\n  \
                    http_headers: { X-Key: { values: [pw5] } }\n  body: password=pw6\n  \
                    proxy_connect_header: { X: [pw10] }\n  oauth2: { client_id: me, client_secret: pw11, endpoint_params: { a: pw12 } }\n  tls_config: { key: pw7, key_file: /k, cert: c }\n\
                    tcp: { query_response: [{ send: PASS pw8, expect: ^ok }] }\ngrpc: { metadata: { token: [pw9] } }\n";
        let shown = yaml(&Node::parse("m.yml", text).unwrap(), 0);
        assert!(!shown.contains("pw"), "{shown}");
        for kept in [
            "proxy_url: http://***@proxy:3128\n",
            "Accept: \"*/*\"\n",
            "key_file: /k\n",
            "cert: c\n",
            "client_id: me\n",
        ] {
            assert!(shown.contains(kept), "{kept} in {shown}");
        }
    }

    #[test]
    fn names_and_texts_of_any_characters_read_back() {
        for name in [
            "with spaces",
            "a\u{1}\u{7f}\u{a0}\u{200b}",
            "say \"no\"",
            "a\\b",
            "",
            "x: y",
            "\u{85}\u{2028}é",
            "a\u{ffff}\u{feff}",
        ] {
            let node = Node::parse("m.yml", &format!("{}: 1\n", key(name))).unwrap();
            assert!(node.child(name).is_some(), "{name:?} in {node:?}");
            let node = Node::parse("m.yml", &format!("a: {}\n", quoted(name))).unwrap();
            assert_eq!(node.child("a").unwrap().value, Value::Text(name.to_owned()));
        }
    }

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
