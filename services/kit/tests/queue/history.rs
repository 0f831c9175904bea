//! Whatever happens in whatever order, no job is lost and none is done twice by claims that count: random histories, and
//! a model of what must be true. Run on SQLite and on PostgreSQL.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use kit::queue::{Claim, Failed, JobId, Options, QueueError, Queues, Retry};
use proptest::prelude::*;

use crate::suite::{LEASE, Time};

const ATTEMPTS: u32 = 3;

/// One thing that happens. Numbers choose among what there is, modulo its count.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Enqueue { key: Option<u8> },
    Claim { limit: u32 },
    Complete(usize),
    Fail(usize, bool),
    Extend(usize),
    Pass(u64),
    Redrive(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Unfinished,
    Dead,
    Done,
}

/// What must be true, kept beside the store.
#[derive(Default)]
struct Model {
    fates: BTreeMap<JobId, Fate>,
    keys: BTreeMap<JobId, u8>,
    /// Every claim ever made, with the end of its lease in seconds.
    claims: Vec<(Claim, u64)>,
    /// The claim that counts.
    newest: BTreeMap<JobId, Claim>,
    clock_secs: u64,
}

impl Model {
    fn claim(&self, number: usize) -> Option<Claim> {
        self.claims.get(number.checked_rem(self.claims.len())?).map(|(claim, _until)| *claim)
    }

    /// A claim counts until the job is settled or claimed again.
    fn counts(&self, claim: Claim) -> bool {
        self.newest.get(&claim.id) == Some(&claim)
    }

    fn unfinished_with(&self, key: u8) -> Option<JobId> {
        let found = self.fates.iter().find(|(id, fate)| **fate == Fate::Unfinished && self.keys.get(id) == Some(&key));
        found.map(|(id, _)| *id)
    }
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::option::of(0..3u8).prop_map(|key| Step::Enqueue { key }),
        5 => (1..4u32).prop_map(|limit| Step::Claim { limit }),
        3 => any::<usize>().prop_map(Step::Complete),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(claim, dead)| Step::Fail(claim, dead)),
        1 => any::<usize>().prop_map(Step::Extend),
        3 => (1..40u64).prop_map(Step::Pass),
        1 => any::<usize>().prop_map(Step::Redrive),
    ];
    prop::collection::vec(step, 1..60)
}

async fn apply(step: &Step, model: &mut Model, queues: &Queues, time: &Time) {
    match *step {
        Step::Enqueue { key } => enqueue(key, model, queues).await,
        Step::Claim { limit } => claim(limit, model, queues).await,
        Step::Complete(number) => {
            let Some(claim) = model.claim(number) else { return };
            if settled(model, claim, queues.complete(claim).await).is_some() {
                assert_eq!(model.fates.insert(claim.id, Fate::Done), Some(Fate::Unfinished), "done once");
            }
        }
        Step::Fail(number, dead) => {
            let Some(claim) = model.claim(number) else { return };
            let retry = if dead { Retry::Dead } else { Retry::After(Duration::from_secs(5)) };
            if settled(model, claim, queues.fail(claim, "x", retry).await) == Some(Failed::Dead) {
                assert_eq!(model.fates.insert(claim.id, Fate::Dead), Some(Fate::Unfinished));
            }
        }
        Step::Extend(number) => {
            let Some(claim) = model.claim(number) else { return };
            let result = queues.extend(claim, LEASE).await;
            assert!(model.counts(claim) || matches!(result, Err(QueueError::Lost(_))), "{result:?}");
            if result.is_ok() {
                let until = model.clock_secs + LEASE.as_secs();
                model.claims.iter_mut().filter(|(other, _)| *other == claim).for_each(|(_, end)| *end = until);
            }
        }
        Step::Pass(seconds) => {
            time.pass(Duration::from_secs(seconds));
            model.clock_secs += seconds;
        }
        Step::Redrive(number) => redrive(number, model, queues).await,
    }
}

