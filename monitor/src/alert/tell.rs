//! Who must be told what: turns an incident's events into deliveries, and finds out what is still owed. Pure.
//!
//! It looks at what should be known rather than at what has just changed: whatever was missed (a restart, a silence that
//! ended, a new route) is made up for at the next look.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Stamp, elapsed, later};

use super::delivery::{Delivery, DeliveryState};
use super::incident::{Ending, Event, EventKind, Incident, Told, ToldState};
use super::message::{Happening, Severity};
use super::own::CHANNEL_KEY;
use super::route::{Routes, Target};
use super::silence::Suppression;

/// What must be written down, in one transaction, before anything is sent.
#[derive(Debug, Default)]
pub struct Changes {
    /// Incidents that are not what they were, by key of the newest state.
    pub incidents: Vec<Incident>,
    /// What happened to them.
    pub events: Vec<(uuid::Uuid, Event)>,
    /// New deliveries, and known ones in a new state.
    pub deliveries: Vec<Delivery>,
}

impl Changes {
    /// Something happened to an incident, which is as it is now.
    pub(super) fn record(&mut self, incident: &Incident, event: Event) {
        self.events.push((incident.id, event));
        self.incidents.push(incident.clone());
    }

    /// Takes in what follows from something else.
    pub fn extend(&mut self, more: Self) {
        self.incidents.extend(more.incidents);
        self.events.extend(more.events);
        self.deliveries.extend(more.deliveries);
    }

    /// Returns true if nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty() && self.events.is_empty() && self.deliveries.is_empty()
    }
}

/// What decides whom to tell.
#[derive(Debug, Clone, Copy)]
pub struct Telling<'a> {
    /// The routes.
    pub routes: &'a Routes,
    /// Every channel, in file order.
    pub channels: &'a [String],
    /// What is held back.
    pub suppression: &'a Suppression,
    /// The present, on both clocks.
    pub now: Stamp,
}

