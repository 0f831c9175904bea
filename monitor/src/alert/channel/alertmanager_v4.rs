//! Alertmanager's webhook payload, version 4, so that receivers written for it take ours
//! (prometheus.io/docs/alerting/latest/configuration, "webhook_config").

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::alert::alerts::{ORIGIN_LABEL, TRACE_ANNOTATION};
use crate::alert::fingerprint::fingerprint;
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
        "fingerprint": fingerprint(labels.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))),
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
    // Should it come back to us, it is known by this.
    annotations.insert(ORIGIN_LABEL.to_owned(), part.incident.to_string().into());
    if !part.impacted.is_empty() {
        annotations.insert("impacted".to_owned(), part.impacted.join(", ").into());
    }
    let trace_id = part.evidence.as_ref().map(|evidence| &evidence.trace_id).filter(|id| !id.is_empty());
    let seen = [
        (TRACE_ANNOTATION, trace_id),
        ("trace_url", part.links.trace.as_ref()),
        ("logs_url", part.links.logs.as_ref()),
    ];
    for (name, text) in seen.into_iter().filter_map(|(name, text)| Some((name, text?))) {
        annotations.insert(name.to_owned(), text.clone().into());
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
