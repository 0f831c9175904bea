//! Beginning drills and ending them.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use kit::clock::Stamp;
use uuid::Uuid;

use super::rows::json;
use super::{Alerts, DRILL};
use crate::alert::drill::{self, DrillRecord, DrillState};
use crate::alert::incident::{Ending, Incident};
use crate::alert::tell::Changes;
use crate::record::{AuditRow, StateBatch};

impl Alerts {
    pub(super) fn drill_record(&self) -> MutexGuard<'_, DrillRecord> {
        self.drills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is remembered of drills.
    pub fn drills(&self) -> DrillRecord {
        self.drill_record().clone()
    }

    /// A channel has taken a message: whatever a drill found before, it works.
    pub(in crate::alert) fn took(&self, channel: &str) {
        self.drill_record().accepted(channel);
    }

    /// Begins a drill through these channels, or through all that routes lead to; returns its incident.
    ///
    /// # Errors
    /// A name that is no channel, or there is none at all.
    pub fn begin_drill(&self, by: &str, only: &[String], audit: AuditRow) -> Result<Uuid, String> {
        let _order = self.in_order();
        let (id, changes) = self.drill(by, only)?;
        self.carry_out(changes, Some(audit));
        Ok(id)
    }

    pub(super) fn drill(&self, by: &str, only: &[String]) -> Result<(Uuid, Changes), String> {
        let (settings, now) = (self.settings(), Stamp::now());
        let known: Vec<&str> = settings.channels.iter().map(|channel| &*channel.name).collect();
        if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!(
                "{unknown:?} is not a channel{}",
                kit::config::suggest(unknown, known.iter().copied())
            ));
        }
        let channels: Vec<String> =
            if only.is_empty() { drill::channels(&settings.routes).into_iter().collect() } else { only.to_vec() };
        if channels.is_empty() {
            return Err("no channels are configured: there is nobody to tell".to_owned());
        }
        let id = Uuid::now_v7();
        let incident = drill::incident(id, by, now.wall);
        let changes = self.with_desk(now, |desk, telling| desk.open_trial(incident, &channels, telling));
        self.drill_record().began = Some(now.wall);
        Ok((id, changes))
    }

    /// Ends drills that are through, and begins one that is due.
    pub(super) fn tend_drills(&self, now: Stamp, batch: &mut StateBatch, changes: &mut Changes) {
        let ended: Vec<(Incident, DrillState)> = {
            let desk = self.desk();
            let trials = desk.open().filter(|incident| incident.is_trial());
            let judged = trials.map(|incident| (incident.clone(), drill::state(incident, now.wall)));
            judged.filter(|(_, state)| *state != DrillState::Running).collect()
        };
        for (incident, state) in ended {
            let over = self.with_desk(now, |desk, telling| desk.close(incident.id, Ending::DrillOver, telling));
            let record = {
                let mut record = self.drill_record();
                record.results.extend(drill::results(&incident));
                record.began = Some(incident.opened);
                // One channel's test proves nothing of the others.
                let everywhere = drill::channels(&self.settings().routes);
                let went_everywhere = everywhere.iter().all(|channel| incident.told.contains_key(channel));
                if state == DrillState::Succeeded && went_everywhere {
                    record.succeeded = Some(now.wall);
                }
                record.clone()
            };
            match state {
                DrillState::Succeeded => tracing::info!(results = ?record.results, "the drill got through"),
                _ => tracing::error!(results = ?record.results, "the drill did not get through"),
            }
            batch.documents.insert((DRILL, DRILL.to_owned()), Some(json(&record)));
            changes.extend(over.unwrap_or_default());
        }
        let due = self.settings().drill.clone();
        let began = self.drills().began;
        let since = due.and_then(|due| due.active_since(now.wall));
        let is_due = since.is_some_and(|since| began.is_none_or(|began| began < since));
        if is_due && self.is_restored.load(Ordering::SeqCst) {
            match self.drill("the schedule", &[]) {
                Ok((_, begun)) => changes.extend(begun),
                Err(why) => tracing::error!(why, "the scheduled drill cannot begin"),
            }
            batch.documents.insert((DRILL, DRILL.to_owned()), Some(json(&self.drills())));
        }
    }
}
