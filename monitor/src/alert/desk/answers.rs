//! What people and channels say: an incident is taken or closed, a message was accepted, or not.

use jiff::Timestamp;
use uuid::Uuid;

use super::Desk;
use crate::alert::delivery::DeliveryId;
use crate::alert::incident::{Acknowledgement, Ending, Event, EventKind, Incident, ToldState};
use crate::alert::tell::{Changes, Telling, outcome, works_again};

impl Desk {
    /// Somebody takes an incident. Returns `None` if it is not open.
    pub fn acknowledge(&mut self, id: Uuid, by: &str, note: &str, now: Timestamp) -> Option<Changes> {
        let incident = self.open.values_mut().find(|incident| incident.id == id)?;
        let text = if note.is_empty() { format!("{by} has taken it") } else { format!("{by} has taken it: {note}") };
        incident.acknowledged = Some(Acknowledgement { by: by.to_owned(), at: now, note: note.to_owned() });
        let event = incident.happened(EventKind::Acknowledged, text, now);
        Some(Changes { incidents: vec![incident.clone()], events: vec![(id, event)], deliveries: Vec::new() })
    }

    /// A person says that an incident is over. Returns `None` if it is not open.
    pub fn close(&mut self, id: Uuid, how: Ending, telling: &Telling<'_>) -> Option<Changes> {
        let key = self.open.values().find(|incident| incident.id == id)?.key.clone();
        let mut out = Changes::default();
        self.ends(&key, how, telling, &mut out);
        Some(out)
    }

    /// Opens an incident that no condition stands behind: a drill.
    pub fn open_trial(&mut self, mut incident: Incident, channels: &[String], telling: &Telling<'_>) -> Changes {
        let mut out = Changes::default();
        let event = incident.happened(EventKind::Drill, incident.title.clone(), telling.now.wall);
        telling.tried(&mut incident, &event, channels, &mut out);
        out.record(&incident, event);
        self.open.insert(incident.key.clone(), incident);
        out
    }

    /// Learns that a channel works: what it refused of open incidents is told anew at the next look.
    pub fn works(&mut self, channel: &str, now: Timestamp) {
        self.open.values_mut().for_each(|incident| works_again(&mut incident.told, channel, now));
    }

    /// A person has a dead letter tried again. Returns the incident; `None` if it is not known.
    pub fn revived(&mut self, (id, event, channel): &DeliveryId, now: Timestamp) -> Option<Incident> {
        let incident = self.find_mut(*id)?;
        // If something newer was told since, how far that got is what counts.
        if let Some(told) = incident.told.get_mut(channel).filter(|told| told.event == *event) {
            (told.state, told.dead_since, told.since) = (ToldState::Owed, None, now);
        }
        Some(incident.clone())
    }

    /// Learns that some of a channel's recipients have a message: they must hear of the end. Returns the incident if that is
    /// news.
    pub(in crate::alert) fn reached(&mut self, (id, _, channel): &DeliveryId) -> Option<Incident> {
        let incident = self.find_mut(*id)?;
        let told = incident.told.get_mut(channel).filter(|told| !told.accepted)?;
        told.accepted = true;
        Some(incident.clone())
    }

    /// Gives the end of an incident that is over another event, for whoever hears of its beginning only now. Returns the
    /// incident as it is then.
    pub(in crate::alert) fn ends_again(&mut self, id: Uuid, now: Timestamp) -> Option<(Incident, Event)> {
        let incident = self.find_mut(id)?;
        let event = incident.happened(EventKind::Resolved, "told again, after its beginning", now);
        Some((incident.clone(), event))
    }

    /// Learns what became of a delivery. Returns the incident if it is not what it was.
    pub fn outcome(&mut self, (id, event, channel): &DeliveryId, accepted: bool, now: Timestamp) -> Option<Incident> {
        let incident = self.find_mut(*id)?;
        let before = incident.told.clone();
        outcome(&mut incident.told, channel, *event, accepted, now);
        (before != incident.told).then(|| incident.clone())
    }
}
