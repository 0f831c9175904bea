//! The ledger over SQLite and over PostgreSQL: the same story in both.

macro_rules! in_both {
    ($($story:ident: $file:ident, $server:ident;)*) => {
        $(
            #[tokio::test]
            async fn $file() {
                in_a_file($story).await;
            }

            #[tokio::test]
            async fn $server() {
                in_a_server($story).await;
            }
        )*
    };
}

mod brought;
mod canaries;
mod capped;
mod due;
mod edits;
mod listing;
mod met;
mod pages;
mod plans;
mod remains;
mod removed;
mod told;
mod waiting;

use std::time::Duration;

use dlq_processor::ledger::{
    Act, Acted, Actor, Before, Captured, Due, Filter, Held, InOrder, Ledger, LedgerError, LetterState, Outcome, Past,
    Place, Ruling,
};
use dlq_processor::policy::{Action, Alarm, Class, Decision, ErrorFacts, Fingerprint, Reason};
use dlq_processor::source::{Episode, Found, Put};
use kit::db::Source;
use kit::trace::Context;
use testkit::Postgres;

const SOURCE: &str = "jobs";
/// What put a job in.
const PUT_IN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn in_a_file(story: impl AsyncFnOnce(Ledger)) {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::Sqlite(folder.path().join("ledger.db"));
    story(Ledger::open(&source).await.unwrap()).await;
}

async fn in_a_server(story: impl AsyncFnOnce(Ledger)) {
    kit::tls::install();
    let postgres = Postgres::start().await;
    let source = Source::parse(&postgres.url()).unwrap();
    let ledger = Ledger::open(&source).await.unwrap();
    story(ledger.clone()).await;
    ledger.close().await;
}

fn found(job: &str, failed_at_ms: i64) -> Found {
    Found {
        episode: Episode { queue: "mails".to_owned(), job: job.to_owned(), failed_at_ms },
        name: "send\0".to_owned(),
        data: b"{\"to\":\"\0\xff\"}".to_vec(),
        kept: vec![0, 1, 2],
        reason: Some("connect ECONNREFUSED".to_owned()),
        stack: None,
        attempts: 3,
        stalls: 0,
        is_in_flow: false,
        put_in_at_ms: Some(1),
        asked_by: None,
        found_in: None,
    }
}

/// Has it redriven at once.
fn redrive(found: &Found, _past: Option<Past>) -> Ruling {
    let error = ErrorFacts::read(found.reason.as_deref(), None);
    let fingerprint = Fingerprint::of(&found.episode.queue, &found.name, None, &error.message);
    let (action, reason) = (Action::Redrive(Duration::ZERO), Reason::Class);
    let decision = Decision { rule: None, class: Class::Transient, action, reason, alarm: Alarm::None };
    Ruling {
        error,
        fingerprint,
        decision,
        state: LetterState::Scheduled,
        due_at_ms: Some(100),
        until_ms: None,
        order: None,
        is_listed: false,
    }
}

async fn capture(ledger: &Ledger, found: &[Found]) -> Captured {
    ledger.capture(SOURCE, found, 50, redrive).await.unwrap()
}

fn orders() -> impl FnMut() -> String {
    let mut number = 0;
    move || {
        number += 1;
        format!("order-{number}")
    }
}

/// What is due as far as nothing else holds it back.
async fn due_of(ledger: &Ledger, now_ms: i64, held: &Held) -> Vec<Due> {
    let page = ledger.due(SOURCE, now_ms, held, (1000, &Place::default()), |_| usize::MAX).await.unwrap();
    assert!(page.next.is_none());
    page.due
}

async fn is_taken_in_once(ledger: Ledger) {
    let all: Vec<Found> = (0..450).map(|number| found(&number.to_string(), 10)).collect();
    let first = capture(&ledger, &all).await;
    assert_eq!((first.new.len(), first.new_fingerprints.len(), first.recurred.len()), (450, 1, 0));
    let more = [found("449", 10), found("450", 10)];
    let episodes = more.each_ref().map(|found| found.episode.clone());
    assert_eq!(ledger.unknown(SOURCE, &episodes).await.unwrap(), [episodes[1].clone()]);
    let second = capture(&ledger, &more).await;
    assert_eq!((second.new.len(), second.new_fingerprints.len()), (1, 0));
    // Another source may have a job of that name.
    assert_eq!(ledger.unknown("others", &episodes).await.unwrap().len(), 2);
}

