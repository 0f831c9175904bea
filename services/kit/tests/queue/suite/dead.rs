//! What has died: how it is listed, and how an order brings it back once.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kit::queue::{
    Attempts, DeadJob, Death, Failed, Job, ORDER_MEMORY, Options, Place, QueueError, Queues, Redrive, Redriven, Retry,
};

use super::{LEASE, Q, Time, attempts, claim, counts, key, names, one, put};

pub(crate) async fn every_queue_that_has_a_job_is_named(queues: &Queues, _time: &Time) {
    assert_eq!(queues.names().await.unwrap(), BTreeSet::new());
    for queue in ["dead", "running", "waiting", "both", "waiting"] {
        queues.enqueue(queue, "a", "a", Options::default()).await.unwrap();
    }
    let held = queues.claim(&["running", "dead", "both"], "worker", LEASE, 9).await.unwrap();
    for job in held.iter().filter(|job| job.queue != "running") {
        queues.fail(job.claim, "x", Retry::Dead).await.unwrap();
    }
    queues.enqueue("both", "a", "a", Options::default()).await.unwrap();
    let names = queues.names().await.unwrap();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["both", "dead", "running", "waiting"]);
}

pub(crate) async fn the_dead_are_listed_as_they_died(queues: &Queues, time: &Time) {
    let start = time.now();
    for name in ["a", "b", "c"] {
        put(queues, name, attempts(1)).await;
    }
    let [a, b, c] = <[Job; 3]>::try_from(claim(queues, 3).await).unwrap().map(|job| job.claim);
    queues.fail(c, "x", Retry::Dead).await.unwrap();
    time.pass(LEASE / 2);
    queues.fail(b, "x", Retry::Dead).await.unwrap();
    queues.fail(a, "x", Retry::Dead).await.unwrap();
    let later = time.now();
    let listed = async |since, skip, limit| {
        let deaths = queues.deaths(Q, since, skip, limit).await.unwrap();
        assert_eq!(deaths.dead, 3);
        deaths.page
    };
    let [a, b, c] = [(a, later), (b, later), (c, start)].map(|(claim, at)| Death { id: claim.id, at });
    assert_eq!(listed(Timestamp::UNIX_EPOCH, 0, 10).await, [c, a, b]);
    assert_eq!(listed(start, 0, 2).await, [c, a]);
    assert_eq!(listed(later, 1, 2).await, [b]);
    assert_eq!(queues.deaths("other", start, 0, 9).await.unwrap().page, []);
    let waits = put(queues, "d", attempts(1)).await;
    let mut places = queues.places(&[a.id, waits, c.id]).await.unwrap();
    places.sort_by_key(|(id, _)| *id);
    assert_eq!(places, [(a.id, Place::Dead(later)), (c.id, Place::Dead(start)), (waits, Place::Unfinished)]);
    let read = queues.dead_among(&[waits, b.id]).await.unwrap();
    assert_eq!(read.iter().map(DeadJob::death).collect::<Vec<_>>(), [b]);
    assert_eq!(queues.discard_deaths(&[Death { at: start, ..b }, c]).await.unwrap(), 1);
    assert_eq!(queues.deaths(Q, start, 0, 9).await.unwrap().page, [a, b]);
    assert_eq!(queues.places(&[c.id]).await.unwrap(), []);
}

/// Has the one job that is due die, and returns what is dead.
async fn die(queues: &Queues) -> DeadJob {
    let held = one(queues).await;
    queues.fail(held, "x", Retry::Dead).await.unwrap();
    queues.dead_among(&[held.id]).await.unwrap().remove(0)
}

fn order<'a>(dead: &DeadJob, order: &'a str, attempts: Attempts) -> Redrive<'a> {
    Redrive { queue: Q, death: dead.death(), attempts, order }
}

