//! What is remembered of pending entries from one look to the next: which consumers had them. Redis tells the last one only.
//!
//! In memory and bounded: what is forgotten is held for an entry of one consumer, which is dead by its age alone.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::entry_id::EntryId;

/// Entries that are watched at the same time, at most: of about 130 bytes each.
const WATCHED: usize = 100_000;
/// Consumers that are told apart, at most: as many as a configuration may ask for.
const CONSUMERS: usize = 16;
/// After a round that took one unit of time, so many are rested: to look takes a tenth of the time, whatever is pending.
const REST: u32 = 9;
/// Longest rest.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// All of it.
#[derive(Default)]
pub(super) struct Watch {
    queues: HashMap<String, Round>,
    entries: usize,
    unwatched: u64,
    is_full: bool,
}

/// One reading of all that is pending in a group. What dies does so in no order, so that the next one begins in front.
#[derive(Default)]
struct Round {
    number: u64,
    began: Option<Instant>,
    /// Where the end was, and until when to rest there.
    ended: Option<(EntryId, Instant)>,
    furthest: Option<EntryId>,
    /// Dead entries so far, and in the round before.
    dead: u64,
    dead_before: u64,
    seen: HashMap<EntryId, Seen>,
}

struct Seen {
    /// Digests of names.
    consumers: Vec<u64>,
    round: u64,
}

impl Watch {
    /// Returns where to begin when somebody wants to go on at `from`: in front, if that is the end and there was rest enough.
    pub(super) fn begin(&mut self, queue: &str, from: EntryId, now: Instant) -> EntryId {
        let round = self.queues.entry(queue.to_owned()).or_default();
        let is_rested = round.ended.is_some_and(|(end, rest)| from >= end && now >= rest);
        let from = if is_rested { EntryId::default() } else { from };
        if from == EntryId::default() {
            round.number += 1;
            (round.began, round.ended, round.furthest, round.dead) = (Some(now), None, None, 0);
        }
        from
    }

    /// Notes who has an entry, and returns how many had it.
    pub(super) fn note(&mut self, queue: &str, id: EntryId, consumer: &[u8]) -> u32 {
        let Some(round) = self.queues.get_mut(queue) else { return 1 };
        let consumer = digest(consumer);
        if let Some(seen) = round.seen.get_mut(&id) {
            seen.round = round.number;
            if !seen.consumers.contains(&consumer) && seen.consumers.len() < CONSUMERS {
                seen.consumers.push(consumer);
            }
            return count(&seen.consumers);
        }
        if self.entries >= WATCHED {
            self.drop_one();
            return 1;
        }
        round.seen.insert(id, Seen { consumers: vec![consumer], round: round.number });
        self.entries += 1;
        1
    }

    fn drop_one(&mut self) {
        self.unwatched += 1;
        if !self.is_full {
            self.is_full = true;
            tracing::warn!(watched = WATCHED, "more entries are pending than are watched: the others die of age alone");
        }
    }

    /// Returns how many consumers had an entry that `consumer` has now.
    pub(super) fn consumers(&self, queue: &str, id: EntryId, consumer: &[u8]) -> u32 {
        let Some(seen) = self.queues.get(queue).and_then(|round| round.seen.get(&id)) else { return 1 };
        count(&seen.consumers) + u32::from(!seen.consumers.contains(&digest(consumer)))
    }

    /// Notes that an entry was read, and whether it is dead.
    pub(super) fn read(&mut self, queue: &str, id: EntryId, is_dead: bool) {
        let Some(round) = self.queues.get_mut(queue) else { return };
        // Who lists what was lately reads some twice.
        if round.furthest.is_none_or(|furthest| id > furthest) {
            round.furthest = Some(id);
            round.dead += u64::from(is_dead);
        }
    }

    /// Notes that `at` is the end, and forgets what is not pending any more.
    pub(super) fn end(&mut self, queue: &str, at: EntryId, now: Instant) {
        let Some(round) = self.queues.get_mut(queue).filter(|round| round.ended.is_none()) else { return };
        let took = round.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        round.ended = Some((at, now + (took * REST).min(LONGEST_REST)));
        round.dead_before = round.dead;
        let before = round.seen.len();
        round.seen.retain(|_, seen| seen.round == round.number);
        self.entries -= before - round.seen.len();
        self.is_full &= self.entries >= WATCHED;
    }

