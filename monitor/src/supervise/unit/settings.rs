//! Reads `workload: { unit: … }`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Value};

use super::bus::Place;
use super::connection::Connection;
use crate::supervise::workload::{Assignment, Runtime, Sought, Watched, Workload, WorkloadKind};

/// As for processes.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest name of a unit (`UNIT_NAME_MAX` of systemd, basic/unit-name.h).
const MAX_NAME: usize = 255;
/// What units there are beside services (systemd.unit(5)).
const OTHERS: [&str; 10] =
    ["socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"];

/// The kind `unit`.
pub(crate) struct Unit;

impl WorkloadKind for Unit {
    fn name(&self) -> &'static str {
        "unit"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Workload> {
        if let Value::Text(_) = cursor.node().value {
            return Some(watch(name(cursor)?, Place::default(), READY_TIMEOUT));
        }
        let fields = cursor.fields()?;
        let sought = fields.require("name").and_then(|cursor| name(&cursor));
        let place = Place::decode(&fields);
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let ready_timeout = fields.get("ready_timeout").and_then(|c| c.duration(second..=hour));
        fields.end();
        Some(watch(sought?, place?, ready_timeout.unwrap_or(READY_TIMEOUT)))
    }
}

fn watch(name: String, place: Place, ready_timeout: Duration) -> Workload {
    Workload::Watch(Watched { runtime: Arc::new(Systemd { place }), sought: Sought::Name(name), ready_timeout })
}

/// The name of a service (systemd.unit(5)).
fn name(cursor: &Cursor<'_>) -> Option<String> {
    let name = cursor.text()?;
    let is_valid = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c));
    let (stem, kind) = name.rsplit_once('.').unwrap_or((&name, ""));
    if stem.is_empty() || !is_valid(&name) || name.len() > MAX_NAME {
        cursor.mistake(format!("{name:?} is no unit's name; write one like web.service"));
    } else if OTHERS.contains(&kind) {
        cursor.mistake(format!(
            "{name:?} does not run anything itself; write the service behind it, like {stem}.service"
        ));
    } else if kind != "service" {
        cursor.mistake(format!("{name:?} does not say which kind of unit; write {name}.service"));
    } else if stem.ends_with('@') {
        cursor.mistake(format!("{name:?} is a template; write an instance of it, like {stem}1.service"));
    } else {
        return Some(name);
    }
    None
}

/// A systemd: that of a machine, or of a user.
#[derive(Debug)]
struct Systemd {
    place: Place,
}

impl Runtime for Systemd {
    fn address(&self) -> &str {
        &self.place.shown
    }

    fn reach(&self) -> BoxFuture<'static, Result<(), String>> {
        let place = self.place.clone();
        async move { Connection::open(&place).await.map(drop).map_err(|blind| blind.to_string()) }.boxed()
    }

    fn watch(&self, assignment: Assignment) -> BoxFuture<'static, ()> {
        super::watch::watch(self.place.clone(), assignment).boxed()
    }
}
