//! What lies over a service's verdict and never hides it: maintenance, a silence, an open incident.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::shared::Shared;
use crate::alert::{Condition, Incident, ServicesAlerts, Severity, Suppression};
use crate::judge::ServiceEntry;

/// Messages about a service are held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OverlayStatus {
    /// Until when, RFC 3339.
    pub until: String,
    /// Who wants it; empty if the configuration does.
    pub by: String,
    /// The window's name, or the silence's comment.
    pub why: String,
}

/// What lies over one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Overlays {
    /// An open maintenance window.
    pub(super) maintenance: Option<OverlayStatus>,
    /// A silence in force.
    pub(super) silenced: Option<OverlayStatus>,
    /// The incident that is open about it.
    pub(super) incident: Option<Uuid>,
}

/// Copies of what overlays follow from, so that nothing is held while they are looked up.
pub(super) struct Overlay {
    settings: std::sync::Arc<crate::alert::AlertSettings>,
    suppression: Suppression,
    open: BTreeMap<String, Incident>,
    now: Timestamp,
}

impl OverlayStatus {
    /// Returns the change that somebody announced to a service, if that holds.
    pub(super) fn of_change(entry: &ServiceEntry, now: Timestamp) -> Option<Self> {
        let announced = entry.announced.as_ref().filter(|announced| announced.holds(now))?;
        let (until, by, why) = (announced.until.to_string(), announced.by.clone(), announced.why.clone());
        Some(Self { until, by, why })
    }
}

impl Overlay {
    /// Copies. Must not be called while the board is held.
    pub(super) fn of(shared: &Shared, now: Timestamp) -> Self {
        let mut open: BTreeMap<String, Incident> = BTreeMap::new();
        for incident in shared.alerts.desk().open() {
            let Some(service) = &incident.service else { continue };
            let known = open.get(service).is_some_and(|known| rank(known) >= rank(incident));
            if !known {
                open.insert(service.clone(), incident.clone());
            }
        }
        Self { settings: shared.alerts.settings(), suppression: shared.alerts.suppression(), open, now }
    }

    /// Returns what lies over a service.
    pub(super) fn service(&self, name: &str) -> Overlays {
        let incident = self.open.get(name);
        let labels = incident.map_or_else(|| labels(&self.settings.services, name), |incident| incident.labels.clone());
        let silence = self.suppression.silence_of(&labels, self.now);
        let window = self.suppression.window_of(Some(name), self.now);
        Overlays {
            maintenance: window.map(|(window, until)| OverlayStatus {
                until: until.to_string(),
                by: window.by.clone(),
                why: window.name.clone(),
            }),
            silenced: silence.map(|silence| OverlayStatus {
                until: silence.until.to_string(),
                by: silence.by.clone(),
                why: silence.comment.clone(),
            }),
            incident: incident.map(|incident| incident.id),
        }
    }
}

/// Its own incident before alerts from elsewhere, then the most urgent, then the oldest.
fn rank(incident: &Incident) -> (bool, Severity, std::cmp::Reverse<Timestamp>) {
    let is_own = incident.service.as_deref().is_some_and(|service| incident.key == Condition::service_key(service));
    (is_own, incident.severity, std::cmp::Reverse(incident.opened))
}

/// The labels that an incident would have if the service broke now.
fn labels(services: &ServicesAlerts, name: &str) -> BTreeMap<String, String> {
    let own = services.get(name);
    let severity = own.and_then(|alerts| alerts.down).unwrap_or(Severity::Page);
    let mut labels = own.map(|alerts| alerts.labels.clone()).unwrap_or_default();
    for (label, value) in [("alertname", "ServiceDown"), ("severity", severity.as_str()), ("service", name)] {
        labels.insert(label.to_owned(), value.to_owned());
    }
    labels
}
