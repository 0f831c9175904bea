//! Rows of Kuma, by the names that its database has for them, wherever they come from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::secrets::without_variables;

/// What is read of a database.
pub(super) const WANTED: [&str; 10] = [
    "monitor",
    "notification",
    "monitor_notification",
    "proxy",
    "docker_host",
    "tag",
    "monitor_tag",
    "maintenance",
    "monitor_maintenance",
    "status_page",
];

/// Tables with their rows; each row is a mapping.
#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<String, Vec<Value>>);

impl Tables {
    /// Adds a row. A `${` in it is a text, and is written as ours has such.
    pub(super) fn add(&mut self, table: &str, mut row: Value) {
        without_variables(&mut row);
        self.0.entry(table.to_owned()).or_default().push(row);
    }

    pub(super) fn all(&self, table: &str) -> &[Value] {
        self.0.get(table).map_or(&[], Vec::as_slice)
    }

    pub(super) fn take(&mut self, table: &str) -> Vec<Value> {
        self.0.remove(table).unwrap_or_default()
    }

    /// Finds a row by its id.
    pub(super) fn find(&self, table: &str, wanted: i64) -> Option<&Value> {
        self.all(table).iter().find(|row| id(row, "id") == Some(wanted))
    }

    /// Returns what a table of pairs joins with `wanted`.
    pub(super) fn joined(&self, table: &str, key: &str, wanted: i64, other: &str) -> Vec<i64> {
        let rows = self.all(table).iter().filter(|row| id(row, key) == Some(wanted));
        rows.filter_map(|row| id(row, other)).collect()
    }
}

/// A text that is not empty; a number counts as its text.
pub(super) fn text(row: &Value, key: &str) -> Option<String> {
    match row.get(key)? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number.
pub(super) fn id(row: &Value, key: &str) -> Option<i64> {
    let value = row.get(key)?;
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A whole number that is not negative.
pub(super) fn count(row: &Value, key: &str) -> Option<u64> {
    id(row, key).and_then(|number| u64::try_from(number).ok())
}

/// A truth value, which databases write as 0 or 1.
pub(super) fn flag(row: &Value, key: &str) -> bool {
    match row.get(key) {
        Some(Value::Bool(value)) => *value,
        Some(Value::Number(number)) => number.as_i64() != Some(0),
        Some(Value::String(text)) => text == "1" || text == "true",
        _ => false,
    }
}

/// A list or mapping that databases write as a text.
pub(super) fn nested(row: &Value, key: &str) -> Value {
    match row.get(key) {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(value) => value.clone(),
        None => Value::Null,
    }
}
