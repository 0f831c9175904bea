//! Letters that are alike and parked for what they are, and the one that goes before the others.

use dlq_processor::ledger::{
    Act, Acted, Actor, Flock, FlockPlace, Held, Ledger, LetterId, LetterState, Outcome, Past, Ruling,
};
use dlq_processor::policy::{Action, Alarm, Class, Decision, Reason};
use dlq_processor::source::{Found, Put};

use super::{SOURCE, due_of, found, id_of, in_a_file, in_a_server, redrive};

/// Longest time from a failure until it is seen, in milliseconds.
const MAX_AGE_MS: i64 = 1000;
const WHO: &str = "dlq-processor";

fn parked(found: &Found, past: Option<Past>) -> Ruling {
    let decision =
        Decision { rule: None, class: Class::Auth, action: Action::Park, reason: Reason::Class, alarm: Alarm::Ticket };
    Ruling { decision, state: LetterState::Parked, due_at_ms: None, ..redrive(found, past) }
}

fn refused(job: &str, failed_at_ms: i64) -> Found {
    Found { reason: Some("status code 401".to_owned()), ..found(job, failed_at_ms) }
}

fn forbidden(job: &str, failed_at_ms: i64) -> Found {
    Found { reason: Some("forbidden: no role".to_owned()), ..found(job, failed_at_ms) }
}

async fn park(ledger: &Ledger, found: &[Found], now_ms: i64) {
    ledger.capture(SOURCE, found, now_ms, parked).await.unwrap();
}

/// Watches what is parked from the first on, of all that is in the queue.
async fn watch(ledger: &Ledger, now_ms: i64, next_at_ms: i64) {
    let wanted = |queue: &str, name: &str| queue == "mails" && name.starts_with("send");
    let next = ledger.watch_flocks(SOURCE, "auth", ("", 100), now_ms, next_at_ms, wanted);
    assert_eq!(next.await.unwrap(), None);
}

async fn flocks(ledger: &Ledger, now_ms: i64) -> Vec<Flock> {
    ledger.flocks(SOURCE, now_ms, (100, &FlockPlace::default())).await.unwrap()
}

/// The flock that a letter of this job is of.
async fn flock_of(ledger: &Ledger, job: &str, now_ms: i64) -> Flock {
    let letter = ledger.letter(&id_of(ledger, job).await).await.unwrap().unwrap();
    flocks(ledger, now_ms).await.into_iter().find(|flock| flock.fingerprint == letter.fingerprint).unwrap()
}

async fn send(ledger: &Ledger, flock: &Flock, now_ms: i64) -> Option<String> {
    ledger.send_canary(SOURCE, flock, MAX_AGE_MS, now_ms).await.unwrap()
}

/// Puts back all that is due.
async fn put_back(ledger: &Ledger, now_ms: i64) -> Vec<LetterId> {
    let due = due_of(ledger, now_ms, &Held::default()).await;
    let intended =
        ledger.intend(SOURCE, &due, now_ms, || format!("order-{now_ms}-{}", rand::random::<u64>())).await.unwrap();
    let done: Vec<_> = intended.into_iter().map(|intended| (intended, Put::Moved)).collect();
    ledger.redriven(&done, now_ms).await.unwrap();
    done.into_iter().map(|(intended, _)| intended.id).collect()
}

async fn resolve(ledger: &Ledger, letters: &[LetterId], now_ms: i64) {
    let ended: Vec<_> = letters.iter().map(|id| (id.clone(), Outcome::Resolved)).collect();
    assert_eq!(ledger.ended(&ended, now_ms).await.unwrap().len(), ended.len());
}

async fn states(ledger: &Ledger) -> Vec<String> {
    let letters = ledger.letters(&Default::default(), 100).await.unwrap();
    let mut states: Vec<String> =
        letters.iter().map(|letter| format!("{} {} {}", letter.job, letter.state, letter.reason)).collect();
    states.sort();
    states
}

/// What is shown of canaries, of each kind of failure: how many there were, whether one is tried now, and when the next one is.
async fn shown(ledger: &Ledger) -> Vec<(Option<i64>, bool, Option<i64>)> {
    let groups = ledger.groups(10, MAX_AGE_MS).await.unwrap().newest;
    groups.into_iter().map(|group| (group.tried, group.canary.is_some(), group.next_canary_ms)).collect()
}

async fn release(ledger: &Ledger, flock: &Flock, now_ms: i64) -> usize {
    ledger.release_some(SOURCE, flock, MAX_AGE_MS, now_ms, || now_ms + 5).await.unwrap()
}

