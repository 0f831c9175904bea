//! Alertmanager's webhook payload, version 4, so that receivers written for it take ours
//! (prometheus.io/docs/alerting/latest/configuration, "webhook_config").

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::alert::message::{AlertPart, Message, Status};

/// How Alertmanager writes "not yet".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Builds the payload.
pub(super) fn payload(message: &Message) -> Value {
    let alerts: Vec<Value> = message.alerts.iter().map(alert).collect();
    json!({
        "version": "4",
        "groupKey": group_key(message),
        "truncatedAlerts": message.truncated,
        "status": message.status,
        "receiver": message.channel,
        "groupLabels": message.group_labels,
        "commonLabels": common(message, labels),
        "commonAnnotations": common(message, annotations),
        "externalURL": message.page_url.clone().unwrap_or_default(),
        "alerts": alerts,
    })
}

/// Stays the same from opening to resolution of what the group tells of.
fn group_key(message: &Message) -> String {
    match message.alerts.as_slice() {
        [only] => format!("{{}}:{{incident={:?}}}", only.incident.to_string()),
        _ => {
            let labels = message.group_labels.iter().map(|(name, value)| format!("{name}={value:?}"));
            format!("{{}}:{{{}}}", labels.collect::<Vec<_>>().join(", "))
        }
    }
}

fn alert(part: &AlertPart) -> Value {
    let labels = labels(part);
    // A late message of an opening still fires; its end comes with its own message.
    let ends_at = part.resolved.filter(|_| part.status == Status::Resolved);
    json!({
        "status": part.status,
        "startsAt": part.opened.to_string(),
        "endsAt": ends_at.map_or_else(|| NEVER.to_owned(), |at: Timestamp| at.to_string()),
        "generatorURL": part.links.incident.clone().or_else(|| part.links.source.clone()).unwrap_or_default(),
        "fingerprint": fingerprint(&labels),
        "labels": labels,
        "annotations": annotations(part),
    })
}

/// Returns the labels of an alert.
pub(super) fn labels(part: &AlertPart) -> Map<String, Value> {
    let mut labels: Map<String, Value> =
        part.labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    labels.insert("alertname".to_owned(), part.name.clone().into());
    labels.insert("severity".to_owned(), part.severity.as_str().into());
    if let Some(service) = &part.service {
        labels.insert("service".to_owned(), service.clone().into());
    }
    labels
}

/// Returns the annotations of an alert.
pub(super) fn annotations(part: &AlertPart) -> Map<String, Value> {
    let mut annotations = Map::new();
    annotations.insert("summary".to_owned(), part.title.clone().into());
    if !part.description.is_empty() {
        annotations.insert("description".to_owned(), part.description.clone().into());
    }
    if !part.impacted.is_empty() {
        annotations.insert("impacted".to_owned(), part.impacted.join(", ").into());
    }
    annotations
}

fn common(message: &Message, of: fn(&AlertPart) -> Map<String, Value>) -> Map<String, Value> {
    let mut maps = message.alerts.iter().map(of);
    let mut common = maps.next().unwrap_or_default();
    for map in maps {
        common.retain(|name, value| map.get(name) == Some(value));
    }
    common
}

/// Alertmanager's fingerprint of a label set: FNV-1a (64 bit) over the sorted names and values, each followed by 0xFF
/// (github.com/prometheus/common, model/fingerprinting.go; reproduced against Alertmanager 0.25).
pub(super) fn fingerprint(labels: &Map<String, Value>) -> String {
    let mut names: Vec<&String> = labels.keys().collect();
    names.sort_unstable();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut take = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for name in names {
        take(name.as_bytes());
        take(labels.get(name).and_then(Value::as_str).unwrap_or_default().as_bytes());
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_alertmanagers() {
        let labels = json!({"alertname": "Demo", "instance": "a", "severity": "warning"});
        assert_eq!(fingerprint(labels.as_object().unwrap()), "c4f6e6fff971f854");
    }
}
