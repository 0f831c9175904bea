//! What waits to be sent, by channel: what goes next, what goes together, what waits for another try. Pure.
//!
//! The rows are on disk; this is the part of them that is still to be done. Order within an incident is never broken:
//! nothing is sent while something older of the same incident waits for the same channel.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use kit::clock::{Moment, Stamp};
use uuid::Uuid;

use super::delivery::{Delivery, DeliveryId, DeliveryState};
use super::message::Happening;
use crate::record::Ticket;

/// With more incidents than this waiting, they become one message (DESIGN section 8).
const DIGEST_ABOVE: usize = 5;

/// One delivery that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The delivery.
    pub delivery: Delivery,
    /// When its row is on the disk.
    pub ticket: Ticket,
    /// When it may be sent, on the clock that nobody sets.
    not_before: Moment,
}

/// What a channel has to do now.
#[derive(Debug, Clone)]
pub enum Pick {
    /// Send these as one message, in this order.
    Send(Vec<Waiting>),
    /// Nothing before this.
    Wait(Moment),
    /// Nothing at all.
    Idle,
}

/// Everything that waits.
#[derive(Debug, Default)]
pub struct Outbox {
    channels: HashMap<String, BTreeMap<u64, Waiting>>,
    places: HashMap<DeliveryId, u64>,
    /// When a group's message was last formed, by channel and group.
    spoke: HashMap<(String, String), Moment>,
    next_place: u64,
}

impl Outbox {
    /// Takes a delivery in its newest state: what is due waits here, anything else does not.
    pub fn put(&mut self, delivery: Delivery, ticket: Ticket, now: Stamp) {
        let id = delivery.id();
        if delivery.state != DeliveryState::Due {
            return self.remove(&id);
        }
        let wait = Duration::try_from(delivery.due.duration_since(now.wall)).unwrap_or_default();
        let mut not_before = now.at + wait;
        if delivery.tries == 0 && !delivery.group.is_empty() {
            let group = (delivery.channel.clone(), delivery.group.clone());
            if let Some(spoke) = self.spoke.get(&group) {
                not_before = not_before.max(*spoke + Duration::from_millis(delivery.group_interval_ms));
            }
        }
        let place = *self.places.entry(id).or_insert_with(|| {
            self.next_place += 1;
            self.next_place
        });
        self.channels
            .entry(delivery.channel.clone())
            .or_default()
            .insert(place, Waiting { delivery, ticket, not_before });
    }

    /// Forgets a delivery.
    pub fn remove(&mut self, id: &DeliveryId) {
        let Some(place) = self.places.remove(id) else { return };
        if let Some(waiting) = self.channels.get_mut(&id.2) {
            waiting.remove(&place);
        }
    }

    /// Returns what waits for a channel, oldest first.
    pub fn waiting(&self, channel: &str) -> impl Iterator<Item = &Delivery> {
        self.channels.get(channel).into_iter().flat_map(BTreeMap::values).map(|waiting| &waiting.delivery)
    }

    /// Returns everything that waits.
    pub fn all(&self) -> impl Iterator<Item = &Delivery> {
        self.channels.values().flat_map(BTreeMap::values).map(|waiting| &waiting.delivery)
    }

    /// Returns what a channel is to send now.
    pub fn pick(&mut self, channel: &str, now: Moment) -> Pick {
        let Some(waiting) = self.channels.get(channel).filter(|waiting| !waiting.is_empty()) else { return Pick::Idle };
        let units = units(waiting.values());
        if let Some(unit) = units.iter().find(|unit| unit.due <= now) {
            let members: Vec<Waiting> = unit.members.iter().map(|waiting| (*waiting).clone()).collect();
            for member in &members {
                let delivery = &member.delivery;
                if !delivery.group.is_empty() {
                    self.spoke.insert((delivery.channel.clone(), delivery.group.clone()), now);
                }
            }
            // Groups that have been quiet for a day need no memory.
            self.spoke.retain(|_, spoke| now.since(*spoke) < Duration::from_secs(86_400));
            return Pick::Send(members);
        }
        units.iter().map(|unit| unit.due).min().map_or(Pick::Idle, Pick::Wait)
    }

    /// Makes deliveries one message for good: whatever happens, they are tried again together.
    pub fn bind(&mut self, members: &mut [Waiting], batch: Uuid) {
        for member in members {
            member.delivery.batch = Some(batch);
            let place = self.places.get(&member.delivery.id());
            let waiting = self.channels.get_mut(&member.delivery.channel);
            if let (Some(place), Some(waiting)) = (place, waiting) {
                waiting.insert(*place, member.clone());
            }
        }
    }
}