async fn is_written_before_it_is_done_and_asked_again_if_nobody_says_what_came_of_it(ledger: Ledger) {
    capture(&ledger, &[found("a", 10), found("b", 11), found("c", 12)]).await;
    assert_eq!(due_of(&ledger, 99, &Held::default()).await, []);
    let due = due_of(&ledger, 100, &Held::default()).await;
    assert_eq!(due.len(), 3);
    let intended = ledger.intend(SOURCE, &due, 100, orders()).await.unwrap();
    assert_eq!(intended.len(), 3);
    // Whoever comes later has nothing to do.
    assert_eq!(ledger.intend(SOURCE, &due, 101, orders()).await.unwrap(), []);
    assert_eq!(due_of(&ledger, 200, &Held::default()).await, []);
    assert_eq!(ledger.intended(SOURCE).await.unwrap(), intended);
    let [one, two, three] = <[_; 3]>::try_from(intended).unwrap();
    ledger.redriven(&[(one, Put::Moved), (three, Put::Untaken)], 102).await.unwrap();
    assert_eq!(ledger.intended(SOURCE).await.unwrap(), std::slice::from_ref(&two));
    ledger.redriven(&[(two, Put::Gone)], 103).await.unwrap();
    let under_way = ledger.under_way(SOURCE, 0, 10).await.unwrap();
    assert_eq!(under_way.len(), 1, "what is gone is not under way: {under_way:?}");
    ledger.ended(&[(under_way[0].id.clone(), Outcome::Resolved)], 104).await.unwrap();
    assert_eq!(ledger.under_way(SOURCE, 0, 10).await.unwrap(), []);
    // Of what nobody took nothing was done: it is due again a little later.
    let due_at = async |now_ms| due_of(&ledger, now_ms, &Held::default()).await.len();
    assert_eq!([due_at(30_000).await, due_at(30_102).await], [0, 1]);
}

async fn ends_what_waits_when_its_job_fails_later(ledger: Ledger) {
    capture(&ledger, &[found("a", 10)]).await;
    let states = async || {
        let letters = ledger.letters(&Filter::default(), 10).await.unwrap();
        letters.into_iter().map(|letter| letter.state).collect::<Vec<_>>()
    };
    let captured = capture(&ledger, &[found("a", 20)]).await;
    assert_eq!(captured.recurred, [], "it was not redriven: nothing is said of its destination");
    assert_eq!(states().await, ["scheduled", "recurred"]);
    // What is listed out of its order changes nothing.
    capture(&ledger, &[found("a", 5)]).await;
    assert_eq!(states().await, ["scheduled", "scheduled", "recurred"]);
    // Nobody has noted yet that it was put back, and it has failed again already: its order is not given once more.
    let due = due_of(&ledger, 100, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &due[..1], 100, orders()).await.unwrap();
    let captured = capture(&ledger, &[found("a", 30)]).await;
    assert_eq!(captured.recurred.len(), 1);
    ledger.redriven(&[(intended[0].clone(), Put::Already)], 101).await.unwrap();
    assert_eq!(ledger.intended(SOURCE).await.unwrap(), []);
    assert_eq!(states().await, ["scheduled", "recurred", "recurred", "recurred"]);
}

async fn is_let_out_of_quarantine_by_a_release_alone(ledger: Ledger) {
    capture(&ledger, &[found("a", 10)]).await;
    let id = ledger.letters(&Filter::default(), 10).await.unwrap().remove(0).id;
    let mut key = 0;
    let mut act = async |act| {
        key += 1;
        let key = key.to_string();
        ledger.act(&id, act, Actor { who: "ada", why: "", key: &key }, 100).await.unwrap()
    };
    let shut_in = Acted::Not("in quarantine".to_owned());
    assert_eq!(act(Act::Quarantine).await, Acted::Done);
    assert_eq!(act(Act::Redrive).await, shut_in);
    assert_eq!(act(Act::Park).await, Acted::Not("quarantined".to_owned()));
    assert_eq!(act(Act::Discard).await, Acted::Done);
    assert_eq!(act(Act::Redrive).await, shut_in);
    assert_eq!(act(Act::Release).await, Acted::Done);
    assert_eq!(act(Act::Park).await, Acted::Done);
    assert_eq!(act(Act::Redrive).await, Acted::Done);
    assert_eq!(ledger.audit(Some(&id), 10).await.unwrap().len(), 5);
    let again = ledger.act(&id, Act::Redrive, Actor { who: "ada", why: "", key: "8" }, 100).await.unwrap();
    assert_eq!(again, Acted::Before);
}

