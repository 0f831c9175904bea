//! Looking at what holds now: what opens, goes on, comes and goes, and ends.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Stamp, elapsed};

use super::{Desk, Look};
use crate::alert::condition::{Condition, Holds};
use crate::alert::incident::{Ending, Event, EventKind, Incident, Told};
use crate::alert::message::Happening;
use crate::alert::tell::{Changes, Telling};
use crate::judge::Verdict;

/// Longest time that a page waits for its hard needs to answer (DESIGN section 8).
pub const HOLD: Duration = Duration::from_secs(10);
/// So many openings within so long are one incident that comes and goes. Check-level flap detection looks at minutes
/// (Nagios: 21 results); this is its slower twin.
const RESTLESS: [(usize, Duration); 2] = [(2, Duration::from_secs(900)), (3, Duration::from_secs(3600))];
/// Keys of which openings are remembered, before old ones are forgotten.
const OPENINGS_KEPT: usize = 10_000;
/// Openings of one key that are remembered.
const RESTLESS_KEPT: usize = 3;
/// What comes and goes is over when it has been calm for so long: the same time after which a crash loop is
/// (DESIGN section 7, design/peers.md b.5).
const CALM: Duration = Duration::from_secs(600);
/// A message that has been on its way for so long is not to be relied on: others may speak.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(120);

impl Desk {
    /// Looks at what holds now. Conditions must come with hard needs before what needs them.
    pub fn look(&mut self, conditions: &[Condition], look: &mut Look<'_>) -> Changes {
        let (mut out, now) = (Changes::default(), look.telling.now);
        self.keep_time(now, &mut out);
        self.excused.retain(|_, until| *until > now.at);
        for incident in std::mem::take(&mut self.superseded) {
            let how = Ending::PartOf(incident.key.clone());
            self.end(incident, how, &look.telling, &mut out);
        }
        if self.openings.len() > OPENINGS_KEPT {
            let longest = RESTLESS.iter().map(|(_, length)| *length).max().unwrap_or_default();
            self.openings.retain(|_, at| at.back().is_some_and(|at| now.at.since(*at) <= longest));
        }
        for condition in conditions.iter().filter(|condition| condition.holds == Holds::Yes) {
            let is_open = self.open.contains_key(&condition.key);
            if is_open {
                self.goes_on(condition, &look.telling, &mut out)
            } else {
                self.begins(condition, look, &mut out)
            }
        }
        self.settle(conditions, look, &mut out);
        let fails: HashSet<&str> = conditions.iter().map(|condition| condition.key.as_str()).collect();
        for incident in self.open.values_mut().filter(|incident| !incident.failing.is_empty()) {
            let before = incident.failing.len();
            incident.failing.retain(|service| fails.contains(&*Condition::service_key(service)));
            if incident.failing.len() < before {
                out.incidents.push(incident.clone());
            }
        }
        for incident in self.open.values_mut().filter(|incident| !incident.is_trial()) {
            let before = (out.events.len(), out.deliveries.len());
            look.telling.tick(incident, &mut out);
            if before != (out.events.len(), out.deliveries.len()) {
                out.incidents.push(incident.clone());
            }
        }
        out
    }

    /// Something holds and no incident is about it yet.
    fn begins(&mut self, condition: &Condition, look: &mut Look<'_>, out: &mut Changes) {
        let now = look.telling.now;
        if now.at.since(condition.since) < condition.after {
            return;
        }
        if let Some(root) = self.speaking_root(condition, &look.telling) {
            return self.impact(&root, condition, now, out);
        }
        if self.excused.contains_key(&condition.key) {
            return;
        }
        let openings = self.openings.entry(condition.key.clone()).or_default();
        openings.push_back(now.at);
        let within = |length: Duration| openings.iter().filter(|at| now.at.since(**at) <= length).count();
        let is_restless = RESTLESS.iter().any(|(count, length)| within(*length) >= *count);
        if openings.len() > RESTLESS_KEPT {
            openings.pop_front();
        }
        let mut incident = condition.incident((look.new_id)(), now.wall);
        incident.flapping = is_restless;
        incident.held = !condition.needs.is_empty() && !condition.vouched;
        if incident.held {
            self.hold_until.insert(condition.key.clone(), now.at + HOLD);
        }
        let event = incident.happened(EventKind::Opened, condition.title.clone(), now.wall);
        look.telling.opened(&mut incident, &event, Happening::Opened, out);
        out.record(&incident, event);
        self.open.insert(condition.key.clone(), incident);
    }

