//! A backup of Uptime Kuma 1.x (JSON): the same rows as its database has, under other names.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::tables::{Tables, id};

/// Reads it.
///
/// # Errors
/// It cannot be read, or is something else.
pub(super) fn read(file: &Path) -> Result<Tables, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let what = "give kuma.db, or the backup that version 1 makes";
    let backup: Value = serde_json::from_str(&text).map_err(|error| {
        // The place is told apart.
        let full = error.to_string();
        let why = full.split(" at line ").next().unwrap_or_default();
        format!("{shown}:{}:{}: neither a database nor JSON ({why}); {what}", error.line(), error.column())
    })?;
    let Some(monitors) = backup.get("monitorList").and_then(Value::as_array) else {
        return Err(format!("{shown}: there is no monitorList; {what}"));
    };
    let mut tables = Tables::default();
    for monitor in monitors {
        let Some(monitor) = monitor.as_object() else { continue };
        let row: Map<String, Value> = monitor.iter().map(|(key, value)| (snake(key), value.clone())).collect();
        let row = Value::Object(row);
        let told = monitor.get("notificationIDList").and_then(Value::as_object);
        for (notification, is_told) in told.into_iter().flatten() {
            if *is_told == Value::Bool(true) {
                let pair = json!({ "monitor_id": id(&row, "id"), "notification_id": notification });
                tables.add("monitor_notification", pair);
            }
        }
        for (at, tag) in monitor.get("tags").and_then(Value::as_array).into_iter().flatten().enumerate() {
            // Tags are written out at each monitor.
            let made = id(&row, "id").unwrap_or_default() * 1000 + i64::try_from(at).unwrap_or_default();
            tables.add("tag", json!({ "id": made, "name": tag.get("name") }));
            tables
                .add("monitor_tag", json!({ "monitor_id": id(&row, "id"), "tag_id": made, "value": tag.get("value") }));
        }
        tables.add("monitor", row);
    }
    for (list, table) in [("notificationList", "notification"), ("proxyList", "proxy")] {
        for row in backup.get(list).and_then(Value::as_array).into_iter().flatten() {
            tables.add(table, row.clone());
        }
    }
    Ok(tables)
}

/// `retryInterval` is `retry_interval`.
fn snake(key: &str) -> String {
    let mut out = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