async fn gives_an_order_again_that_its_source_has_lost(ledger: Ledger) {
    capture(&ledger, &[found("a", 10)]).await;
    let due = due_of(&ledger, 100, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &due, 100, orders()).await.unwrap();
    let id = intended[0].id.as_str();
    let is_awaited = async || ledger.awaited(&[id, "another"]).await.unwrap().contains(id);
    assert!(is_awaited().await, "it will be redriven");
    ledger.redriven(&[(intended[0].clone(), Put::Moved)], 101).await.unwrap();
    assert!(is_awaited().await, "it is");
    let lost = [(intended[0].id.clone(), Outcome::Lost)];
    assert_eq!(ledger.ended(&lost, 102).await.unwrap().len(), 1);
    assert_eq!(ledger.ended(&lost, 103).await.unwrap().len(), 0, "somebody was faster");
    assert_eq!(ledger.intended(SOURCE).await.unwrap()[0].order, intended[0].order);
    ledger.uncertain(&intended, 104).await.unwrap();
    assert!(!is_awaited().await, "no canary any more");
    assert_eq!(ledger.waiting(10).await.unwrap().len(), 1, "somebody must hear of it");
    assert_eq!(ledger.numbers().await.unwrap().0[0].state, "uncertain");
}

async fn knows_of_the_earlier_failures_of_a_job(ledger: Ledger) {
    for (round, failed_at_ms) in [10, 20, 30].into_iter().enumerate() {
        let mut pasts = Vec::new();
        let failed = [found("a", failed_at_ms)];
        let captured = ledger.capture(SOURCE, &failed, 50, |found, past| {
            pasts.push(past);
            redrive(found, past)
        });
        let captured = captured.await.unwrap();
        let redrives = u32::try_from(round).unwrap();
        let expected = (round > 0).then_some(Past { redrives, first_failed_at_ms: 10 });
        assert_eq!(pasts, [expected]);
        assert_eq!(captured.recurred.len(), usize::from(round > 0), "the one before has failed again");
        let due = due_of(&ledger, 100, &Held::default()).await;
        let intended = ledger.intend(SOURCE, &due, 100, || format!("order-{round}")).await.unwrap();
        ledger.redriven(&[(intended[0].clone(), Put::Moved)], 101).await.unwrap();
    }
    // Several failures of one job that are captured together know of each other, too.
    let mut pasts = Vec::new();
    let both = [found("b", 1), found("b", 2)];
    let deciding = ledger.capture(SOURCE, &both, 50, |found, past| {
        pasts.push(past.map(|past| past.first_failed_at_ms));
        redrive(found, past)
    });
    deciding.await.unwrap();
    assert_eq!(pasts, [None, Some(1)]);
}

/// Captures them in an order of their own.
async fn in_order(ledger: &Ledger, found: &[Found], state: LetterState, waits_for_stuck: bool) {
    let order = Some(InOrder { value: "\"a workspace\"".to_owned(), waits_for_stuck });
    let ruled = |found: &Found, past: Option<Past>| Ruling { state, order: order.clone(), ..redrive(found, past) };
    ledger.capture(SOURCE, found, 50, ruled).await.unwrap();
}

