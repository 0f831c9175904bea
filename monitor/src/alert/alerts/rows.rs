//! Incidents, events and deliveries as rows of the record, and back.

use serde::Serialize;

use crate::alert::delivery::Delivery;
use crate::alert::incident::Incident;
use crate::alert::tell::Changes;
use crate::record::{DeliveryRow, EventRow, IncidentRow, StateBatch};

/// Adds changes to a batch; returns the deliveries among them.
pub(super) fn keep(changes: Changes, batch: &mut StateBatch) -> Vec<Delivery> {
    for incident in &changes.incidents {
        batch.incidents.insert(incident.id, incident_row(incident));
    }
    for (incident, event) in &changes.events {
        let row = EventRow { incident: *incident, number: event.number, body: json(event) };
        batch.events.insert((*incident, event.number), row);
    }
    for delivery in &changes.deliveries {
        batch.deliveries.insert(delivery.id(), delivery_row(delivery));
    }
    changes.deliveries
}

pub(in crate::alert) fn incident_row(incident: &Incident) -> IncidentRow {
    IncidentRow {
        id: incident.id,
        service: incident.service.clone(),
        opened_ms: incident.opened.as_millisecond(),
        resolved_ms: incident.resolved.as_ref().map(|resolution| resolution.at.as_millisecond()),
        body: json(incident),
    }
}

pub(in crate::alert) fn delivery_row(delivery: &Delivery) -> DeliveryRow {
    DeliveryRow {
        incident: delivery.incident,
        event: delivery.event,
        channel: delivery.channel.clone(),
        state: delivery.state.as_str(),
        is_open: delivery.state.is_open(),
        updated_ms: delivery.updated.as_millisecond(),
        body: json(delivery),
    }
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("alerts hold nothing that JSON has no form for")
}

/// Reads rows back; one that cannot be read is said and left out, not the others with it.
pub(crate) fn read_rows<T: serde::de::DeserializeOwned>(bodies: &[String]) -> Vec<T> {
    let read = |body: &String| match serde_json::from_str(body) {
        Ok(row) => Some(row),
        Err(error) => {
            tracing::error!(%error, "a stored row cannot be read; going on without it");
            None
        }
    };
    bodies.iter().filter_map(read).collect()
}