impl Telling<'_> {
    /// Tells of an incident that has just opened.
    pub fn opened(&self, incident: &mut Incident, event: &Event, happening: Happening, out: &mut Changes) {
        for target in self.targets(incident) {
            self.begin(incident, event, &target, happening, out);
        }
    }

    /// Tries the way to these channels, whatever the routes say.
    pub fn tried(&self, incident: &mut Incident, event: &Event, channels: &[String], out: &mut Changes) {
        for channel in channels {
            self.begin(incident, event, &Target::plain(channel), Happening::Drill, out);
        }
    }

    /// The hold is over and no hard need is the cause: what was held goes out.
    pub fn release(&self, incident: &mut Incident, out: &mut Changes) {
        incident.held = false;
        let event = Event { number: 1, at: incident.opened, kind: EventKind::Opened, text: incident.title.clone() };
        for target in self.targets(incident) {
            if incident.told.get(&target.channel).is_some_and(|told| told.state == ToldState::Held) {
                self.begin(incident, &event, &target, Happening::Opened, out);
            }
        }
        // A route that went away while it was held.
        let held = incident.told.iter().filter(|(_, told)| told.state == ToldState::Held);
        let gone: Vec<String> = held.map(|(channel, _)| channel.clone()).collect();
        for channel in gone {
            let mut delivery = self.delivery(incident.id, incident.severity, &event, &channel, None, Happening::Opened);
            (delivery.state, delivery.said) = (DeliveryState::Cancelled, "no route leads there any more".to_owned());
            out.deliveries.push(delivery);
            incident.told.remove(&channel);
        }
    }

    /// Tells those who know of it that something changed.
    pub fn news(&self, incident: &mut Incident, event: &Event, happening: Happening, out: &mut Changes) {
        let silenced = self.suppression.of(&incident.labels, self.now.wall);
        let targets = self.targets(incident);
        for (channel, told) in &mut incident.told {
            let target = targets.iter().find(|target| target.channel == *channel);
            let suppressed = silenced.clone().or_else(|| target?.out_of_hours.clone());
            let mut delivery = self.delivery(incident.id, incident.severity, event, channel, target, happening);
            match (&told.state, &suppressed) {
                // It will be told as things stand then.
                (ToldState::Held | ToldState::Suppressed(_), _) => continue,
                (ToldState::Owed, Some(_)) => {
                    told.behind = true;
                    continue;
                }
                (_, None) => (told.event, told.state, told.behind) = (event.number, ToldState::Owed, false),
                (_, Some(why)) => {
                    (told.event, told.state) = (event.number, ToldState::Suppressed(why.clone()));
                    (delivery.state, delivery.said) = (DeliveryState::Suppressed, why.clone());
                }
            }
            out.deliveries.push(delivery);
        }
    }

    /// Tells whoever knows of it that it is over; what nobody has heard of yet is not told any more.
    pub fn over(&self, incident: &mut Incident, event: &Event, how: &Ending, out: &mut Changes) {
        let (targets, drill) = (self.targets(incident), incident.is_trial());
        for (channel, told) in &mut incident.told {
            let target = targets.iter().find(|target| target.channel == *channel);
            let mut delivery =
                self.delivery(incident.id, incident.severity, event, channel, target, Happening::Resolved);
            delivery.drill = drill;
            match told.state {
                ToldState::Held => {
                    delivery.event = told.event;
                    delivery.happening = Happening::Opened;
                    delivery.state = match how {
                        Ending::PartOf(_) => DeliveryState::Suppressed,
                        _ => DeliveryState::Cancelled,
                    };
                    delivery.said = how.words();
                    out.deliveries.push(delivery);
                }
                ToldState::Dead if !told.accepted => {}
                ToldState::Suppressed(_) if !told.accepted => {}
                _ => {
                    (told.event, told.state) = (event.number, ToldState::Owed);
                    out.deliveries.push(delivery);
                }
            }
        }
    }

    /// Finds out what an open incident still owes: to channels that have not heard of it, to those it was held back
    /// from, and reminders.
    pub fn tick(&self, incident: &mut Incident, out: &mut Changes) {
        if incident.held {
            return;
        }
        let targets = self.targets(incident);
        let suppressed = self.suppression.of(&incident.labels, self.now.wall);
        let is_due = |target: &&Target| match incident.told.get(&target.channel) {
            None => true,
            Some(told) => match told.state {
                ToldState::Suppressed(_) => true,
                ToldState::Delivered => told.behind,
                // What could not be told is owed as long as it is true.
                ToldState::Dead => {
                    told.behind || told.dead_since.is_none_or(|at| later(at, TELL_DEAD_AGAIN) <= self.now.wall)
                }
                ToldState::Held | ToldState::Owed => false,
            },
        };
        let (mut again, mut escalated, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for target in targets.iter().filter(is_due) {
            let holds_back = suppressed.is_some() || target.out_of_hours.is_some();
            match (incident.told.get(&target.channel), holds_back, target.escalated) {
                (Some(_), true, _) => {}
                (Some(_), false, _) => again.push(target),
                (None, _, true) => escalated.push(target),
                (None, _, false) => new.push(target),
            }
        }
        let still = format!("still open: {}", incident.title);
        self.tell(incident, EventKind::Told, &format!("no longer held back; {still}"), &again, out);
        self.tell(incident, EventKind::Escalated, &format!("nobody has taken it; {still}"), &escalated, out);
        self.tell(incident, EventKind::Told, &still, &new, out);
        if suppressed.is_none() {
            self.remind(incident, &targets, out);
        }
    }

    fn tell(&self, incident: &mut Incident, kind: EventKind, text: &str, targets: &[&Target], out: &mut Changes) {
        if targets.is_empty() {
            return;
        }
        let event = incident.happened(kind, text, self.now.wall);
        let happening = if kind == EventKind::Escalated { Happening::Escalated } else { Happening::Opened };
        for target in targets {
            self.begin(incident, &event, target, happening, out);
        }
        out.events.push((incident.id, event));
    }

    fn remind(&self, incident: &mut Incident, targets: &[Target], out: &mut Changes) {
        if incident.acknowledged.is_some() || !incident.reminded {
            return;
        }
        let is_due = |target: &&Target| {
            target.out_of_hours.is_none()
                && incident.told.get(&target.channel).is_some_and(|told| {
                    told.state == ToldState::Delivered && told.remind_at.is_some_and(|at| at <= self.now.wall)
                })
        };
        let due: Vec<&Target> = targets.iter().filter(is_due).collect();
        if due.is_empty() {
            return;
        }
        let event = incident.happened(EventKind::Reminder, format!("still open: {}", incident.title), self.now.wall);
        for target in due {
            let delivery = self.delivery(
                incident.id,
                incident.severity,
                &event,
                &target.channel,
                Some(target),
                Happening::Reminder,
            );
            if let Some(told) = incident.told.get_mut(&target.channel) {
                told.reminders += 1;
                (told.event, told.state) = (event.number, ToldState::Owed);
                told.remind_at = target.reminders.map(|reminders| later(self.now.wall, reminders.every));
            }
            out.deliveries.push(delivery);
        }
        out.events.push((incident.id, event));
    }

    /// Tells a channel for the first time, or holds that back.
    fn begin(&self, incident: &mut Incident, event: &Event, target: &Target, happening: Happening, out: &mut Changes) {
        let suppressed = self.suppression.of(&incident.labels, self.now.wall).or_else(|| target.out_of_hours.clone());
        // Whether the way is free is what a trial is to find out.
        let suppressed = suppressed.filter(|_| !incident.is_trial());
        let mut delivery =
            self.delivery(incident.id, incident.severity, event, &target.channel, Some(target), happening);
        let state = match suppressed {
            _ if incident.held => {
                delivery.state = DeliveryState::Held;
                ToldState::Held
            }
            Some(why) => {
                delivery.state = DeliveryState::Suppressed;
                delivery.said.clone_from(&why);
                ToldState::Suppressed(why)
            }
            None => ToldState::Owed,
        };
        let before = incident.told.get(&target.channel);
        let told = Told {
            event: event.number,
            state,
            accepted: before.is_some_and(|told| told.accepted),
            behind: false,
            since: before
                .filter(|told| !matches!(told.state, ToldState::Held | ToldState::Suppressed(_)))
                .map_or(self.now.wall, |told| told.since),
            dead_since: None,
            reminders: 0,
            remind_at: target.reminders.map(|reminders| later(self.now.wall, reminders.after)),
        };
        incident.told.insert(target.channel.clone(), told);
        delivery.drill = incident.is_trial();
        out.deliveries.push(delivery);
    }

    fn targets(&self, incident: &Incident) -> Vec<Target> {
        let waited = self.waited(incident).filter(|_| incident.acknowledged.is_none());
        let mut targets = self.routes.targets(&incident.labels, waited, self.now.wall);
        if targets.is_empty() && incident.severity > Severity::Notice {
            // No route takes it (labels that came from elsewhere): told to everybody rather than to nobody.
            targets.extend(self.channels.iter().map(|name| Target::plain(name)));
        }
        let Some(broken) = incident.key.strip_prefix(CHANNEL_KEY) else { return targets };
        // A channel cannot tell of its own failure; if nobody else is asked to, everybody else is.
        targets.retain(|target| target.channel != broken);
        if targets.is_empty() {
            targets.extend(self.channels.iter().filter(|name| *name != broken).map(|name| Target::plain(name)));
        }
        targets
    }

    /// Returns how long somebody could have known: from when a channel was told first, or is to be.
    fn waited(&self, incident: &Incident) -> Option<Duration> {
        let spoken = |told: &&Told| !matches!(told.state, ToldState::Held | ToldState::Suppressed(_));
        let first = incident.told.values().filter(spoken).map(|told| told.since).min()?;
        Some(elapsed(first, self.now.wall))
    }

    fn delivery(
        &self,
        incident: uuid::Uuid,
        severity: Severity,
        event: &Event,
        channel: &str,
        target: Option<&Target>,
        happening: Happening,
    ) -> Delivery {
        let wait = target.map(|target| target.group_wait).unwrap_or_default();
        let interval = target.map(|target| target.group_interval).unwrap_or_default();
        let id = (incident, event.number, channel.to_owned());
        Delivery {
            created: event.at,
            due: later(self.now.wall, wait),
            group: target.map(|target| target.group.clone()).unwrap_or_default(),
            group_interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            ..Delivery::due(id, happening, severity, self.now.wall)
        }
    }
}

/// A dead letter of an open incident is told anew after so long: whatever was wrong may have been mended.
const TELL_DEAD_AGAIN: Duration = Duration::from_secs(3600);
/// As soon as the channel accepts something else, it is told anew once it has been dead for so long.
const DEAD_PATIENCE: Duration = Duration::from_secs(300);

/// A channel has accepted something: what it refused of open incidents may be told anew.
pub(super) fn works_again(told: &mut BTreeMap<String, Told>, channel: &str, now: Timestamp) {
    let Some(told) = told.get_mut(channel).filter(|told| told.state == ToldState::Dead) else { return };
    told.behind |= told.dead_since.is_some_and(|at| later(at, DEAD_PATIENCE) <= now);
}

/// Returns what a delivery's outcome makes of what its channel was told.
pub(super) fn outcome(told: &mut BTreeMap<String, Told>, channel: &str, event: u32, accepted: bool, now: Timestamp) {
    let Some(told) = told.get_mut(channel) else { return };
    told.accepted |= accepted;
    // An older event's outcome says nothing of the newest.
    if told.event == event && told.state == ToldState::Owed {
        told.state = if accepted { ToldState::Delivered } else { ToldState::Dead };
        told.dead_since = Some(now).filter(|_| !accepted);
    }
}
