//! For tests: what the simulated monitor has written down. It outlives restarts; what a broken disk did not take does not.

use std::collections::HashMap;
use std::sync::Arc;

use kit::clock::Stamp;
use uuid::Uuid;

use super::delivery::{Delivery, DeliveryId};
use super::external::External;
use super::incident::Incident;
use crate::judge::{CheckState, Verdict};
use crate::probe::CheckId;

/// Something that is written; `None` is forgotten.
#[derive(Debug)]
pub(super) enum Row {
    Incident(Uuid, String),
    Delivery(DeliveryId, String),
    Check(CheckId, Option<CheckState>),
    Verdict(Arc<str>, Option<(Verdict, String, Stamp)>),
    External(String, Option<String>),
}

impl Row {
    pub(super) fn incident(incident: &Incident) -> Self {
        Self::Incident(incident.id, serde_json::to_string(incident).unwrap())
    }

    pub(super) fn delivery(delivery: &Delivery) -> Self {
        Self::Delivery(delivery.id(), serde_json::to_string(delivery).unwrap())
    }

    pub(super) fn external(alert: &External) -> Self {
        Self::External(alert.fingerprint.clone(), Some(serde_json::to_string(alert).unwrap()))
    }
}

/// The disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    is_broken: bool,
    /// In memory, to be written as soon as the disk takes it.
    pending: Vec<Row>,
    incidents: HashMap<Uuid, String>,
    deliveries: HashMap<DeliveryId, String>,
    pub(super) checks: HashMap<CheckId, CheckState>,
    pub(super) verdicts: HashMap<Arc<str>, (Verdict, String, Stamp)>,
    externals: HashMap<String, String>,
}

impl Disk {
    pub(super) fn put(&mut self, row: Row) {
        self.pending.push(row);
        if !self.is_broken {
            self.write();
        }
    }

    /// From now on commits fail, or do not come back in time.
    pub(super) fn breaks(&mut self) {
        self.is_broken = true;
    }

    pub(super) fn works(&mut self) {
        self.is_broken = false;
        self.write();
    }

    /// Returns whether everything would survive a power cut.
    pub(super) fn is_durable(&self) -> bool {
        self.pending.is_empty()
    }

    /// The monitor dies, and with it what was not written. Returns whether something was lost.
    pub(super) fn lose_what_waits(&mut self) -> bool {
        !std::mem::take(&mut self.pending).is_empty()
    }

    pub(super) fn incident(&self, id: Uuid) -> Option<Incident> {
        self.incidents.get(&id).map(|body| serde_json::from_str(body).unwrap())
    }

    pub(super) fn incidents(&self) -> impl Iterator<Item = Incident> {
        self.incidents.values().map(|body| serde_json::from_str(body).unwrap())
    }

    /// Returns what is still to be told, in the order in which it came.
    pub(super) fn open_deliveries(&self) -> Vec<Delivery> {
        let all = self.deliveries.values().map(|body| serde_json::from_str::<Delivery>(body).unwrap());
        let mut open: Vec<Delivery> = all.filter(|delivery| delivery.state.is_open()).collect();
        open.sort_by_key(|delivery| (delivery.created, delivery.incident, delivery.event));
        open
    }

    pub(super) fn externals(&self) -> Vec<External> {
        self.externals.values().map(|body| serde_json::from_str(body).unwrap()).collect()
    }

    fn write(&mut self) {
        for row in std::mem::take(&mut self.pending) {
            match row {
                Row::Incident(id, body) => drop(self.incidents.insert(id, body)),
                Row::Delivery(id, body) => drop(self.deliveries.insert(id, body)),
                Row::Check(id, state) => set(&mut self.checks, id, state),
                Row::Verdict(service, verdict) => set(&mut self.verdicts, service, verdict),
                Row::External(fingerprint, body) => set(&mut self.externals, fingerprint, body),
            }
        }
    }
}

fn set<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}
