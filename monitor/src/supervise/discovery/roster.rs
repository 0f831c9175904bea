//! What is known of the workloads that one discovery has found, over time: who is gone stays for a while. Pure.

use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{elapsed, later};
use serde::{Deserialize, Serialize};

use super::sighting::{Reach, Sighting};

/// Everything that was found and is not forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    known: Vec<Known>,
    left_out: usize,
    /// Where it was seen.
    #[serde(default)]
    place: String,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// As it was seen last.
    pub sighting: Sighting,
    /// Since when it has not been there.
    pub lost: Option<Timestamp>,
    /// Why it cannot be reached any more, though it runs; its address is then the last one that it had.
    #[serde(default)]
    pub astray: Option<String>,
}

impl Known {
    /// Takes what is seen of it now. Where it was reached is where it will be missed, whether it does not run or has lost
    /// its address: nothing that was asked may end without anybody hearing of it.
    fn take(&mut self, mut sighting: Sighting) {
        let had_address = matches!(self.sighting.reach, Reach::At { .. });
        self.astray = match &sighting.reach {
            Reach::Nowhere(why) if had_address => Some(why.clone()),
            Reach::Pending if had_address && sighting.running => Some("it runs and has no address".to_owned()),
            _ => None,
        };
        if had_address && !matches!(sighting.reach, Reach::At { .. }) {
            sighting.reach = self.sighting.reach.clone();
        }
        self.sighting = sighting;
        self.lost = None;
    }
}

impl Roster {
    /// Returns everything that is known, in the order in which it was found.
    pub fn known(&self) -> &[Known] {
        &self.known
    }

    /// Returns how many are there beyond the limit.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Returns whether both say the same of services: that something was started or ended changes nothing of what is known
    /// of it here.
    pub fn is_like(&self, other: &Self) -> bool {
        let alike = |(one, other): (&Known, &Known)| {
            let (seen, other_seen) = (&one.sighting, &other.sighting);
            (one.lost, &one.astray) == (other.lost, &other.astray)
                && (&seen.shown, &seen.name, &seen.sought) == (&other_seen.shown, &other_seen.name, &other_seen.sought)
                && (&seen.labels, &seen.reach) == (&other_seen.labels, &other_seen.reach)
        };
        (self.known.len(), self.left_out) == (other.known.len(), other.left_out)
            && self.known.iter().zip(&other.known).all(alike)
    }

    /// Takes a look at everything in a place. What was known of another place and is not there was never there.
    pub fn take_from(&mut self, place: &str, seen: Vec<Sighting>, limit: usize, now: Timestamp) {
        let has_moved = !self.place.is_empty() && self.place != place;
        if has_moved {
            self.known.iter_mut().for_each(|known| known.sighting.reach = Reach::Pending);
        }
        self.take(seen, limit, now);
        if has_moved {
            self.known.retain(|known| known.lost.is_none());
        }
        place.clone_into(&mut self.place);
    }

    /// Takes a look at everything.
    pub fn take(&mut self, seen: Vec<Sighting>, limit: usize, now: Timestamp) {
        let mut seen = one_of_each(seen, &self.known);
        for known in &mut self.known {
            let place = seen.iter().position(|sighting| sighting.sought == known.sighting.sought);
            match place.map(|place| seen.swap_remove(place)) {
                Some(sighting) => known.take(sighting),
                None => known.lost = known.lost.or(Some(now)),
            }
        }
        seen.sort_by(|left, right| (left.created_secs, &left.shown).cmp(&(right.created_secs, &right.shown)));
        self.make_room(seen.len(), limit);
        let room = limit.saturating_sub(self.known.len());
        self.left_out = seen.len().saturating_sub(room) + self.known.len().saturating_sub(limit);
        self.known.truncate(limit);
        self.known.extend(seen.into_iter().take(room).map(|sighting| Known { sighting, lost: None, astray: None }));
    }

    /// Forgets what has not been there for so long.
    pub fn forget(&mut self, after: Duration, now: Timestamp) {
        self.known.retain(|known| known.lost.is_none_or(|lost| elapsed(lost, now) < after));
    }

    /// Returns when the next one is to be forgotten.
    pub fn next_forgotten(&self, after: Duration) -> Option<Timestamp> {
        self.known.iter().filter_map(|known| known.lost).min().map(|lost| later(lost, after))
    }

    /// What is there takes the place of what is not.
    fn make_room(&mut self, new: usize, limit: usize) {
        while self.known.len() + new > limit {
            let longest_lost =
                (0..self.known.len()).filter(|index| self.lost(*index).is_some()).min_by_key(|index| self.lost(*index));
            match longest_lost {
                Some(index) => drop(self.known.remove(index)),
                None => break,
            }
        }
    }

    fn lost(&self, index: usize) -> Option<Timestamp> {
        self.known.get(index).and_then(|known| known.lost)
    }
}

