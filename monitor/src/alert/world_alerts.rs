//! For tests: how the simulated monitor looks, writes down and sends, and where it may die on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use kit::backoff::Backoff;
use kit::clock::{Moment, elapsed};
use uuid::Uuid;

use super::channel::EvidenceLevel;
use super::compose::{Context, compose};
use super::delivery::{Delivery, DeliveryState};
use super::desk::Look;
use super::elsewhere::Elsewhere;
use super::external::{Posted, Taken};
use super::incident::{EventKind, Incident};
use super::message::{Happening, Message};
use super::outbox::{Pick, Waiting};
use super::tell::{Changes, Telling};
use super::verdicts::conditions;
use super::world::World;
use super::world_disk::Row;
use crate::record::Ticket;

const RETRY: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };

/// Where the monitor dies next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// What follows from a look is written, and nothing is sent.
    AfterLook,
    /// A message is fixed, and not sent.
    BeforeSend,
    /// A message was accepted, and that is not written down.
    BeforeMark,
}

/// What must be true whenever something is to be told, whatever the desk thinks.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    /// Incidents that somebody has taken, until there is news of them.
    pub(super) taken: BTreeSet<Uuid>,
    /// When somebody could have known first.
    first: BTreeMap<Uuid, Moment>,
}

impl World {
    pub(super) fn look(&mut self) {
        let now = self.stamp();
        let told = self.externals.told(&self.settings, now);
        let mut found = conditions(&self.board, &self.settings, &[], &told, now);
        self.externals.join(&mut found, &self.settings, now);
        for fingerprint in self.externals.seen() {
            self.disk.put(Row::External(fingerprint, None));
        }
        let next_id = &mut self.next_id;
        let mut new_id = || {
            *next_id += 1;
            Uuid::from_u128(*next_id)
        };
        let channels: Vec<String> = self.receivers.keys().cloned().collect();
        let (routes, suppression) = (&self.routes, &self.suppression);
        let telling = Telling { routes, channels: &channels, suppression, now };
        let settings = &self.settings;
        let is_known = |service: &str| settings.contains_key(service);
        let mut look = Look { telling, new_id: &mut new_id, is_known: &is_known };
        let changes = self.desk.look(&found, &mut look);
        self.keep(changes);
    }

    pub(super) fn keep(&mut self, changes: Changes) {
        let now = self.stamp();
        // What is worse, or another alert that stands by itself, is not what somebody has taken.
        let is_free = |id: Uuid| self.desk.find(id).is_some_and(|incident| incident.acknowledged.is_none());
        for (incident, event) in &changes.events {
            let is_another = event.kind == EventKind::Joined && is_free(*incident);
            if event.kind == EventKind::Worsened || is_another {
                self.minutes.taken.remove(incident);
            }
        }
        for delivery in &changes.deliveries {
            self.mind(delivery);
        }
        for incident in &changes.incidents {
            self.disk.put(Row::incident(incident));
        }
        for delivery in changes.deliveries {
            self.disk.put(Row::delivery(&delivery));
            self.outbox.put(delivery, Ticket::default(), now);
        }
    }

    /// Nothing but an end is told in a window or a silence, and nobody is called for what somebody has taken.
    fn mind(&mut self, delivery: &Delivery) {
        if delivery.state != DeliveryState::Due || delivery.happening == Happening::Resolved {
            return;
        }
        let incident = self.desk.find(delivery.incident).unwrap();
        let held_back = self.suppression.of(&incident.labels, self.stamp().wall);
        assert_eq!(held_back, None, "told all the same: {delivery:?}");
        let first = *self.minutes.first.entry(delivery.incident).or_insert(self.now);
        if matches!(delivery.happening, Happening::Escalated | Happening::Reminder) {
            assert!(!self.minutes.taken.contains(&delivery.incident), "somebody has taken it: {delivery:?}");
        }
        if delivery.happening == Happening::Escalated {
            let after = self.routes.0.iter().flat_map(|route| &route.escalate).map(|step| step.after).min();
            assert!(after.is_some_and(|after| self.now.since(first) >= after), "too early: {delivery:?}");
        }
    }

    /// A source hands over an alert and promises to repeat it within so long; with 0 it says that it is over.
    pub(super) fn post(&mut self, labels: &[(&str, &str)], secs: i64) {
        let now = self.stamp().wall;
        let posted = Posted {
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            annotations: BTreeMap::new(),
            starts_at: None,
            ends_at: Some(now + SignedDuration::from_secs(secs)),
            generator_url: None,
        };
        match self.externals.take(posted, now).unwrap() {
            Taken::Changed(alert) => self.disk.put(Row::external(&alert)),
            Taken::Over(fingerprint) => self.disk.put(Row::External(fingerprint, None)),
            Taken::Repeated | Taken::Nothing | Taken::Full => {}
        }
    }

