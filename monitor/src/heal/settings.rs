//! Reads `heal:` of a service, and of the host.

use kit::config::{Cursor, Fields, Value};

/// Heals of one host within a minute, unless told otherwise: enough for a broken service and its dependant, too few for a
/// stampede.
const HEALS_PER_MINUTE: usize = 3;

/// What a service asks of healing. Without it nothing is healed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HealSettings {
    /// A program that keeps data may be restarted too. Default false.
    pub stateful: bool,
    /// What loops for so long that it would be given up is stopped, and held until somebody resumes it. Default false.
    pub quarantine: bool,
}

/// What holds for all heals of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostHealSettings {
    /// Heals within a minute, at most. Default 3.
    pub per_minute: usize,
}

impl Default for HostHealSettings {
    fn default() -> Self {
        Self { per_minute: HEALS_PER_MINUTE }
    }
}

/// Reads a service's `heal: true` or `heal: { stateful: true, quarantine: true }`; none if it asks for nothing.
pub fn decode_heal(fields: &Fields<'_>) -> Option<HealSettings> {
    let cursor = fields.get("heal")?;
    let settings = match cursor.node().value {
        Value::Map(_) => decode_map(&cursor)?,
        _ => cursor.bool()?.then(HealSettings::default)?,
    };
    if !fields.has("workload") {
        cursor.mistake("there is nothing to restart: write \"workload\" too, or leave \"heal\" out");
    }
    if !fields.has("checks") {
        cursor.mistake("nothing would say whether a restart is needed or has helped: write \"checks\" too");
    }
    Some(settings)
}

fn decode_map(cursor: &Cursor<'_>) -> Option<HealSettings> {
    let fields = cursor.fields()?;
    let flag = |key| fields.get(key).and_then(|c| c.bool()).unwrap_or(false);
    let settings = HealSettings { stateful: flag("stateful"), quarantine: flag("quarantine") };
    fields.end();
    Some(settings)
}

/// Reads the top level's `heal: { per_minute: 3 }`.
pub fn decode_host_heal(fields: &Fields<'_>) -> HostHealSettings {
    let standard = HostHealSettings::default();
    let Some(fields) = fields.get("heal").and_then(|c| c.fields()) else { return standard };
    let per_minute = fields.get("per_minute").and_then(|c| c.whole(1..=60usize)).unwrap_or(standard.per_minute);
    fields.end();
    HostHealSettings { per_minute }
}