async fn enqueue(key: Option<u8>, model: &mut Model, queues: &Queues) {
    let name = key.map(|key| key.to_string());
    let max_attempts = NonZeroU32::new(ATTEMPTS).unwrap();
    let options = Options { key: name.as_deref(), max_attempts, ..Options::default() };
    let expected = key.and_then(|key| model.unfinished_with(key));
    let id = queues.enqueue("q", "job", &key, options).await.unwrap();
    // One whose last lease ran out is dead, once anybody looks.
    if expected.is_some() {
        assert_eq!(Some(id), expected);
        return;
    }
    assert_eq!(model.fates.insert(id, Fate::Unfinished), None, "a new job has a new id");
    key.map(|key| model.keys.insert(id, key));
}

async fn claim(limit: u32, model: &mut Model, queues: &Queues) {
    let jobs = queues.claim(&["q"], "worker", LEASE, limit).await.unwrap();
    for job in jobs {
        let id = job.claim.id;
        assert_eq!(model.fates.get(&id), Some(&Fate::Unfinished), "neither done nor dead");
        let held = model.newest.get(&id).and_then(|held| model.claims.iter().find(|(claim, _)| claim == held));
        assert!(held.is_none_or(|(_, until)| *until <= model.clock_secs), "nobody else's lease lasts");
        assert!(
            model.claims.iter().filter(|(claim, _)| claim.id == id).all(|(claim, _)| claim.epoch < job.claim.epoch)
        );
        model.newest.insert(id, job.claim);
        model.claims.push((job.claim, model.clock_secs + LEASE.as_secs()));
    }
    // Whoever claimed has also let those go whose lease ran out; some of them died.
    for dead in queues.dead("q", 1000, None).await.unwrap() {
        if model.fates.insert(dead.id, Fate::Dead) == Some(Fate::Unfinished) {
            assert_eq!((dead.reason.as_str(), dead.attempts), (kit::queue::LEASE_EXPIRED, ATTEMPTS));
        }
    }
    let (claims, now) = (&model.claims, model.clock_secs);
    model.newest.retain(|_, held| claims.iter().any(|(claim, until)| claim == held && *until > now));
}

async fn redrive(number: usize, model: &mut Model, queues: &Queues) {
    let dead: Vec<JobId> = model.fates.iter().filter(|(_, fate)| **fate == Fate::Dead).map(|(id, _)| *id).collect();
    let Some(id) = number.checked_rem(dead.len()).and_then(|index| dead.get(index).copied()) else { return };
    let taken = model.keys.get(&id).and_then(|key| model.unfinished_with(*key)).is_some();
    match queues.redrive(id, None).await {
        Ok(true) if !taken => {
            model.fates.insert(id, Fate::Unfinished);
        }
        Err(QueueError::KeyTaken(_)) if taken => {}
        other => panic!("{other:?}, taken: {taken}"),
    }
}

/// Checks that exactly the claim that counts was heard, and returns what it was told.
fn settled<T>(model: &mut Model, claim: Claim, result: Result<T, QueueError>) -> Option<T> {
    match result {
        Ok(told) => {
            assert!(model.counts(claim), "a late claim was heard");
            model.newest.remove(&claim.id);
            Some(told)
        }
        Err(QueueError::Lost(_)) => {
            assert!(!model.counts(claim), "the claim that counts was refused");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Brings back and does everything that is left, then counts.
async fn finish(model: &mut Model, queues: &Queues, time: &Time) {
    for _ in 0..model.fates.len() * 4 + 4 {
        time.pass(LEASE);
        model.clock_secs += LEASE.as_secs();
        claim(1000, model, queues).await;
        let held: Vec<Claim> = model.newest.values().copied().collect();
        for claim in held {
            settled(model, claim, queues.complete(claim).await).unwrap();
            assert_eq!(model.fates.insert(claim.id, Fate::Done), Some(Fate::Unfinished), "done once");
        }
        redrive(0, model, queues).await;
    }
    assert!(model.fates.values().all(|fate| *fate == Fate::Done), "{:?}", model.fates);
    assert_eq!(queues.stats("q").await.unwrap(), kit::queue::Stats::default());
}

/// Lets `steps` happen, then does everything that is left; each job must have been done once.
pub(crate) async fn happen(steps: &[Step], queues: &Queues, time: &Time) {
    let mut model = Model::default();
    for step in steps {
        apply(step, &mut model, queues, time).await;
    }
    finish(&mut model, queues, time).await;
}