    /// Something holds that an open incident is about.
    fn goes_on(&mut self, condition: &Condition, telling: &Telling<'_>, out: &mut Changes) {
        let now = telling.now;
        let root = self.speaking_root(condition, telling);
        let is_held = self.open.get(&condition.key).is_some_and(|incident| incident.held);
        if let Some(root) = root.filter(|_| is_held) {
            self.ends(&condition.key, Ending::PartOf(root.clone()), telling, out);
            return self.impact(&root, condition, now, out);
        }
        let Some(incident) = self.open.get_mut(&condition.key) else { return };
        let changed_before = out.events.len() + out.deliveries.len();
        if incident.held {
            let until = *self.hold_until.entry(condition.key.clone()).or_insert(now.at + HOLD);
            if condition.vouched || now.at >= until {
                self.hold_until.remove(&condition.key);
                telling.release(incident, out);
                out.incidents.push(incident.clone());
            }
        }
        if condition.severity < incident.severity {
            match condition.ours {
                // Something milder is said elsewhere, and we cannot say that what it was opened for is over.
                Some(Holds::Unclear) => return,
                Some(Holds::Restless) => {
                    self.calm_since.insert(condition.key.clone(), now.at);
                    return comes_and_goes(incident, telling, out);
                }
                _ => {}
            }
            // What it was opened for is over; the rest is another incident.
            let calm = *self.calm_since.entry(condition.key.clone()).or_insert(now.at);
            if !incident.flapping || now.at.since(calm) >= CALM {
                self.ends(&condition.key, Ending::Recovered, telling, out);
            }
            return;
        }
        self.calm_since.remove(&condition.key);
        revise(incident, condition, telling, out);
        if changed_before != out.events.len() + out.deliveries.len() {
            out.incidents.push(incident.clone());
        }
    }

    /// Ends what does not hold any more, unless it comes and goes.
    fn settle(&mut self, conditions: &[Condition], look: &Look<'_>, out: &mut Changes) {
        let (telling, now) = (&look.telling, look.telling.now);
        let held: HashMap<&str, &Condition> =
            conditions.iter().map(|condition| (condition.key.as_str(), condition)).collect();
        let keys: Vec<String> = self.open.keys().cloned().collect();
        for key in keys {
            let condition = held.get(key.as_str()).copied();
            let holds = condition.map(|condition| condition.holds);
            let Some(incident) = self.open.get_mut(&key).filter(|incident| !incident.is_trial()) else { continue };
            let is_withdrawn = incident.service.as_deref().is_some_and(|service| !(look.is_known)(service));
            let note = condition.map_or("", |condition| condition.note.as_str());
            if note != incident.note {
                note.clone_into(&mut incident.note);
                let text = if note.is_empty() { "its source is heard of again" } else { note };
                let event = incident.happened(EventKind::Note, text, now.wall);
                out.record(incident, event);
            }
            match holds {
                Some(Holds::Yes | Holds::Unclear) => continue,
                // Nobody has heard of it yet, and it is over.
                Some(Holds::Restless) if incident.held => {
                    self.ends(&key, Ending::Recovered, telling, out);
                    continue;
                }
                None if is_withdrawn => {
                    self.ends(&key, Ending::Withdrawn, telling, out);
                    continue;
                }
                Some(Holds::Restless) => comes_and_goes(incident, telling, out),
                Some(Holds::No) | None => {}
            }
            let calm = *self.calm_since.entry(key.clone()).or_insert(now.at);
            if holds == Some(Holds::Restless) {
                self.calm_since.insert(key.clone(), now.at);
            } else if !incident.flapping || now.at.since(calm) >= CALM {
                self.ends(&key, Ending::Recovered, telling, out);
            }
        }
    }

