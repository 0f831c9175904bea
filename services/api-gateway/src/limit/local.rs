//! Requests counted in this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::Subject;
use super::rate::{Decision, Rate};

/// Whoever is counted at the same time, at most: some 10 MiB.
const MOST: usize = 100_000;

/// Until when each of those who owe something does.
#[derive(Debug, Default)]
pub(super) struct Local(Mutex<HashMap<Subject, Instant>>);

impl Local {
    pub(super) fn take(&self, subject: &Subject, rate: Rate, now: Instant) -> Decision {
        let mut owing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut until = owing.get(subject).copied().unwrap_or(now);
        let decision = rate.take(&mut until, now);
        if decision.wait.is_none() {
            if owing.len() >= MOST && !owing.contains_key(subject) {
                make_room(&mut owing, now);
            }
            owing.insert(subject.clone(), until);
        }
        decision
    }
}

/// Forgets those who owe nothing, and if that is not enough, the half that owes least.
fn make_room(owing: &mut HashMap<Subject, Instant>, now: Instant) {
    owing.retain(|_, until| *until > now);
    if owing.len() < MOST {
        return;
    }
    let mut untils: Vec<Instant> = owing.values().copied().collect();
    let middle = untils.len() / 2;
    let (_, median, _) = untils.select_nth_unstable(middle);
    let median = *median;
    owing.retain(|_, until| *until > median);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate { per_minute: NonZeroU32::new(60).expect("above 0") };

    #[test]
    fn each_is_counted_alone_and_time_forgives() {
        let (local, now) = (Local::default(), Instant::now());
        let (ada, eve) = (Subject::User("ada".to_owned()), Subject::Key("ada".to_owned()));
        for _request in 0..60 {
            assert_eq!(local.take(&ada, RATE, now).wait, None);
        }
        assert_eq!(local.take(&ada, RATE, now).wait, Some(Duration::from_secs(1)));
        assert_eq!(local.take(&eve, RATE, now).remaining, 59);
        let later = now + Duration::from_secs(30);
        assert_eq!(local.take(&ada, RATE, later).remaining, 29);
    }

    #[test]
    fn however_many_come_few_are_kept_and_not_those_who_owe_least() {
        let (local, now) = (Local::default(), Instant::now());
        let busy = Subject::User("busy".to_owned());
        for _request in 0..60 {
            local.take(&busy, RATE, now);
        }
        for number in 0..MOST + 10 {
            local.take(&Subject::User(number.to_string()), RATE, now);
        }
        assert!(local.0.lock().unwrap().len() <= MOST);
        assert!(local.take(&busy, RATE, now).wait.is_some());
    }
}
