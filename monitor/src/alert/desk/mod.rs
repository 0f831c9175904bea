//! Every open incident: opened, merged, worsened, kept open and resolved by what holds now. Pure.
//!
//! Conditions come in as they stand, again and again; incidents follow from them. So a restart, a missed event or a
//! reload needs no handling of its own: the next look makes up for it.

mod answers;
mod looking;

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;
use kit::clock::{Moment, WallClock};
use uuid::Uuid;

use super::incident::{Ending, EventKind, Incident, Resolution, renamed_key};
use super::tell::{Changes, Telling};
pub use looking::HOLD;

/// Resolved incidents that are kept at hand for messages that are still on their way; more are read from the disk.
const ENDED_KEPT: usize = 1000;

/// Every open incident, and those that ended not long ago.
#[derive(Debug, Default)]
pub struct Desk {
    open: BTreeMap<String, Incident>,
    ended: VecDeque<Incident>,
    /// Incidents that opened while an earlier one about the same was not known.
    superseded: Vec<Incident>,
    /// Since when each condition that is over has been so, while its incident is kept open.
    calm_since: HashMap<String, Moment>,
    /// The latest openings by key.
    openings: HashMap<String, VecDeque<Moment>>,
    /// Until when the hard needs of an incident may still turn out to be its cause.
    hold_until: HashMap<String, Moment>,
    /// Until when a service whose hard need has just recovered may take to come back too.
    excused: HashMap<String, Moment>,
    /// Old and new names of services, for what is read back later.
    renames: Vec<(String, String)>,
    clock: WallClock,
}

/// What a look needs besides the conditions.
pub struct Look<'a> {
    /// Who is told what, and when that is.
    pub telling: Telling<'a>,
    /// Makes ids.
    pub new_id: &'a mut dyn FnMut() -> Uuid,
    /// Returns whether a service is configured.
    pub is_known: &'a dyn Fn(&str) -> bool,
}

impl Desk {
    /// Takes in what an earlier monitor left. Where one with the same key has opened since (the disk could not be read
    /// at first), the earlier one goes on: whoever knows of it need not hear of it again. The later one ends at the next
    /// look.
    pub fn adopt(&mut self, open: Vec<Incident>, ended: Vec<Incident>) {
        for mut incident in open {
            // Ours is newer than what was read of it.
            if self.find(incident.id).is_some() {
                continue;
            }
            self.renames.iter().for_each(|(old, new)| incident.rename(old, new));
            let later = self.open.insert(incident.key.clone(), incident);
            self.superseded.extend(later);
        }
        for incident in ended {
            if self.find(incident.id).is_none() {
                self.ended.push_back(incident);
            }
        }
    }

    /// A service has a new name: what is open about it goes on under that.
    pub fn rename(&mut self, old: &str, new: &str, now: Timestamp) -> Changes {
        let mut out = Changes::default();
        // Every reload says it anew.
        let renamed = (old.to_owned(), new.to_owned());
        if !self.renames.contains(&renamed) {
            self.renames.push(renamed);
        }
        for mut incident in std::mem::take(&mut self.open).into_values() {
            let before = incident.clone();
            incident.rename(old, new);
            if incident.key != before.key {
                let event = incident.happened(EventKind::Note, format!("{old} is called {new} now"), now);
                out.record(&incident, event);
            } else if incident != before {
                out.incidents.push(incident.clone());
            }
            self.superseded.extend(self.open.insert(incident.key.clone(), incident));
        }
        for marks in [&mut self.calm_since, &mut self.hold_until, &mut self.excused] {
            *marks = std::mem::take(marks).into_iter().map(|(key, at)| (renamed_key(&key, old, new), at)).collect();
        }
        let openings = std::mem::take(&mut self.openings).into_iter();
        self.openings = openings.map(|(key, at)| (renamed_key(&key, old, new), at)).collect();
        out
    }

    /// Returns every open incident, by key.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.values()
    }

    /// Finds an incident, open or ended not long ago.
    pub fn find(&self, id: Uuid) -> Option<&Incident> {
        self.open.values().chain(&self.ended).find(|incident| incident.id == id)
    }

    fn find_mut(&mut self, id: Uuid) -> Option<&mut Incident> {
        self.open.values_mut().chain(&mut self.ended).find(|incident| incident.id == id)
    }

    fn ends(&mut self, key: &str, how: Ending, telling: &Telling<'_>, out: &mut Changes) {
        let Some(incident) = self.open.remove(key) else { return };
        self.calm_since.remove(key);
        self.hold_until.remove(key);
        self.end(incident, how, telling, out);
    }

    fn end(&mut self, mut incident: Incident, how: Ending, telling: &Telling<'_>, out: &mut Changes) {
        let now = telling.now;
        incident.resolved = Some(Resolution { at: now.wall, how: how.clone() });
        let event = incident.happened(EventKind::Resolved, how.words(), now.wall);
        telling.over(&mut incident, &event, &how, out);
        out.record(&incident, event);
        self.ended.push_back(incident);
        if self.ended.len() > ENDED_KEPT {
            self.ended.pop_front();
        }
    }
}