pub(crate) async fn an_order_brings_a_job_back_once(queues: &Queues, time: &Time) {
    put(queues, "a", Options { key: Some("k"), ..attempts(3) }).await;
    let first = die(queues).await;
    let one_order = order(&first, "one", Attempts::All);
    assert_eq!(queues.redrive_once(one_order, None).await.unwrap(), Redriven::Done);
    assert_eq!(queues.redrive_once(one_order, None).await.unwrap(), Redriven::Before);
    let other = order(&first, "other", Attempts::All);
    assert_eq!(queues.redrive_once(other, None).await.unwrap(), Redriven::NotDead);
    // It dies again within the same millisecond, and even that is another death.
    let second = die(queues).await;
    assert!(second.failed_at > first.failed_at && second.attempts == 1, "{second:?}");
    assert_eq!(queues.redrive_once(other, None).await.unwrap(), Redriven::DiedAgain);
    assert_eq!(queues.redrive_once(one_order, None).await.unwrap(), Redriven::Before);
    put(queues, "b", key("k")).await;
    let third = order(&second, "third", Attempts::All);
    let error = queues.redrive_once(third, None).await.unwrap_err();
    assert!(matches!(error, QueueError::KeyTaken(id) if id == second.id), "{error:?}");
    queues.complete(one(queues).await).await.unwrap();
    assert_eq!(queues.redrive_once(third, None).await.unwrap(), Redriven::Done, "what was refused was not done");
    queues.complete(one(queues).await).await.unwrap();
    assert_eq!(queues.redrive_once(third, None).await.unwrap(), Redriven::Before, "also when the job is done");
    assert_eq!(queues.redrive_once(other, None).await.unwrap(), Redriven::Gone);
    time.pass(ORDER_MEMORY + Duration::from_millis(1));
    put(queues, "c", attempts(1)).await;
    let dead = die(queues).await;
    assert_eq!(queues.redrive_once(order(&dead, "late", Attempts::All), None).await.unwrap(), Redriven::Done);
    assert_eq!(queues.redrive_once(third, None).await.unwrap(), Redriven::Gone, "a week is over");
}

pub(crate) async fn a_job_that_comes_back_for_one_attempt_has_one(queues: &Queues, time: &Time) {
    put(queues, "a", attempts(3)).await;
    let mut dead = die(queues).await;
    for (name, wanted, expected) in [("1", Attempts::One, 1), ("2", Attempts::All, 3), ("3", Attempts::One, 1)] {
        assert_eq!(queues.redrive_once(order(&dead, name, wanted), None).await.unwrap(), Redriven::Done);
        let mut made = 1;
        while queues.fail(one(queues).await, "x", Retry::After(LEASE)).await.unwrap() == Failed::Waits {
            time.pass(LEASE);
            made += 1;
        }
        assert_eq!(made, expected);
        dead = queues.dead_among(&[dead.id]).await.unwrap().remove(0);
    }
    // One whose worker is not heard of again has had its attempt, too.
    assert_eq!(queues.redrive_once(order(&dead, "4", Attempts::One), None).await.unwrap(), Redriven::Done);
    one(queues).await;
    time.pass(LEASE);
    assert_eq!((names(queues).await.as_str(), counts(queues).await), ("", [0, 0, 0, 1]));
}

pub(crate) async fn a_job_that_is_gone_is_made_anew_once(queues: &Queues, _time: &Time) {
    put(queues, "a", Options { key: Some("k"), priority: -7, ..attempts(2) }).await;
    let dead = die(queues).await;
    let kept: DeadJob = serde_json::from_str(&serde_json::to_string(&dead).unwrap()).unwrap();
    assert_eq!(kept, dead);
    let anew = order(&dead, "anew", Attempts::All);
    let of_another = DeadJob { queue: "other".to_owned(), ..kept.clone() };
    assert!(queues.discard(dead.id, None).await.unwrap());
    assert_eq!(queues.redrive_once(anew, Some(&of_another)).await.unwrap(), Redriven::Gone);
    let earlier = DeadJob { failed_at: Timestamp::UNIX_EPOCH, ..kept.clone() };
    assert_eq!(queues.redrive_once(anew, Some(&earlier)).await.unwrap(), Redriven::DiedAgain);
    let other = put(queues, "b", key("k")).await;
    assert!(matches!(queues.redrive_once(anew, Some(&kept)).await, Err(QueueError::KeyTaken(id)) if id == dead.id));
    assert_eq!(queues.places(&[dead.id]).await.unwrap(), [], "nothing is half done");
    queues.complete(one(queues).await).await.unwrap();
    assert_eq!(queues.redrive_once(anew, Some(&kept)).await.unwrap(), Redriven::Done);
    assert_eq!(queues.redrive_once(anew, Some(&kept)).await.unwrap(), Redriven::Before);
    assert_ne!(put(queues, "c", key("k")).await, other, "it has its key");
    let job = claim(queues, 9).await.remove(0);
    assert_eq!((job.claim.id, job.attempt, job.max_attempts, job.payload.as_str()), (dead.id, 1, 2, "\"a\""));
    assert!(job.claim.epoch > dead.epoch && job.created_at == dead.created_at);
    queues.fail(job.claim, "y", Retry::Dead).await.unwrap();
    let again = queues.dead_among(&[dead.id]).await.unwrap().remove(0);
    assert!(again.failed_at > dead.failed_at && again.first_failed_at == dead.first_failed_at, "{again:?}");
    assert_eq!((again.key.as_deref(), again.priority), (Some("k"), -7));
    queues.redrive_once(order(&again, "next", Attempts::One), Some(&kept)).await.unwrap();
    queues.complete(one(queues).await).await.unwrap();
    assert_eq!(queues.redrive_once(anew, Some(&kept)).await.unwrap(), Redriven::Before, "also when it is done");
}