async fn tries_the_newest_and_the_others_follow_once_it_is_done(ledger: Ledger) {
    park(
        &ledger,
        &[refused("old", -5000), refused("a", 10), refused("b", 11), refused("c", 12), forbidden("x", 13)],
        50,
    )
    .await;
    let nobodys = ledger.watch_flocks(SOURCE, "auth", ("", 1), 55, 60, |_, _| false).await.unwrap();
    assert!(nobodys.is_some() && flocks(&ledger, 60).await.is_empty(), "there are more, and nobody wants them");
    watch(&ledger, 60, 100).await;
    watch(&ledger, 61, 900).await;
    assert_eq!((flocks(&ledger, 99).await.len(), flocks(&ledger, 100).await.len()), (0, 2), "each is watched once");
    assert_eq!(shown(&ledger).await, [(Some(0), false, Some(100)), (Some(0), false, Some(100))]);
    let flock = flock_of(&ledger, "c", 100).await;
    let c = id_of(&ledger, "c").await;
    assert_eq!((flock.tried, send(&ledger, &flock, 100).await), (0, Some(c.clone())));
    assert_eq!(flock_of(&ledger, "c", 100).await.canary_state.as_deref(), Some("scheduled"));
    let parked = ["a parked class", "b parked class", "c scheduled canary", "old parked class", "x parked class"];
    assert_eq!(states(&ledger).await, parked);
    assert_eq!(shown(&ledger).await, [(Some(0), false, Some(100)), (Some(0), true, Some(100))]);
    assert_eq!(put_back(&ledger, 110).await.len(), 1, "no other one goes");

    // It fails again: the next one is sent later.
    park(&ledger, &[refused("c", 200)], 210).await;
    let flock = flock_of(&ledger, "a", 210).await;
    assert_eq!((flock.canary.as_ref(), flock.canary_state.as_deref()), (Some(&c), Some("recurred")));
    ledger.canary_ended(SOURCE, &flock, 1, 400, 220).await.unwrap();
    assert_eq!(flocks(&ledger, 399).await.len(), 1, "the other one's is still due");
    assert_eq!(shown(&ledger).await, [(Some(1), false, Some(400)), (Some(0), false, Some(100))]);
    let flock = flock_of(&ledger, "a", 400).await;
    let again = send(&ledger, &flock, 400).await.unwrap();
    assert_ne!(again, c);
    let canary = put_back(&ledger, 420).await;
    assert_eq!(canary.len(), 1);
    // It was put back before this one failed, and says nothing of it.
    park(&ledger, &[refused("late", 425)], 426).await;
    resolve(&ledger, &canary, 430).await;
    let flock = flock_of(&ledger, "a", 430).await;
    assert_eq!(
        (flock.passed_by.as_ref(), flock.release_before_ms, flock.canary.as_ref()),
        (Some(&again), Some(420), None)
    );
    assert_eq!([release(&ledger, &flock, 440).await, release(&ledger, &flock, 441).await], [2, 0]);
    let expected = [
        "a scheduled released",
        "b resolved class",
        "c recurred class",
        "c scheduled released",
        "late parked class",
        "old parked class",
        "x parked class",
    ];
    assert_eq!(states(&ledger).await, expected);
    ledger.released(SOURCE, &flock, 800, 442).await.unwrap();
    let flock = flock_of(&ledger, "a", 800).await;
    assert_eq!((flock.tried, flock.release_before_ms, flock.passed_by), (2, None, None));
    let due = due_of(&ledger, 445, &Held::default()).await;
    assert!(due.len() == 2 && due.iter().all(|due| !due.is_asked), "{due:?}");

    let audit = async |job: &str| {
        let entries = ledger.audit(Some(&id_of(&ledger, job).await), 10).await.unwrap();
        entries.into_iter().map(|entry| (entry.who, entry.what, entry.why)).collect::<Vec<_>>()
    };
    let line = |why: &str| (WHO.to_owned(), "redrive".to_owned(), why.to_owned());
    assert_eq!(audit("a").await, [line(&format!("canary {again} was done"))]);
    assert_eq!((audit("b").await, audit("x").await), (vec![line("canary")], vec![]));

    // Nobody is told that it is over while the only one of them is a canary.
    let flock = flock_of(&ledger, "x", 800).await;
    send(&ledger, &flock, 800).await.unwrap();
    let waits = async || ledger.is_waiting(&flock.fingerprint).await.unwrap();
    assert!(ledger.waiting(10).await.unwrap().iter().all(|group| group.fingerprint != flock.fingerprint));
    assert!(waits().await);
    let put = put_back(&ledger, 810).await;
    assert!(waits().await);
    resolve(&ledger, &put, 820).await;
    assert!(!waits().await);
}