/// Deliveries that go together.
struct Unit<'a> {
    members: Vec<&'a Waiting>,
    due: Moment,
}

/// Forms the messages that could be sent, oldest first, each without anything older of its incidents before it.
fn units<'a>(waiting: impl Iterator<Item = &'a Waiting>) -> Vec<Unit<'a>> {
    let mut rest: Vec<&Waiting> = waiting.collect();
    let mut units = Vec::new();
    let mut before: HashSet<Uuid> = HashSet::new();
    let digest = digest(&rest);
    while let Some(first) = rest.first().copied() {
        let goes_along = |other: &Waiting| match (first.delivery.batch, other.delivery.batch) {
            (Some(one), Some(other)) => one == other,
            (None, None) if digest => is_real(first) && is_real(other),
            (None, None) => !first.delivery.group.is_empty() && first.delivery.group == other.delivery.group,
            _ => false,
        };
        let (mut members, mut others) = (Vec::new(), Vec::new());
        let mut passed_over: HashSet<Uuid> = HashSet::new();
        for other in rest {
            // What has something older that stays behind stays behind itself, or it would hold up everybody else.
            let incidents = [first, other].map(|waiting| waiting.delivery.incident);
            let is_free = !incidents.iter().any(|incident| before.contains(incident))
                && !passed_over.contains(&other.delivery.incident);
            let is_bound = other.delivery.batch.is_some();
            if std::ptr::eq(other, first) || goes_along(other) && (is_free || is_bound) {
                members.push(other);
            } else {
                passed_over.insert(other.delivery.incident);
                others.push(other);
            }
        }
        let has_older = members.iter().any(|member| before.contains(&member.delivery.incident));
        before.extend(members.iter().map(|member| member.delivery.incident));
        // A group speaks when its first member may; a bound message when all of it may be tried again.
        let dues = members.iter().map(|member| member.not_before);
        let due = if first.delivery.batch.is_some() { dues.max() } else { dues.min() };
        if let (false, Some(due)) = (has_older, due) {
            units.push(Unit { members, due });
        }
        rest = others;
    }
    units
}

/// Returns whether so much waits that it becomes one message.
fn digest(waiting: &[&Waiting]) -> bool {
    let free = waiting.iter().filter(|waiting| waiting.delivery.batch.is_none() && is_real(waiting));
    free.map(|waiting| waiting.delivery.incident).collect::<HashSet<Uuid>>().len() > DIGEST_ABOVE
}