async fn redrives_one_after_another_what_stands_in_an_order(ledger: Ledger) {
    in_order(&ledger, &[found("a", 10), found("b", 11)], LetterState::Scheduled, true).await;
    capture(&ledger, &[found("c", 12)]).await;
    let due = async || {
        let due = due_of(&ledger, 100, &Held::default()).await;
        due.into_iter().map(|due| due.episode.job).collect::<Vec<_>>()
    };
    assert_eq!(due().await, ["a", "c"], "b waits for a");
    let all = due_of(&ledger, 100, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &all, 100, orders()).await.unwrap();
    assert_eq!(due().await, [""; 0]);
    ledger.redriven(&[(intended[0].clone(), Put::Moved)], 101).await.unwrap();
    assert_eq!(due().await, [""; 0], "until a has ended");
    ledger.ended(&[(intended[0].id.clone(), Outcome::Resolved)], 102).await.unwrap();
    assert_eq!(due().await, ["b"]);
}

async fn has_what_stands_behind_a_stuck_one_wait_or_pass_by(ledger: Ledger) {
    in_order(&ledger, &[found("stuck", 10)], LetterState::Parked, true).await;
    in_order(&ledger, &[found("waits", 11)], LetterState::Scheduled, true).await;
    let due = async || due_of(&ledger, 100, &Held::default()).await.len();
    assert_eq!(due().await, 0);
    let id = ledger
        .letters(&Filter { state: Some("parked".to_owned()), ..Filter::default() }, 1)
        .await
        .unwrap()
        .remove(0)
        .id;
    let actor = Actor { who: "ada", why: "", key: "1" };
    assert_eq!(ledger.act(&id, Act::Discard, actor, 100).await.unwrap(), Acted::Done);
    assert_eq!(due().await, 1, "what is given up stands in nobody's way");
    in_order(&ledger, &[found("stuck too", 12)], LetterState::Parked, true).await;
    in_order(&ledger, &[found("passes", 13)], LetterState::Scheduled, false).await;
    assert_eq!(due().await, 1, "not before what is due before it");
    ledger.act(&id_of(&ledger, "waits").await, Act::Discard, Actor { key: "2", ..actor }, 100).await.unwrap();
    assert_eq!(due().await, 1);
}

async fn id_of(ledger: &Ledger, job: &str) -> String {
    let letters = ledger.letters(&Filter::default(), 10_000).await.unwrap();
    letters.into_iter().find(|letter| letter.job == job).unwrap().id
}

async fn takes_what_was_put_in_later_under_the_same_id_for_another_job(ledger: Ledger) {
    capture(&ledger, &[found("a", 10)]).await;
    let mut pasts = Vec::new();
    let others = [Found { put_in_at_ms: Some(2), ..found("a", 20) }];
    let deciding = ledger.capture(SOURCE, &others, 50, |found, past| {
        pasts.push(past);
        redrive(found, past)
    });
    deciding.await.unwrap();
    assert_eq!(pasts, [None]);
    let states = ledger.letters(&Filter::default(), 10).await.unwrap();
    assert!(states.iter().all(|letter| letter.state == "scheduled"), "{states:?}");
}

async fn leaves_to_somebody_what_was_held_up_for_too_long(ledger: Ledger) {
    let until = |found: &Found, past: Option<Past>| Ruling { until_ms: Some(150), ..redrive(found, past) };
    let traced = Found { asked_by: Context::parse(PUT_IN), ..found("a", 10) };
    ledger.capture(SOURCE, &[traced, found("b", 10)], 50, until).await.unwrap();
    let asked = id_of(&ledger, "b").await;
    ledger.act(asked.as_str(), Act::Redrive, Actor { who: "ada", why: "", key: "1" }, 60).await.unwrap();
    assert_eq!(ledger.give_up(SOURCE, 150).await.unwrap(), 0);
    assert_eq!(ledger.give_up(SOURCE, 151).await.unwrap(), 1, "not what a person asked for");
    let waiting = ledger.waiting(10).await.unwrap();
    assert_eq!(waiting[0].letters, 1, "somebody must hear of it");
    assert_eq!(waiting[0].traceparent.as_deref(), Some(PUT_IN));
    assert_eq!(waiting[0].sample, waiting[0].another);
    assert!(ledger.is_waiting(&waiting[0].fingerprint).await.unwrap() && !ledger.is_waiting("x").await.unwrap());
    let letter = ledger.letter(&id_of(&ledger, "a").await).await.unwrap().unwrap();
    assert_eq!((letter.state.as_str(), letter.reason.as_str(), letter.due_at_ms), ("parked", "time_spent", None));
}