/// Of several that are found alike (replicas, or an old and a new one) the one that is followed goes on as long as it runs;
/// then one that runs, then the newest.
fn one_of_each(seen: Vec<Sighting>, known: &[Known]) -> Vec<Sighting> {
    let mut best: Vec<Sighting> = Vec::new();
    let is_followed = |sighting: &Sighting| known.iter().any(|known| known.sighting.id == sighting.id);
    let rank = |sighting: &Sighting| {
        (sighting.running && is_followed(sighting), sighting.running, sighting.created_secs, sighting.shown.clone())
    };
    for sighting in seen {
        match best.iter_mut().find(|other| other.sought == sighting.sought) {
            Some(other) if rank(&sighting) > rank(other) => *other = sighting,
            Some(_) => {}
            None => best.push(sighting),
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::discovery::sighting::Labels;
    use crate::supervise::workload::Sought;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    /// `web` runs at `:1`, and at `:?` nowhere; `web` without a number does not run.
    fn seen(text: &str) -> Vec<Sighting> {
        let sighting = |(place, word): (usize, &str)| {
            let (name, address) = word.split_once(':').map_or((word, None), |(name, at)| (name, Some(at)));
            Sighting {
                shown: format!("container {name:?}"),
                id: word.to_owned(),
                called: name.to_owned(),
                sought: Sought::Name(name.to_owned()),
                one_of: None,
                name: name.to_owned(),
                labels: Labels::default(),
                reach: match address {
                    None => Reach::Pending,
                    Some("?") => Reach::Nowhere("it is in no network".to_owned()),
                    Some(host) => Reach::At { host: host.to_owned(), any_port: true, ports: [].into() },
                },
                running: address.is_some(),
                created_secs: i64::try_from(place).unwrap(),
            }
        };
        text.split_whitespace().enumerate().map(sighting).collect()
    }

    /// Writes what is known as [`seen`] reads it, with `!` for what is lost.
    fn shown(roster: &Roster) -> String {
        let word = |known: &Known| {
            let host = match &known.sighting.reach {
                Reach::At { host, .. } => format!(":{host}"),
                _ => String::new(),
            };
            format!("{}{host}{}", known.sighting.name, if known.lost.is_some() { "!" } else { "" })
        };
        roster.known().iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_gone_stays_for_a_while_and_what_comes_back_was_never_away() {
        let mut roster = Roster::default();
        let grace = Duration::from_secs(300);
        for (secs, look, expected) in [
            (0, "web:1 db:2", "web:1 db:2"),
            (10, "db:2", "web:1! db:2"),
            (100, "db:2", "web:1! db:2"),
            (300, "web:3 db:2", "web:3 db:2"),
            (310, "web:3", "web:3 db:2!"),
            (609, "web:3", "web:3 db:2!"),
            (610, "web:3", "web:3"),
        ] {
            roster.take(seen(look), 10, at(secs));
            roster.forget(grace, at(secs));
            assert_eq!(shown(&roster), expected, "at {secs}");
        }
        roster.take(Vec::new(), 10, at(700));
        assert_eq!(roster.next_forgotten(grace), Some(at(1000)));
    }

    #[test]
    fn what_stops_keeps_its_last_address_and_of_several_one_is_followed() {
        let mut roster = Roster::default();
        roster.take(seen("web:1"), 10, at(0));
        roster.take(seen("web"), 10, at(1));
        assert_eq!(shown(&roster), "web:1");
        roster.take(seen("web web:5 web:6"), 10, at(2));
        assert_eq!(shown(&roster), "web:6", "the newest that runs");
        roster.take(seen("web:6 web:7 web:8"), 10, at(3));
        assert_eq!(shown(&roster), "web:6", "as long as it runs");
        roster.take(seen("web:7 web:8"), 10, at(4));
        assert_eq!(shown(&roster), "web:8");
    }

    #[test]
    fn what_loses_its_address_is_missed_where_it_was_and_it_is_said_why() {
        let mut roster = Roster::default();
        let astray = |roster: &Roster| roster.known().first().and_then(|known| known.astray.clone());
        for (look, expected, why) in [
            ("web:?", "web", None),
            ("web:1", "web:1", None),
            ("web:?", "web:1", Some("it is in no network")),
            ("web:?", "web:1", Some("it is in no network")),
            ("web", "web:1", None),
            ("web:?", "web:1", Some("it is in no network")),
            ("web:2", "web:2", None),
        ] {
            let before = roster.clone();
            roster.take(seen(look), 10, at(0));
            assert_eq!((shown(&roster).as_str(), astray(&roster).as_deref()), (expected, why), "{look}");
            if astray(&before) != astray(&roster) {
                assert!(!roster.is_like(&before), "{look}");
            }
        }
    }

    #[test]
    fn what_was_known_of_another_place_stays_only_if_it_is_there_too() {
        let mut roster = Roster::default();
        for (place, look, expected) in [
            ("here", "web:1 db:2", "web:1 db:2"),
            ("here", "web:1", "web:1 db:2!"),
            ("there", "web:3", "web:3"),
            ("there", "web", "web:3"),
            ("here", "web", "web"),
            ("there", "", ""),
        ] {
            roster.take_from(place, seen(look), 10, at(0));
            assert_eq!(shown(&roster), expected, "{place}: {look}");
        }
    }

    #[test]
    fn an_end_or_a_start_is_no_other_service() {
        let mut roster = Roster::default();
        roster.take(seen("web:1 db:2"), 10, at(0));
        for (look, is_like) in [("web db:2", true), ("web:1 db:2", true), ("web:3 db:2", false), ("web:1", false)] {
            let mut later = roster.clone();
            later.take(seen(look), 10, at(1));
            assert_eq!(later.is_like(&roster), is_like, "{look}");
        }
    }

    #[test]
    fn beyond_the_limit_nothing_is_taken_and_it_is_counted() {
        let mut roster = Roster::default();
        roster.take(seen("a:1 b:1 c:1 d:1"), 2, at(0));
        assert_eq!((shown(&roster).as_str(), roster.left_out()), ("a:1 b:1", 2));
        roster.take(seen("b:1 c:1"), 2, at(1));
        assert_eq!((shown(&roster).as_str(), roster.left_out()), ("b:1 c:1", 0), "what is there goes first");
        roster.take(seen("b:1 c:1"), 1, at(2));
        assert_eq!((shown(&roster).as_str(), roster.left_out()), ("b:1", 1), "a smaller limit");
    }
}
