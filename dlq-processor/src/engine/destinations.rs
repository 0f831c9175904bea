//! Which breaker a job is of: that of its queue and name. Whoever writes jobs chooses their names, so there may be any number;
//! those beyond a bound share one breaker for each queue.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// A queue and a job's name.
pub(super) type Destination = (String, String);

/// Destinations of one source that have a breaker, and a line in metrics, each: names of jobs are in code and few.
const MOST: usize = 1_000;
/// The name that all others of a queue go by.
pub(super) const OTHERS: &str = "(others)";

/// The destinations of one source that are told apart.
#[derive(Default)]
pub(super) struct Destinations(Mutex<BTreeSet<Destination>>);

impl Destinations {
    /// Returns where a job belongs.
    pub(super) fn of(&self, queue: &str, name: &str) -> Destination {
        let destination = (queue.to_owned(), name.to_owned());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST {
            known.insert(destination.clone());
        }
        let others = (destination.0.clone(), OTHERS.to_owned());
        if known.contains(&destination) {
            return destination;
        }
        // Also queues are chosen by whoever writes to a dead letter queue.
        if known.len() < 2 * MOST {
            known.insert(others.clone());
        }
        if known.contains(&others) { others } else { (OTHERS.to_owned(), OTHERS.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_a_bound_share_a_breaker_and_those_before_keep_theirs() {
        let destinations = Destinations::default();
        let of = |queue: &str, name: &str| destinations.of(queue, name).1;
        assert!((0..MOST).all(|number| of("mails", &number.to_string()) == number.to_string()));
        assert!((0..2 * MOST).all(|number| of(&number.to_string(), "job") == OTHERS));
        assert_eq!(destinations.of("yet another", "job").0, OTHERS, "queues have a bound, too");
        assert_eq!([of("mails", "new"), of("bills", "new"), of("mails", "7")], [OTHERS, OTHERS, "7"]);
    }
}