    /// Returns how many dead entries a queue has, as far as it was read.
    pub(super) fn dead(&self, queue: &str) -> u64 {
        self.queues
            .get(queue)
            .map_or(0, |round| if round.ended.is_some() { round.dead } else { round.dead.max(round.dead_before) })
    }

    /// Forgets a queue that is not there any more.
    pub(super) fn forget(&mut self, queue: &str) {
        let round = self.queues.remove(queue).unwrap_or_default();
        self.entries -= round.seen.len();
    }

    /// Forgets all queues but these.
    pub(super) fn retain(&mut self, queues: &[String]) {
        self.queues.retain(|queue, _| queues.binary_search(queue).is_ok());
        self.entries = self.queues.values().map(|round| round.seen.len()).sum();
    }

    /// Returns how often an entry was not watched, since there were too many.
    pub(super) fn unwatched(&self) -> u64 {
        self.unwatched
    }
}

fn count(consumers: &[u64]) -> u32 {
    u32::try_from(consumers.len()).unwrap_or(u32::MAX)
}

fn digest(consumer: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    consumer.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> EntryId {
        EntryId::parse(&format!("1-{number}")).unwrap()
    }

    #[test]
    fn consumers_are_told_apart_from_one_round_to_the_next() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let front = EntryId::default();
        for (consumer, expected) in [(&b"a"[..], 1), (b"a", 1), (b"b", 2), (b"a", 2), (b"c", 3)] {
            assert_eq!(watch.begin("q", front, now), front);
            assert_eq!(watch.note("q", id(1), consumer), expected);
            watch.end("q", id(2), now);
        }
        assert_eq!((watch.consumers("q", id(1), b"c"), watch.consumers("q", id(1), b"d")), (3, 4));
        assert_eq!((watch.consumers("q", id(7), b"a"), watch.consumers("other", id(1), b"a")), (1, 1));
        // What is not pending any more is forgotten, and so is a queue that is not there any more.
        watch.begin("q", front, now);
        watch.end("q", id(2), now);
        assert_eq!((watch.entries, watch.note("q", id(1), b"a")), (0, 1));
        watch.note("q", id(2), b"a");
        watch.forget("q");
        assert_eq!((watch.entries, watch.dead("q")), (0, 0));
        watch.begin("q", front, now);
        watch.note("q", id(1), b"a");
        watch.retain(&[]);
        assert_eq!((watch.entries, watch.dead("q")), (0, 0));
    }

    #[test]
    fn after_a_round_there_is_rest_and_then_the_next_one() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        let (front, end) = (EntryId::default(), id(5));
        assert_eq!(watch.begin("q", front, at(0)), front);
        watch.read("q", id(1), true);
        assert_eq!(watch.begin("q", id(2), at(1)), id(2));
        watch.read("q", id(1), true);
        watch.read("q", id(4), true);
        watch.end("q", end, at(2));
        assert_eq!(watch.dead("q"), 2, "what is read twice counts once");
        assert_eq!([watch.begin("q", end, at(19)), watch.begin("q", id(3), at(21))], [end, id(3)]);
        assert_eq!(watch.begin("q", end, at(20)), front);
        assert_eq!(watch.dead("q"), 2, "until the next round has found more");
        watch.end("q", end, at(20));
        assert_eq!(watch.dead("q"), 0);
    }

    #[test]
    fn more_than_can_be_watched_are_counted_and_have_one_consumer_each() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        watch.begin("q", EntryId::default(), now);
        for number in 0..WATCHED + 2 {
            assert_eq!(watch.note("q", id(number), b"a"), 1);
        }
        assert_eq!((watch.entries, watch.unwatched()), (WATCHED, 2));
        assert_eq!((watch.note("q", id(0), b"b"), watch.note("q", id(WATCHED), b"b")), (2, 1));
    }
}
