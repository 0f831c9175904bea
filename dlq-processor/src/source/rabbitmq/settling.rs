//! How long a message that was put back counts as under way. A broker tells nobody what became of one: a consumer that is
//! done with it acknowledges it to the broker alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::{Sought, State};

/// Longer than nearly every consumer needs to fail with a message for good, retries and all; a third of the time after which
/// RabbitMQ itself takes one from a consumer (rabbitmq.com/docs/consumers, "Delivery Acknowledgement Timeout"). What fails
/// later is a new letter of the same job.
pub(super) const SETTLING: Duration = Duration::from_secs(600);

/// A queue and a job in it.
type Job = (String, String);

/// Since when messages are back, or were asked for the first time: who was started anew knows of none that it put back.
#[derive(Debug, Default)]
pub(super) struct Settling(Mutex<HashMap<Job, Instant>>);

impl Settling {
    /// Notes that a message is back.
    pub(super) fn put_back(&self, job: Job, now: Instant) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.insert(job, now);
    }

    /// Says of each whether it is under way, or nobody knows any more.
    pub(super) fn states(&self, jobs: &[Sought], now: Instant) -> Vec<State> {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody asks any more about what died again meanwhile: these are as many as are redriven in that time.
        since.retain(|_, since| now.duration_since(*since) < SETTLING * 2);
        let state = |Sought { queue, job, .. }: &Sought| {
            let since = since.entry((queue.clone(), job.clone())).or_insert(now);
            if now.duration_since(*since) < SETTLING { State::UnderWay } else { State::Gone }
        };
        jobs.iter().map(state).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_under_way_until_it_would_have_died_again() {
        let (settling, start) = (Settling::default(), Instant::now());
        let [known, unknown] = ["known", "unknown"].map(|job| ("dead".to_owned(), job.to_owned()));
        settling.put_back(known.clone(), start);
        let both = [&known, &unknown].map(|(queue, job): &Job| Sought::of(queue, job));
        let at = |secs| settling.states(&both, start + Duration::from_secs(secs));
        assert_eq!(at(10), [State::UnderWay, State::UnderWay]);
        assert_eq!(at(600), [State::Gone, State::UnderWay]);
        settling.put_back(known, start + Duration::from_secs(605));
        assert_eq!(at(610), [State::UnderWay, State::Gone]);
        assert_eq!(at(3000), [State::UnderWay; 2]);
        assert!(settling.0.lock().unwrap().len() == 2);
    }
}
