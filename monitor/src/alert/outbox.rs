//! What waits to be sent, by channel: what goes next, what goes together, what waits for another try. Pure.
//!
//! The rows are on disk; this is the part of them that is still to be done. Order within an incident is never broken:
//! nothing is sent while something older of the same incident waits for the same channel.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use kit::clock::{Moment, Stamp, elapsed};
use uuid::Uuid;

use super::delivery::{Delivery, DeliveryId, DeliveryState};
use crate::record::Ticket;

/// With more incidents than this waiting, they become one message (DESIGN section 8).
const DIGEST_ABOVE: usize = 5;
/// Deliveries in one message, at most; the rest goes in the next.
const MAX_TOGETHER: usize = 100;

/// One delivery that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The delivery.
    pub delivery: Delivery,
    /// When its row is on the disk.
    pub ticket: Ticket,
    /// When it may be sent, on the clock that nobody sets.
    not_before: Moment,
    /// From when its age counts, on that clock: when it might be sent first.
    since: Moment,
}

impl Waiting {
    /// Returns how long it has waited since it might be sent first.
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.since)
    }
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
        let wait = elapsed(now.wall, delivery.due);
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
        let waiting = self.channels.entry(delivery.channel.clone()).or_default();
        let age = elapsed(delivery.tried_since, now.wall);
        let since = waiting.get(&place).map_or_else(|| not_before - age, |known| known.since);
        waiting.insert(place, Waiting { delivery, ticket, not_before, since });
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

    /// Returns what waits for a channel of one incident, oldest first.
    pub fn of(&self, channel: &str, incident: Uuid) -> Vec<Waiting> {
        self.all_of(channel).into_iter().filter(|waiting| waiting.delivery.incident == incident).collect()
    }

    /// Returns everything that waits for a channel, oldest first.
    pub fn all_of(&self, channel: &str) -> Vec<Waiting> {
        self.channels.get(channel).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Returns the channels that something waits for.
    pub fn channels(&self) -> Vec<String> {
        let waiting = self.channels.iter().filter(|(_, waiting)| !waiting.is_empty());
        waiting.map(|(channel, _)| channel.clone()).collect()
    }

    /// Returns what a channel is to send now; `together` if it takes several incidents in one message.
    pub fn pick(&mut self, channel: &str, now: Moment, together: bool) -> Pick {
        let Some(waiting) = self.channels.get(channel).filter(|waiting| !waiting.is_empty()) else { return Pick::Idle };
        let units = units(waiting.values(), together);
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

    /// Fixes a message for good before it is sent for the first time: whatever happens, it is tried again as it is.
    pub fn bind(&mut self, members: &mut [Waiting], batch: Option<Uuid>) {
        for member in members {
            (member.delivery.batch, member.delivery.attempted) = (batch, true);
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
fn units<'a>(waiting: impl Iterator<Item = &'a Waiting>, together: bool) -> Vec<Unit<'a>> {
    let mut rest: Vec<&Waiting> = waiting.collect();
    if !together && rest.iter().all(|waiting| waiting.delivery.batch.is_none()) {
        return singles(rest);
    }
    let mut units = Vec::new();
    let mut before: HashSet<Uuid> = HashSet::new();
    let digest = together && digest(&rest);
    while let Some(first) = rest.first().copied() {
        let is_bound = first.delivery.attempted;
        if before.contains(&first.delivery.incident) && !is_bound {
            // Whoever has something older on its way waits for that; the others need not.
            rest.remove(0);
            continue;
        }
        let goes_along = |other: &Waiting| match (first.delivery.batch, other.delivery.batch) {
            (Some(one), Some(other)) => one == other,
            // What was tried by itself is repeated by itself.
            (None, None) if !together || is_bound || other.delivery.attempted => false,
            (None, None) if digest => !first.delivery.drill && !other.delivery.drill,
            (None, None) => {
                let (group, drill) = (&first.delivery.group, first.delivery.drill);
                !group.is_empty() && *group == other.delivery.group && drill == other.delivery.drill
            }
            _ => false,
        };
        let (mut members, mut others) = (Vec::new(), Vec::new());
        let mut passed_over: HashSet<Uuid> = HashSet::new();
        for other in rest {
            let incident = other.delivery.incident;
            let waits = !is_bound && (before.contains(&incident) || passed_over.contains(&incident));
            let has_room = is_bound || members.len() < MAX_TOGETHER;
            if std::ptr::eq(other, first) || goes_along(other) && !waits && has_room {
                members.push(other);
            } else {
                // What is newer of the same incident must not overtake it.
                passed_over.insert(incident);
                others.push(other);
            }
        }
        let has_older = members.iter().any(|member| before.contains(&member.delivery.incident));
        before.extend(members.iter().map(|member| member.delivery.incident));
        // A group speaks when its first member may; a bound message when all of it may be tried again.
        let dues = members.iter().map(|member| member.not_before);
        let due = if is_bound { dues.max() } else { dues.min() };
        if let (false, Some(due)) = (has_older, due) {
            units.push(Unit { members, due });
        }
        rest = others;
    }
    units
}

/// As [`units`], where each message tells of one incident: thousands may wait for a service that is away.
fn singles(waiting: Vec<&Waiting>) -> Vec<Unit<'_>> {
    let mut before: HashSet<Uuid> = HashSet::new();
    let firsts = waiting.into_iter().filter(|waiting| before.insert(waiting.delivery.incident));
    firsts.map(|waiting| Unit { due: waiting.not_before, members: vec![waiting] }).collect()
}

/// Returns whether so much waits that it becomes one message.
fn digest(waiting: &[&Waiting]) -> bool {
    let free = waiting.iter().filter(|waiting| !waiting.delivery.attempted && !waiting.delivery.drill);
    free.map(|waiting| waiting.delivery.incident).collect::<HashSet<Uuid>>().len() > DIGEST_ABOVE
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::message::{Happening, Severity};
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + secs).unwrap()
    }

    /// The boot clock counts from the same moment.
    fn moment(secs: i64) -> Moment {
        Moment::from_ms(secs * 1000)
    }

    fn delivery(incident: u128, event: u32, due: i64, group: &str) -> Delivery {
        let happening = if event == 1 { Happening::Opened } else { Happening::Resolved };
        let id = (Uuid::from_u128(incident), event, "ops".to_owned());
        let group = group.to_owned();
        Delivery { group, group_interval_ms: 30_000, ..Delivery::due(id, happening, Severity::Page, at(due)) }
    }

    fn picked(outbox: &mut Outbox, now: i64) -> String {
        match outbox.pick("ops", moment(now), true) {
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
        drill.drill = true;
        let five = (1..=5).map(|number| delivery(number, 1, 0, ""));
        assert_eq!(picked(&mut with(five.clone()), 0), "1.1");
        let many = five.chain([drill, delivery(1, 2, 0, ""), delivery(6, 1, 0, "")]);
        assert_eq!(picked(&mut with(many), 0), "1.1 2.1 3.1 4.1 5.1 1.2 6.1");
    }

    #[test]
    fn what_was_tried_alone_is_repeated_alone_and_one_at_a_time_is_never_together() {
        let mut tried = delivery(1, 1, 0, "");
        tried.attempted = true;
        let many = || std::iter::once(tried.clone()).chain((2..=7).map(|number| delivery(number, 1, 0, "")));
        let mut outbox = with(many());
        assert_eq!(picked(&mut outbox, 0), "1.1");
        outbox.remove(&tried.id());
        assert_eq!(picked(&mut outbox, 0), "2.1 3.1 4.1 5.1 6.1 7.1");
        let mut single = with(many());
        let Pick::Send(members) = single.pick("ops", moment(0), false) else { panic!("it is due") };
        assert_eq!(members.len(), 1);
    }

    #[test]
    fn a_message_that_is_stuck_holds_up_only_its_own_incidents() {
        let mut stuck = [delivery(1, 1, 100, ""), delivery(2, 1, 100, "")];
        stuck.iter_mut().for_each(|row| (row.attempted, row.batch) = (true, Some(Uuid::from_u128(9))));
        let fresh =
            [(1, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1)].map(|(id, event)| delivery(id, event, 0, ""));
        assert_eq!(picked(&mut with(stuck.into_iter().chain(fresh)), 0), "3.1 4.1 5.1 6.1 7.1 8.1");
        let many = (1..=150).map(|number| delivery(number, 1, 0, ""));
        let mut outbox = with(many);
        let Pick::Send(members) = outbox.pick("ops", moment(0), true) else { panic!("they are due") };
        assert_eq!(members.len(), 100);
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
        let Pick::Send(mut members) = outbox.pick("ops", moment(0), true) else { panic!("they are due") };
        outbox.bind(&mut members, Some(Uuid::from_u128(7)));
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
        (delivery.attempted, delivery.batch) = (true, Some(Uuid::from_u128(7)));
        delivery
    }

    #[test]
    fn an_end_does_not_overtake_its_beginning_in_a_message_that_began_to_wait_earlier() {
        let waiting = [delivery(20, 1, 0, ""), bound(delivery(1, 1, 60, "")), bound(delivery(2, 1, 60, ""))];
        let more = (21..=25).map(|number| delivery(number, 1, 0, ""));
        let mut outbox = with(waiting.into_iter().chain([delivery(1, 2, 0, "")]).chain(more));
        assert_eq!(picked(&mut outbox, 30), "20.1 21.1 22.1 23.1 24.1 25.1");
    }
}