fn is_real(waiting: &Waiting) -> bool {
    waiting.delivery.happening != Happening::Drill
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::message::Severity;
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + secs).unwrap()
    }

    /// The boot clock counts from the same moment.
    fn moment(secs: i64) -> Moment {
        Moment::from_ms(secs * 1000)
    }

    fn delivery(incident: u128, event: u32, due: i64, group: &str) -> Delivery {
        Delivery {
            incident: Uuid::from_u128(incident),
            event,
            channel: "ops".to_owned(),
            happening: if event == 1 { Happening::Opened } else { Happening::Resolved },
            severity: Severity::Page,
            state: DeliveryState::Due,
            created: at(due),
            tried_since: at(due),
            due: at(due),
            tries: 0,
            said: String::new(),
            batch: None,
            group: group.to_owned(),
            group_interval_ms: 30_000,
            updated: at(due),
        }
    }

    fn picked(outbox: &mut Outbox, now: i64) -> String {
        match outbox.pick("ops", moment(now)) {
            Pick::Send(members) => {
                let shown = members
                    .iter()
                    .map(|member| format!("{}.{}", member.delivery.incident.as_u128(), member.delivery.event));
                shown.collect::<Vec<_>>().join(" ")
            }
            Pick::Wait(until) => format!("wait {}", until.as_ms() / 1000),
            Pick::Idle => "idle".to_owned(),
        }
    }

    fn put(outbox: &mut Outbox, delivery: Delivery) {
        outbox.put(delivery, Ticket::default(), Stamp { at: moment(0), wall: at(0) });
    }

    fn with(deliveries: impl IntoIterator<Item = Delivery>) -> Outbox {
        let mut outbox = Outbox::default();
        deliveries.into_iter().for_each(|delivery| put(&mut outbox, delivery));
        outbox
    }

    #[test]
    fn an_end_is_never_told_before_the_beginning_and_holds_up_nobody_else() {
        let mut outbox = with([delivery(1, 1, 50, ""), delivery(1, 2, 0, ""), delivery(2, 1, 10, "")]);
        assert_eq!(picked(&mut outbox, 20), "2.1");
        outbox.remove(&delivery(2, 1, 10, "").id());
        assert_eq!(picked(&mut outbox, 20), "wait 50");
        assert_eq!(picked(&mut outbox, 50), "1.1");
        outbox.remove(&delivery(1, 1, 50, "").id());
        assert_eq!(picked(&mut outbox, 50), "1.2");
        outbox.remove(&delivery(1, 2, 0, "").id());
        assert_eq!(picked(&mut outbox, 50), "idle");
    }

    #[test]
    fn more_than_five_incidents_become_one_message_in_order_and_a_drill_stays_alone() {
        let mut drill = delivery(99, 1, 0, "");
        drill.happening = Happening::Drill;
        let five = (1..=5).map(|number| delivery(number, 1, 0, ""));
        assert_eq!(picked(&mut with(five.clone()), 0), "1.1");
        let many = five.chain([drill, delivery(1, 2, 0, ""), delivery(6, 1, 0, "")]);
        assert_eq!(picked(&mut with(many), 0), "1.1 2.1 3.1 4.1 5.1 1.2 6.1");
    }

    #[test]
    fn a_group_waits_for_its_first_member_and_then_for_its_interval() {
        let mut outbox =
            with([delivery(1, 1, 10, "team=a"), delivery(2, 1, 15, "team=a"), delivery(3, 1, 12, "team=b")]);
        assert_eq!(picked(&mut outbox, 9), "wait 10");
        assert_eq!(picked(&mut outbox, 10), "1.1 2.1");
        outbox.remove(&delivery(1, 1, 0, "").id());
        outbox.remove(&delivery(2, 1, 0, "").id());
        put(&mut outbox, delivery(4, 1, 11, "team=a"));
        assert_eq!(picked(&mut outbox, 12), "3.1");
        outbox.remove(&delivery(3, 1, 0, "").id());
        assert_eq!(picked(&mut outbox, 12), "wait 40");
    }

    #[test]
    fn what_was_tried_together_is_tried_again_together() {
        let mut outbox = with((1..=6).map(|number| delivery(number, 1, 0, "")));
        let Pick::Send(mut members) = outbox.pick("ops", moment(0)) else { panic!("they are due") };
        outbox.bind(&mut members, Uuid::from_u128(7));
        for member in &mut members {
            member.delivery.tries = 1;
            member.delivery.due = at(60);
            put(&mut outbox, member.delivery.clone());
        }
        put(&mut outbox, delivery(8, 1, 5, ""));
        put(&mut outbox, delivery(1, 2, 5, ""));
        assert_eq!(picked(&mut outbox, 30), "8.1");
        outbox.remove(&delivery(8, 1, 5, "").id());
        assert_eq!(picked(&mut outbox, 30), "wait 60");
        assert_eq!(picked(&mut outbox, 60), "1.1 2.1 3.1 4.1 5.1 6.1");
    }

    fn bound(mut delivery: Delivery) -> Delivery {
        delivery.batch = Some(Uuid::from_u128(7));
        delivery
    }

    #[test]
    fn a_message_that_is_not_accepted_holds_up_no_other_incident() {
        let openings = (1..=6).map(|number| bound(delivery(number, 1, 60, "")));
        let ends = (1..=6).map(|number| delivery(number, 2, 0, ""));
        let news = (11..=13).map(|number| delivery(number, 1, 0, ""));
        let mut outbox = with(openings.chain(ends).chain(news));
        assert_eq!(picked(&mut outbox, 30), "11.1 12.1 13.1");
    }

    #[test]
    fn an_end_does_not_overtake_its_beginning_in_a_message_that_began_to_wait_earlier() {
        let waiting = [delivery(20, 1, 0, ""), bound(delivery(1, 1, 60, "")), bound(delivery(2, 1, 60, ""))];
        let more = (21..=25).map(|number| delivery(number, 1, 0, ""));
        let mut outbox = with(waiting.into_iter().chain([delivery(1, 2, 0, "")]).chain(more));
        assert_eq!(picked(&mut outbox, 30), "20.1 21.1 22.1 23.1 24.1 25.1");
    }
}
