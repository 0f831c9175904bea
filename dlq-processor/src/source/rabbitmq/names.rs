//! Numbers messages that are equal, and remembers who was which for as long as that counts.
//!
//! A broker says of a delivery whether the message was delivered before. One that never was is nobody that was seen: it gets a
//! name that nobody had. One that was delivered before is one of those that were given back, if there are any.

use std::collections::{BTreeSet, HashMap, VecDeque};

use sha2::{Digest, Sha256};

use super::identity::{At, Identity};

/// A job's name, and when it failed.
pub(super) type Name = (String, i64);

/// The names that this process gave, in one queue.
#[derive(Debug)]
pub(super) struct Names {
    /// Identities that are remembered, at most, besides those of messages that are held.
    most: usize,
    known: HashMap<Key, Known>,
    /// All of `known`, in the order in which they came.
    order: VecDeque<Key>,
    /// The newest time that was given where nobody says one.
    newest_ms: i64,
}

/// An identity's digest: there are many.
type Key = [u8; 16];

#[derive(Debug, Default)]
struct Known {
    /// How many numbers were given.
    highest: u64,
    held: BTreeSet<Name>,
    /// Of messages that may come again: given back, or acknowledged without knowing that this was heard. A queue has them in
    /// this order again.
    away: VecDeque<Name>,
}

impl Names {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: HashMap::new(), order: VecDeque::new(), newest_ms: 0 }
    }

    /// Names a message that is held from now on.
    pub(super) fn give(&mut self, identity: &Identity, is_redelivered: bool, now_ms: i64) -> Name {
        self.forget_oldest();
        let key = key_of(identity);
        let order = &mut self.order;
        let known = self.known.entry(key).or_insert_with(|| {
            order.push_back(key);
            Known::default()
        });
        let again = if is_redelivered { known.away.pop_front() } else { None };
        let name = again.unwrap_or_else(|| match identity.at {
            At::Unknown(_) if !is_redelivered => {
                self.newest_ms = now_ms.max(self.newest_ms + 1);
                (identity.job(u64::try_from(self.newest_ms).unwrap_or_default()), self.newest_ms)
            }
            At::Known(at_ms) | At::Unknown(at_ms) => {
                known.highest += 1;
                (identity.job(known.highest), at_ms)
            }
        });
        known.held.insert(name.clone());
        name
    }

    /// Takes it that a message will come again.
    pub(super) fn given_back(&mut self, identity: &Identity, name: Name) {
        if let Some(known) = self.known.get_mut(&key_of(identity)) {
            known.held.remove(&name);
            known.away.push_back(name);
        }
    }

    /// Takes it that a message never comes again.
    pub(super) fn gone(&mut self, identity: &Identity, name: &Name) {
        if let Some(known) = self.known.get_mut(&key_of(identity)) {
            known.held.remove(name);
        }
    }

    fn forget_oldest(&mut self) {
        // What is held is few: one round finds enough others.
        for _ in 0..self.order.len() {
            if self.order.len() <= self.most {
                return;
            }
            let Some(key) = self.order.pop_front() else { return };
            if self.known.get(&key).is_some_and(|known| !known.held.is_empty()) {
                self.order.push_back(key);
            } else {
                self.known.remove(&key);
            }
        }
    }
}

fn key_of(identity: &Identity) -> Key {
    let mut digest = Sha256::new();
    digest.update(identity.job(1));
    digest.update(match identity.at {
        At::Known(at_ms) => at_ms.to_be_bytes(),
        // Whenever they come, they are equal.
        At::Unknown(_) => [0xff; 8],
    });
    let digest: [u8; 32] = digest.finalize().into();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;

    use super::super::death::Death;
    use super::super::message::Message;
    use super::*;

    const MOST: usize = 100;

    fn of_broker() -> Identity {
        let death = Death { queue: "q".to_owned(), count: 1, at_secs: Some(10), ..Death::default() };
        let properties = BasicProperties::default().with_message_id("m".into());
        Identity::of(&Message { properties, body: Vec::new() }, &[death])
    }

    fn of_nobody() -> Identity {
        Identity::of(&Message::default(), &[])
    }

    #[test]
    fn equal_messages_are_numbered_and_who_comes_again_is_who_went() {
        let (mut names, identity) = (Names::new(MOST), of_broker());
        let [one, two] = [(); 2].map(|()| names.give(&identity, false, 0));
        assert!(one.0.ends_with("@q") && !one.0.contains('#') && two.0.contains("#2@") && one.1 == two.1);
        for name in [one.clone(), two.clone()] {
            names.given_back(&identity, name);
        }
        // A third that is new is neither of them, whoever comes first.
        let three = names.give(&identity, false, 0);
        assert!(three.0.contains("#3@"));
        assert_eq!([(); 2].map(|()| names.give(&identity, true, 0)), [one, two]);
        assert!(names.give(&identity, true, 0).0.contains("#4@"));
    }

    #[test]
    fn what_is_gone_for_good_is_nobody_s_name_any_more() {
        let (mut names, identity) = (Names::new(MOST), of_broker());
        let one = names.give(&identity, false, 0);
        names.gone(&identity, &one);
        names.given_back(&identity, one.clone());
        // It may be that the broker has not heard it.
        assert_eq!(names.give(&identity, true, 0), one);
        names.gone(&identity, &one);
        assert!([true, false].map(|again| names.give(&identity, again, 0).0 != one.0).iter().all(|is_new| *is_new));
    }

    #[test]
    fn what_nobody_names_is_new_whenever_it_is_delivered_for_the_first_time() {
        let (mut names, identity) = (Names::new(MOST), of_nobody());
        let [one, two] = [(); 2].map(|()| names.give(&identity, false, 17));
        assert!(one.0.ends_with("#17") && two.0.ends_with("#18") && (one.1, two.1) == (17, 18));
        names.given_back(&identity, two.clone());
        assert_eq!(names.give(&identity, true, 99), two);
        // Another process cannot know what this one called it: there it is always the same.
        let again = Names::new(MOST).give(&identity, true, 99);
        assert!(again.1 == 0 && !again.0.contains('#'));
    }

    #[test]
    fn so_many_are_remembered_and_no_more_but_for_those_that_are_held() {
        let mut names = Names::new(MOST);
        let held = of_broker();
        let one = names.give(&held, false, 0);
        for number in 0..=MOST {
            let message = Message { body: number.to_string().into_bytes(), ..Message::default() };
            let identity = Identity::of(&message, &[]);
            let name = names.give(&identity, false, 0);
            names.gone(&identity, &name);
        }
        assert!(names.known.len() <= MOST + 1 && names.known.len() == names.order.len());
        names.given_back(&held, one.clone());
        assert_eq!(names.give(&held, true, 0), one);
    }
}