    /// Somebody takes an open incident, if there is one.
    pub(super) fn acknowledge(&mut self, which: usize) {
        let open: Vec<Uuid> = self.desk.open().map(|incident| incident.id).collect();
        let Some(id) = open.get(which % open.len().max(1)) else { return };
        let now = self.stamp().wall;
        let changes = self.desk.acknowledge(*id, "ada", "", now).unwrap();
        self.keep(changes);
        self.minutes.taken.insert(*id);
    }

    /// The disk takes everything again.
    pub(super) fn mend_disk(&mut self) {
        self.disk.works();
        self.receivers.values_mut().for_each(super::world_receiver::Receiver::all_is_written);
    }

    pub(super) fn send(&mut self) {
        let names: Vec<String> = self.receivers.keys().cloned().collect();
        for name in names {
            while let Pick::Send(mut members) = self.outbox.pick(&name, self.now, true) {
                self.bind(&mut members);
                if self.dies_at(Death::BeforeSend) {
                    return;
                }
                let message = self.message(&name, &members);
                let receiver = self.receivers.get_mut(&name).unwrap();
                let refused = receiver.refuses;
                let accepted = !refused && receiver.take(&message);
                if accepted && self.dies_at(Death::BeforeMark) {
                    return;
                }
                let state = match (accepted, refused) {
                    (true, _) => DeliveryState::Sent,
                    (false, true) => DeliveryState::Dead,
                    (false, false) => DeliveryState::Due,
                };
                members.into_iter().for_each(|member| self.mark(member.delivery, state));
            }
        }
    }

    fn bind(&mut self, members: &mut [Waiting]) {
        if members.iter().all(|member| member.delivery.attempted) {
            return;
        }
        self.next_id += 1;
        let batch = Some(Uuid::from_u128(self.next_id)).filter(|_| members.len() > 1);
        self.outbox.bind(members, batch);
        for member in members {
            self.disk.put(Row::delivery(&member.delivery));
        }
    }

    fn message(&self, channel: &str, members: &[Waiting]) -> Message {
        let find = |member: &Waiting| {
            let id = member.delivery.incident;
            self.desk.find(id).cloned().or_else(|| self.disk.incident(id)).unwrap()
        };
        let incidents: Vec<Incident> = members.iter().map(find).collect();
        let parts: Vec<_> = members.iter().map(|member| &member.delivery).zip(&incidents).collect();
        let context = Context {
            channel,
            evidence: EvidenceLevel::None,
            now: self.stamp().wall,
            durable: self.disk.is_durable(),
            public_url: None,
            elsewhere: &Elsewhere::default(),
            acknowledge_token: &|_| String::new(),
        };
        compose(&parts, &context).unwrap()
    }

    fn mark(&mut self, mut delivery: Delivery, state: DeliveryState) {
        let now = self.stamp();
        delivery.tries += 1;
        delivery.state = state;
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let share = f64::from(u32::try_from(self.random >> 40).unwrap()) / f64::from(1 << 24);
        let wait = SignedDuration::try_from(RETRY.delay(delivery.tries, share)).unwrap();
        delivery.due = now.wall.checked_add(wait).unwrap();
        self.disk.put(Row::delivery(&delivery));
        if state != DeliveryState::Due
            && let Some(incident) = self.desk.outcome(&delivery.id(), state == DeliveryState::Sent, now.wall)
        {
            self.disk.put(Row::incident(&incident));
        }
        self.outbox.put(delivery, Ticket::default(), now);
    }

    /// Returns true if the monitor was to die here: it has, and has started again.
    pub(super) fn dies_at(&mut self, place: Death) -> bool {
        let dies = self.death.take_if(|death| *death == place).is_some();
        if dies {
            self.restart();
        }
        dies
    }

    /// Returns what is written down or in memory to be told, and was not for so long.
    pub(super) fn untold(&self, longer_than: Duration) -> Vec<Delivery> {
        let now = self.stamp().wall;
        let all = self.disk.open_deliveries().into_iter().chain(self.outbox.all().cloned());
        all.filter(|delivery| elapsed(delivery.created, now) > longer_than).collect()
    }
}