    /// When somebody has set the wall clock, reminders and escalations are due no sooner and no later for it.
    fn keep_time(&mut self, now: Stamp, out: &mut Changes) {
        let Some(by) = self.clock.set_by(now) else { return };
        tracing::warn!(by_secs = by.as_secs(), "the wall clock was set");
        for incident in self.open.values_mut() {
            incident.told.values_mut().for_each(|told| told.shift(by));
            out.incidents.push(incident.clone());
        }
    }

    /// Returns the key of the incident that explains a condition and of which somebody knows, or will.
    fn speaking_root(&self, condition: &Condition, telling: &Telling<'_>) -> Option<String> {
        let keys = condition.roots.iter().map(|root| Condition::service_key(root));
        // A ticket about the root is no answer to a page.
        let speaks = |incident: &Incident| {
            // Without any channel, nobody could be told in somebody else's place.
            let is_heard = telling.channels.is_empty() || incident.speaks() && !is_doubtful(incident, telling.now.wall);
            is_heard && incident.severity >= condition.severity
        };
        keys.into_iter().find(|key| self.open.get(key).is_some_and(speaks))
    }

    /// A service fails because of another: it stands in that one's incident.
    fn impact(&mut self, root: &str, condition: &Condition, now: Stamp, out: &mut Changes) {
        let (Some(service), Some(incident)) = (&condition.service, self.open.get_mut(root)) else { return };
        self.excused.insert(condition.key.clone(), now.at + condition.grace);
        if incident.failing.insert(service.to_string()) {
            let text = format!("{service} fails too: {}", condition.title);
            let event = incident.happened(EventKind::Impacted, text, now.wall);
            out.record(incident, event);
        }
    }
}

/// Says, once, that it comes and goes.
fn comes_and_goes(incident: &mut Incident, telling: &Telling<'_>, out: &mut Changes) {
    if incident.flapping || incident.held {
        return;
    }
    incident.flapping = true;
    let text = format!("it comes and goes; resolved once it is calm: {}", incident.title);
    let event = incident.happened(EventKind::Flapping, text, telling.now.wall);
    telling.news(incident, &event, Happening::Flapping, out);
    out.record(incident, event);
}

/// Takes over what changed while it went on.
fn revise(incident: &mut Incident, condition: &Condition, telling: &Telling<'_>, out: &mut Changes) {
    let now = telling.now.wall;
    incident.impacted.clone_from(&condition.impacted);
    let new: Vec<&String> = condition.joined.difference(&incident.joined).collect();
    if !new.is_empty() {
        let names = new.into_iter().cloned().collect::<Vec<_>>().join(", ");
        incident.joined.extend(condition.joined.iter().cloned());
        incident.description.clone_from(&condition.description);
        let event = incident.happened(EventKind::Joined, format!("also: {names}"), now);
        if condition.tells_of_joins {
            // Whoever took it did not take this.
            incident.acknowledged = None;
            condition.describe(incident);
            telling.news(incident, &event, Happening::Worsened, out);
        }
        out.events.push((incident.id, event));
    }
    let is_worse = condition.severity > incident.severity || condition.rank > incident.rank;
    // Two causes that take turns are news once.
    let has_new_cause = !condition.cause.is_empty() && incident.causes.insert(condition.cause.clone());
    // The same trouble has a worse name by now, as when an exit turns out to be a loop: no news, but the title says so.
    let verdict = |word: &str| Verdict::parse(word);
    let has_worse_name = verdict(&condition.verdict) > verdict(&incident.verdict);
    if !is_worse && !has_new_cause && !has_worse_name {
        return;
    }
    let was_taken = incident.acknowledged.take_if(|_| is_worse || has_new_cause).is_some();
    condition.describe(incident);
    let text = condition.title.clone();
    if is_worse || was_taken {
        let event = incident.happened(EventKind::Worsened, text, now);
        telling.news(incident, &event, Happening::Worsened, out);
        out.events.push((incident.id, event));
    } else {
        let event: Event = incident.happened(EventKind::Cause, text, now);
        out.events.push((incident.id, event));
    }
}

/// Returns whether it has been on its way for so long that nobody should rely on it.
fn is_doubtful(incident: &Incident, now: Timestamp) -> bool {
    let waits = |told: &Told| !told.accepted && elapsed(told.since, now) > DOUBTFUL_AFTER;
    !incident.told.is_empty() && incident.told.values().all(waits)
}