async fn sends_none_that_somebody_deals_with_or_that_stands_behind_another(ledger: Ledger) {
    let in_order = |found: &Found, past: Option<Past>| {
        let order = Some(dlq_processor::ledger::InOrder { value: "1".to_owned(), waits_for_stuck: true });
        Ruling { order, ..parked(found, past) }
    };
    ledger.capture(SOURCE, &[refused("first", 10), refused("second", 11)], 50, in_order).await.unwrap();
    let in_flow = |found: &Found, past: Option<Past>| {
        let ruling = parked(found, past);
        Ruling { decision: Decision { reason: Reason::Flow, ..ruling.decision.clone() }, ..ruling }
    };
    ledger.capture(SOURCE, &[refused("child", 12)], 50, in_flow).await.unwrap();
    park(&ledger, &[refused("by hand", 13), refused("old", -5000)], 50).await;
    let by_hand = id_of(&ledger, "by hand").await;
    for (act, key) in [(Act::Redrive, "1"), (Act::Park, "2")] {
        let actor = Actor { who: "ada", why: "", key };
        assert_eq!(ledger.act(&by_hand, act, actor, 60).await.unwrap(), Acted::Done);
    }
    watch(&ledger, 60, 60).await;
    let flock = flock_of(&ledger, "first", 60).await;
    assert_eq!(send(&ledger, &flock, 60).await, Some(id_of(&ledger, "first").await));
    let canary = put_back(&ledger, 70).await;
    resolve(&ledger, &canary, 80).await;
    let flock = flock_of(&ledger, "first", 80).await;
    assert_eq!(release(&ledger, &flock, 90).await, 1);
    let expected = [
        "by hand parked asked",
        "child parked flow",
        "first resolved class",
        "old parked class",
        "second scheduled released",
    ];
    assert_eq!(states(&ledger).await, expected);
    assert!(ledger.has_flock(SOURCE, &flock).await.unwrap(), "the old one is left");
    ledger.released(SOURCE, &flock, 95, 90).await.unwrap();
    let flock = flock_of(&ledger, "first", 95).await;
    assert_eq!(send(&ledger, &flock, 95).await, None, "nobody but a person has it redriven");
    ledger.put_canary_off(SOURCE, &flock, 200).await.unwrap();
    assert_eq!((flocks(&ledger, 199).await.len(), flocks(&ledger, 200).await.len()), (0, 1));
    ledger.forget_flock(SOURCE, &flock).await.unwrap();
    assert_eq!(flocks(&ledger, 200).await, []);
}

async fn has_a_flock_follow_what_a_person_had_redriven_but_not_again_and_again(ledger: Ledger) {
    park(&ledger, &[refused("a", 10), refused("b", 11), refused("c", 12), forbidden("x", 13)], 50).await;
    watch(&ledger, 60, 10_000).await;
    let redrive_by_hand = async |job: &str, now_ms: i64| {
        let actor = Actor { who: "ada", why: "mended", key: job };
        assert_eq!(ledger.act(&id_of(&ledger, job).await, Act::Redrive, actor, now_ms).await.unwrap(), Acted::Done);
        let put = put_back(&ledger, now_ms).await;
        resolve(&ledger, &put, now_ms + 1).await;
    };
    let actor = Actor { who: "ada", why: "tried elsewhere", key: "elsewhere" };
    let x = id_of(&ledger, "x").await;
    let elsewhere = ledger.act_into(&x, Act::Redrive, Some("elsewhere"), actor, 65).await.unwrap();
    assert_eq!(elsewhere, Acted::Done);
    let put = put_back(&ledger, 65).await;
    resolve(&ledger, &put, 66).await;
    assert_eq!(flocks(&ledger, 66).await, [], "what another queue does says nothing of this one");
    redrive_by_hand("a", 70).await;
    let passed = flocks(&ledger, 71).await;
    assert_eq!(passed.len(), 1, "the other one waits");
    assert_eq!((passed[0].passed_by.clone(), passed[0].tried), (Some(id_of(&ledger, "a").await), 0));
    assert_eq!(release(&ledger, &passed[0], 72).await, 2);
    ledger.released(SOURCE, &passed[0], 500, 72).await.unwrap();
    // They fail again, all but what a person looks after.
    put_back(&ledger, 80).await;
    park(&ledger, &[refused("b", 90), refused("c", 91)], 95).await;
    redrive_by_hand("b", 100).await;
    assert_eq!(flocks(&ledger, 101).await, []);
    redrive_by_hand("c", 499).await;
    let passed: Vec<_> = flocks(&ledger, 499).await.into_iter().map(|flock| flock.passed_by).collect();
    assert_eq!(passed, [Some(id_of(&ledger, "c").await)], "it was done when the next canary would be sent");
}

async fn shows_no_next_one_where_none_may_go_and_nothing_where_nobody_watches(ledger: Ledger) {
    park(&ledger, &[refused("old", -5000)], 50).await;
    watch(&ledger, 60, 100).await;
    park(&ledger, &[forbidden("x", 13)], 70).await;
    assert_eq!(shown(&ledger).await, [(None, false, None), (Some(0), false, None)]);
    park(&ledger, &[refused("new", 80)], 90).await;
    assert_eq!(shown(&ledger).await, [(Some(0), false, Some(100)), (None, false, None)]);
}

in_both! {
    shows_no_next_one_where_none_may_go_and_nothing_where_nobody_watches: what_comes_next_is_shown_in_a_file, what_comes_next_is_shown_in_a_server;
    tries_the_newest_and_the_others_follow_once_it_is_done: a_canary_goes_before_in_a_file, a_canary_goes_before_in_a_server;
    sends_none_that_somebody_deals_with_or_that_stands_behind_another: not_all_are_canaries_in_a_file, not_all_are_canaries_in_a_server;
    has_a_flock_follow_what_a_person_had_redriven_but_not_again_and_again: a_person_sends_a_canary_in_a_file, a_person_sends_a_canary_in_a_server;
}