async fn keeps_payloads_byte_for_byte_and_what_no_server_takes_as_text(ledger: Ledger) {
    capture(&ledger, &[found("a\0b", 10)]).await;
    assert_eq!(capture(&ledger, &[found("a\0b", 10)]).await.new.len(), 0);
    let letter = ledger.letters(&Filter::default(), 10).await.unwrap().remove(0);
    assert_eq!((letter.job.as_str(), letter.name.as_str()), ("a\u{fffd}b", "send\u{fffd}"));
    assert_eq!(ledger.payload(&letter.id).await.unwrap(), b"{\"to\":\"\0\xff\"}");
}

async fn lets_go_of_what_ended_and_puts_away_what_nobody_dealt_with(ledger: Ledger) {
    let all: Vec<Found> = ["waits", "done", "given up", "paged", "shut in"].map(|job| found(job, 10)).into();
    let rule = |found: &Found, past: Option<Past>| {
        let ruling = redrive(found, past);
        let alarm = if found.episode.job == "paged" { Alarm::Page } else { Alarm::None };
        let action = if found.episode.job == "shut in" { Action::Quarantine } else { Action::Park };
        let state = if found.episode.job == "shut in" { LetterState::Quarantined } else { LetterState::Parked };
        Ruling { state, decision: Decision { alarm, action, ..ruling.decision.clone() }, ..ruling }
    };
    ledger.capture(SOURCE, &all, 50, rule).await.unwrap();
    let act = async |job: &str, act: Act| {
        let actor = Actor { who: "ada", why: "", key: job };
        assert_eq!(ledger.act(&id_of(&ledger, job).await, act, actor, 60).await.unwrap(), Acted::Done);
    };
    act("given up", Act::Discard).await;
    act("done", Act::Redrive).await;
    let due = due_of(&ledger, 100, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &due, 60, orders()).await.unwrap();
    ledger.redriven(&[(intended[0].clone(), Put::Moved)], 60).await.unwrap();
    ledger.ended(&[(intended[0].id.clone(), Outcome::Resolved)], 60).await.unwrap();

    let young = Before { ended_ms: 60, discarded_ms: 60, waiting_ms: 50 };
    assert_eq!((ledger.forget_ended(young, &[]).await.unwrap(), ledger.overdue(young).await.unwrap()), (0, vec![]));
    let old = Before { ended_ms: 61, discarded_ms: 60, waiting_ms: 51 };
    assert_eq!(ledger.forget_ended(old, &[]).await.unwrap(), 1);
    let older = Before { discarded_ms: 61, ..old };
    assert_eq!(ledger.forget_ended(older, &["another", SOURCE]).await.unwrap(), 0, "it may be listed there");
    assert_eq!(ledger.given_up(SOURCE, 60).await.unwrap(), []);
    let given_up = ledger.given_up(SOURCE, 61).await.unwrap();
    assert_eq!(given_up.iter().map(|(_, episode)| episode.job.as_str()).collect::<Vec<_>>(), ["given up"]);
    let (number, id) = (given_up[0].0, id_of(&ledger, "given up").await);
    ledger.empty(&[number], 61).await.unwrap();
    let named = ledger.letter(&id).await.unwrap().unwrap();
    assert_eq!((named.state.as_str(), named.reason.as_str(), named.changed_at_ms), ("discarded", "removed", 61));
    assert_eq!((ledger.payload(&id).await.unwrap(), ledger.given_up(SOURCE, 61).await.unwrap()), (vec![], vec![]));
    ledger.forget(&[number]).await.unwrap();
    assert_eq!(ledger.letter(&id).await.unwrap(), None);
    let overdue = ledger.overdue(old).await.unwrap();
    let jobs: Vec<&str> = overdue.iter().map(|away| away.job.as_str()).collect();
    assert_eq!((jobs, overdue[0].data.as_slice()), (vec!["waits"], b"{\"to\":\"\0\xff\"}".as_slice()));
    ledger.expire(&overdue, None, 70).await.unwrap();
    let id = overdue[0].id.clone();
    assert_eq!(ledger.payload(&id).await.unwrap().len(), overdue[0].data.len(), "it is nowhere else");
    let actor = Actor { who: "ada", why: "", key: "redrive" };
    assert_eq!(ledger.act(&id, Act::Redrive, actor, 80).await.unwrap(), Acted::Done);
    ledger.act(&id, Act::Park, Actor { key: "park", ..actor }, 81).await.unwrap();
    ledger
        .expire(&ledger.overdue(Before { waiting_ms: 82, ..old }).await.unwrap(), Some("cold/a.jsonl"), 90)
        .await
        .unwrap();
    let letter = ledger.letter(&id).await.unwrap().unwrap();
    assert_eq!((letter.state.as_str(), letter.cold.as_deref()), ("expired", Some("cold/a.jsonl")));
    assert_eq!(ledger.payload(&id).await.unwrap(), b"");
    let left = ledger.letters(&Filter::default(), 10).await.unwrap();
    assert_eq!(left.len(), 3, "what must be heard of and what is shut in stays: {left:?}");
    assert!(ledger.bytes().await.unwrap() > 4096);
}

