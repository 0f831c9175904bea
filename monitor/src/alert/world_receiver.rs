//! For tests: a channel's other side, which knows every key that it accepted and minds what it is told.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::message::{AlertPart, Happening, Message, Severity};

/// What a message tells of: incident, event and what happened.
type Content = BTreeSet<(Uuid, u32, &'static str)>;

/// A channel's other side.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// Whether it takes anything.
    pub(super) is_away: bool,
    /// Whether it refuses for good.
    pub(super) refuses: bool,
    /// What it would show as open, by incident: the service and how urgent.
    pub(super) open: BTreeMap<Uuid, (String, Severity)>,
    /// What it was told to be over.
    over: BTreeSet<Uuid>,
    keys: BTreeMap<String, Content>,
    /// By incident and event: the key of the message that told of it.
    told_by: BTreeMap<(Uuid, u32), String>,
    /// Every message that was accepted, without repeats.
    pub(super) messages: Vec<Message>,
    /// Incidents of which it was told something that is not on the disk yet, and is marked so.
    unwritten: BTreeSet<Uuid>,
    /// Incidents of which that was never written: the monitor has forgotten what it said.
    pub(super) uncertain: BTreeSet<Uuid>,
}

impl Receiver {
    /// Refuses everything for good.
    pub(super) fn that_refuses() -> Self {
        Self { refuses: true, ..Self::default() }
    }

    pub(super) fn take(&mut self, message: &Message) -> bool {
        if self.is_away {
            return false;
        }
        // After a restart the parts of a message may come in another order.
        let what = |part: &AlertPart| (part.incident, part.event, part.happening.as_str());
        let content: Content = message.alerts.iter().map(what).collect();
        if !message.durable {
            self.unwritten.extend(content.iter().map(|(incident, ..)| *incident));
        }
        let is_certain = content.iter().all(|(incident, ..)| !self.uncertain.contains(incident));
        if let Some(known) = self.keys.get(&message.key) {
            assert!(*known == content || !is_certain, "one key, two contents: {known:?}, {message:?}");
            return true;
        }
        for (incident, event, _) in &content {
            let first = self.told_by.entry((*incident, *event)).or_insert_with(|| message.key.clone());
            assert!(*first == message.key || !is_certain, "told under two keys: {first}, {message:?}");
        }
        self.keys.insert(message.key.clone(), content);
        for part in &message.alerts {
            let is_certain = !self.uncertain.contains(&part.incident);
            assert!(!self.over.contains(&part.incident) || !is_certain, "told after its end: {part:?}");
            match part.happening {
                Happening::Resolved => {
                    let was_open = self.open.remove(&part.incident).is_some();
                    assert!(was_open || !is_certain, "an end without a beginning: {part:?}");
                    self.over.insert(part.incident);
                }
                _ => {
                    let about = part.service.clone().unwrap_or_else(|| part.name.clone());
                    self.open.insert(part.incident, (about, part.severity));
                }
            }
        }
        self.messages.push(message.clone());
        true
    }

    /// Everything that was said is on the disk now.
    pub(super) fn all_is_written(&mut self) {
        self.unwritten.clear();
    }

    /// The monitor forgot what was not on the disk.
    pub(super) fn all_else_is_forgotten(&mut self) {
        self.uncertain.append(&mut self.unwritten);
    }
}
