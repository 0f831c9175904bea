//! A mapping of another tool, key by key: what nobody takes has no equivalent, and is said.

use serde_json::{Map, Value};

/// What is left of it.
pub(super) struct Keys {
    /// Whose keys they are, for people.
    pub(super) who: String,
    map: Map<String, Value>,
}

impl Keys {
    pub(super) fn new(who: impl Into<String>, value: &Value) -> Self {
        Self { who: who.into(), map: value.as_object().cloned().unwrap_or_default() }
    }

    /// Takes a value; none if nothing stands there.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// Takes a text; a number or a truth value counts as its text, an empty text as none.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let text = match self.take(key)? {
            Value::String(text) => text,
            value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
            _ => return None,
        };
        (!text.trim().is_empty()).then_some(text)
    }

    /// Takes a truth value, also one that databases write as a number.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.take(key)? {
            Value::Bool(value) => Some(value),
            Value::Number(number) => Some(number.as_i64() != Some(0)),
            Value::String(text) => Some(text == "true" || text == "1"),
            _ => None,
        }
    }

    /// Takes a whole number, also one that is written as a text.
    pub(super) fn whole(&mut self, key: &str) -> Option<u64> {
        self.text(key)?.trim().parse().ok()
    }

    /// Takes a list.
    pub(super) fn list(&mut self, key: &str) -> Vec<Value> {
        match self.take(key) {
            Some(Value::Array(items)) => items,
            Some(value) => vec![value],
            None => Vec::new(),
        }
    }

    /// Returns whether something stands under a key of a mapping.
    pub(super) fn has_below(&self, key: &str, below: &str) -> bool {
        self.map.get(key).and_then(|map| map.get(below)).is_some_and(|value| !value.is_null())
    }

    /// Takes a mapping.
    pub(super) fn keys(&mut self, key: &str) -> Self {
        let value = self.take(key).unwrap_or_default();
        Self::new(format!("{}: {key}", self.who), &value)
    }

    /// Returns everything that is left.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.map
    }

    /// Says what nobody took; what is off or empty is as if it were not written.
    pub(super) fn end(self, left_out: &mut Vec<String>) {
        let is_nothing = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let left = self.map.into_iter().filter(|(_, value)| !is_nothing(value));
        left_out.extend(left.map(|(key, _)| format!("{}: {key}", self.who)));
    }
}