async fn writes_nothing_for_whom_another_has_followed(ledger: Ledger) {
    let first = ledger.lease("first", false).await.unwrap().unwrap();
    let held = ledger.held_by(first.clone());
    capture(&held, &[found("a", 10)]).await;
    assert_eq!(ledger.lease("second", false).await.unwrap(), None, "the first one has it");
    let second = ledger.lease("second", true).await.unwrap().unwrap();
    assert_eq!(second.epoch, first.epoch + 1);
    let due = due_of(&held, 100, &Held::default()).await;
    let refused = [
        held.capture(SOURCE, &[found("b", 11)], 50, redrive).await.map(drop),
        held.intend(SOURCE, &due, 100, orders()).await.map(drop),
        held.give_up(SOURCE, i64::MAX).await.map(drop),
    ];
    assert!(refused.iter().all(|refused| matches!(refused, Err(LedgerError::Fenced))), "{refused:?}");
    let letters = ledger.letters(&Filter::default(), 10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| (&*letter.job, &*letter.state)).collect::<Vec<_>>(), [("a", "scheduled")]);
    assert_eq!(ledger.held_by(second).intend(SOURCE, &due, 101, orders()).await.unwrap().len(), 1);
}

in_both! {
    writes_nothing_for_whom_another_has_followed: a_lease_fences_writers_in_a_file, a_lease_fences_writers_in_a_server;
    lets_go_of_what_ended_and_puts_away_what_nobody_dealt_with: what_is_old_goes_in_a_file, what_is_old_goes_in_a_server;
    redrives_one_after_another_what_stands_in_an_order: an_order_is_kept_in_a_file, an_order_is_kept_in_a_server;
    has_what_stands_behind_a_stuck_one_wait_or_pass_by: a_stuck_letter_stands_in_the_way_in_a_file, a_stuck_letter_stands_in_the_way_in_a_server;
    takes_what_was_put_in_later_under_the_same_id_for_another_job: an_id_is_used_again_in_a_file, an_id_is_used_again_in_a_server;
    leaves_to_somebody_what_was_held_up_for_too_long: what_is_held_up_too_long_waits_in_a_file, what_is_held_up_too_long_waits_in_a_server;
    keeps_payloads_byte_for_byte_and_what_no_server_takes_as_text: payloads_are_kept_in_a_file, payloads_are_kept_in_a_server;
    is_taken_in_once: a_failure_is_taken_in_once_in_a_file, a_failure_is_taken_in_once_in_a_server;
    is_written_before_it_is_done_and_asked_again_if_nobody_says_what_came_of_it:
        a_redrive_is_written_before_it_is_done_in_a_file, a_redrive_is_written_before_it_is_done_in_a_server;
    ends_what_waits_when_its_job_fails_later: a_later_failure_ends_what_waits_in_a_file, a_later_failure_ends_what_waits_in_a_server;
    is_let_out_of_quarantine_by_a_release_alone:
        only_a_release_lets_a_letter_out_in_a_file, only_a_release_lets_a_letter_out_in_a_server;
    gives_an_order_again_that_its_source_has_lost: a_lost_order_is_given_again_in_a_file, a_lost_order_is_given_again_in_a_server;
    knows_of_the_earlier_failures_of_a_job: a_job_is_known_from_before_in_a_file, a_job_is_known_from_before_in_a_server;
}
