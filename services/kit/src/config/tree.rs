//! The located tree that YAML is read into, before anybody decides what its keys mean.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// File (or variable), line and column, both from 1; line 0 means "the whole file".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// File path as the user gave it, or `environment VARIABLE`.
    pub file: Arc<str>,
    /// Line from 1.
    pub line: u64,
    /// Column from 1, in characters.
    pub column: u64,
}

impl Place {
    /// Returns a place that means the whole of `file`.
    pub fn whole(file: &str) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}:{}", self.file, self.line, self.column) }
    }
}

/// One YAML node and where it stands.
#[derive(Clone)]
pub struct Node {
    /// Where the value begins (for an alias: where it is used).
    pub place: Place,
    /// What it holds.
    pub value: Value,
    /// The `${…}` text this value came from, if any: messages show this instead of the value.
    pub substituted: Option<String>,
}

impl fmt::Debug for Node {
    /// A substituted value may be a secret: only its variable is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Node");
        shown.field("place", &self.place);
        match &self.substituted {
            Some(variable) => shown.field("substituted", variable).finish_non_exhaustive(),
            None => shown.field("value", &self.value).finish(),
        }
    }
}

/// What a node holds. Numbers keep the text they were written as.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number, with its text as far as known.
    Float(f64),
    /// Text, quoted or plain.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in file order.
    Map(Vec<Entry>),
    /// A value that could not be had (an unset variable); that was reported already, so nobody reports it again.
    Broken,
}

/// One key of a mapping.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub key_place: Place,
    /// Its value.
    pub node: Node,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.node == other.node
    }
}

impl Node {
    /// Reads one YAML document. An empty document is an empty mapping.
    ///
    /// # Errors
    /// The place and the parser's words.
    pub fn parse(file: &str, text: &str) -> Result<Self, (Place, String)> {
        let file: Arc<str> = file.into();
        // `no`, `on` and `y` are words, as in YAML 1.2: a country is not false.
        let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
        let parsed: Result<Option<Spanned<Raw>>, _> = serde_saphyr::from_str_with_options(text, options);
        match parsed {
            Ok(Some(raw)) => Ok(raw_node(&file, raw)),
            Ok(None) => Ok(Self { place: Place::whole(&file), value: Value::Map(Vec::new()), substituted: None }),
            Err(error) => {
                let place = match error.location() {
                    Some(at) => Place { file: file.clone(), line: at.line(), column: at.column() },
                    None => Place::whole(&file),
                };
                Err((place, plain_message(&error)))
            }
        }
    }

    /// Returns the value under `key`, if this is a mapping that has it.
    pub fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// Returns this node with every text below it, keys aside, as `replace` gives it; none leaves a text as it is.
    #[must_use]
    pub fn map_texts(&self, replace: &impl Fn(&str) -> Option<String>) -> Node {
        let value = match &self.value {
            Value::Text(text) => replace(text).map_or_else(|| self.value.clone(), Value::Text),
            Value::List(items) => Value::List(items.iter().map(|item| item.map_texts(replace)).collect()),
            Value::Map(entries) => {
                let map = |entry: &Entry| Entry { node: entry.node.map_texts(replace), ..entry.clone() };
                Value::Map(entries.iter().map(map).collect())
            }
            other => other.clone(),
        };
        Node { place: self.place.clone(), value, substituted: self.substituted.clone() }
    }

    /// Names the type for a message: "a number", "a list" and so on.
    pub fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null | Value::Broken => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Returns the value as a message may show it: substituted values by the name of their variable, long text cut.
    pub fn shown(&self) -> String {
        if let Some(variable) = &self.substituted {
            return format!("the value of {variable}");
        }
        match &self.value {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(text) if text.chars().count() > 60 => {
                format!("{:?}…", text.chars().take(60).collect::<String>())
            }
            Value::Text(text) => format!("{text:?}"),
            _ => self.type_name().to_owned(),
        }
    }

    /// Returns a scalar's text; `None` for lists, mappings and nothing.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::Broken | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Converts to JSON, for values that are compared with JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Broken => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect())
            }
        }
    }
}

/// The parser's message without its own rendering of the place.
fn plain_message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first_line = text.lines().next().unwrap_or("not valid YAML");
    let message = first_line.strip_prefix("error: ").unwrap_or(first_line);
    // The place is told apart; "… at line 3, column 5" would say it twice.
    let message = message.split_once(" at line ").map_or(message, |(message, _)| message);
    let duplicate = message.strip_prefix("duplicate mapping key: ").and_then(|rest| rest.split_once(", "));
    match duplicate {
        Some((key, _)) => format!("the key {key:?} stands here a second time; keep one of the two"),
        None => format!("this is not YAML: {message}"),
    }
}

enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn raw_node(file: &Arc<str>, raw: Spanned<Raw>) -> Node {
    let place = |at: serde_saphyr::Location| Place { file: file.clone(), line: at.line(), column: at.column() };
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Int(value) => Value::Int(value),
        Raw::Float(value) => Value::Float(value),
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| raw_node(file, item)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key_place: place(key.referenced),
                    key: key.value,
                    node: raw_node(file, value),
                })
                .collect(),
        ),
    };
    Node { place: place(raw.referenced), value, substituted: None }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        // Beyond i64 only text keeps every digit.
        Ok(i64::try_from(value).map_or_else(|_| Raw::Text(value.to_string()), Raw::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_key_knows_its_line_and_column() {
        let node = Node::parse("a.yml", "top:\n  list: [1, two]\n  key: 1.5\n").unwrap();
        let top = node.child("top").unwrap();
        assert_eq!(top.child("key").unwrap().place.to_string(), "a.yml:3:8");
        let Value::List(items) = &top.child("list").unwrap().value else { panic!("a list") };
        assert_eq!(items[1].place.to_string(), "a.yml:2:13");
        let Value::Map(entries) = &top.value else { panic!("a mapping") };
        assert_eq!(entries[1].key_place.to_string(), "a.yml:3:3");
    }

    #[test]
    fn anchors_and_merge_keys_are_followed() {
        let node = Node::parse("a.yml", "base: &b { x: 1 }\nuse:\n  <<: *b\n  y: 2\n").unwrap();
        assert_eq!(node.child("use").unwrap().child("x").unwrap().value, Value::Int(1));
    }

    #[test]
    fn broken_yaml_says_where() {
        let (place, message) = Node::parse("a.yml", "a: [1, 2\nb: 3\n").unwrap_err();
        assert!(place.line >= 1, "{place}: {message}");
        let (place, message) = Node::parse("a.yml", "a: 1\na: 2\n").unwrap_err();
        assert_eq!(place.to_string(), "a.yml:2:1", "{message}");
        assert_eq!(message, "the key \"a\" stands here a second time; keep one of the two");
    }

    #[test]
    fn an_empty_file_is_an_empty_mapping() {
        assert_eq!(Node::parse("a.yml", "# nothing\n").unwrap().value, Value::Map(Vec::new()));
    }
}
