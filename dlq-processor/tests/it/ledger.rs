//! The ledger over SQLite and over PostgreSQL: the same story in both.

use std::time::Duration;

use dlq_processor::ledger::{Act, Acted, Actor, Captured, Filter, Held, Ledger, LetterState, Outcome, Past, Ruling};
use dlq_processor::policy::{Action, Alarm, Class, Decision, ErrorFacts, Fingerprint, Reason};
use dlq_processor::source::{Episode, Found, Put};
use kit::db::Source;
use testkit::Postgres;

const SOURCE: &str = "jobs";

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
    }
}

/// Has it redriven at once.
fn redrive(found: &Found, _past: Option<Past>) -> Ruling {
    let error = ErrorFacts::read(found.reason.as_deref(), None);
    let fingerprint = Fingerprint::of(&found.episode.queue, &found.name, None, &error.message);
    let (action, reason) = (Action::Redrive(Duration::ZERO), Reason::Class);
    let decision = Decision { rule: None, class: Class::Transient, action, reason, alarm: Alarm::None };
    Ruling { error, fingerprint, decision, state: LetterState::Scheduled, due_at_ms: Some(100) }
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
    assert_eq!(ledger.due(SOURCE, 99, &Held::default(), 10).await.unwrap(), []);
    let due = ledger.due(SOURCE, 100, &Held::default(), 10).await.unwrap();
    assert_eq!(due.len(), 3);
    let intended = ledger.intend(SOURCE, &due, 100, orders()).await.unwrap();
    assert_eq!(intended.len(), 3);
    // Whoever comes later has nothing to do.
    assert_eq!(ledger.intend(SOURCE, &due, 101, orders()).await.unwrap(), []);
    assert_eq!(ledger.due(SOURCE, 200, &Held::default(), 10).await.unwrap(), []);
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
    let due_at = async |now_ms| ledger.due(SOURCE, now_ms, &Held::default(), 10).await.unwrap().len();
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
}

async fn leaves_out_what_is_held(ledger: Ledger) {
    capture(&ledger, &[found("a", 10)]).await;
    let due = async |held: Held| ledger.due(SOURCE, 100, &held, 10).await.unwrap().len();
    let name = "send\u{fffd}";
    assert_eq!(due(Held::default()).await, 1);
    assert_eq!(due(Held { queues: vec!["mails".to_owned()], names: vec![] }).await, 0);
    assert_eq!(due(Held { queues: vec![], names: vec![("mails".to_owned(), name.to_owned())] }).await, 0);
    assert_eq!(
        due(Held { queues: vec!["other".to_owned()], names: vec![("mails".to_owned(), "x".to_owned())] }).await,
        1
    );
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
    let due = ledger.due(SOURCE, 100, &Held::default(), 10).await.unwrap();
    let intended = ledger.intend(SOURCE, &due, 100, orders()).await.unwrap();
    ledger.redriven(&[(intended[0].clone(), Put::Moved)], 101).await.unwrap();
    let lost = [(intended[0].id.clone(), Outcome::Lost)];
    assert_eq!(ledger.ended(&lost, 102).await.unwrap().len(), 1);
    assert_eq!(ledger.ended(&lost, 103).await.unwrap().len(), 0, "somebody was faster");
    assert_eq!(ledger.intended(SOURCE).await.unwrap()[0].order, intended[0].order);
    ledger.uncertain(&intended, 104).await.unwrap();
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
        let due = ledger.due(SOURCE, 100, &Held::default(), 10).await.unwrap();
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

in_both! {
    is_taken_in_once: a_failure_is_taken_in_once_in_a_file, a_failure_is_taken_in_once_in_a_server;
    is_written_before_it_is_done_and_asked_again_if_nobody_says_what_came_of_it:
        a_redrive_is_written_before_it_is_done_in_a_file, a_redrive_is_written_before_it_is_done_in_a_server;
    ends_what_waits_when_its_job_fails_later: a_later_failure_ends_what_waits_in_a_file, a_later_failure_ends_what_waits_in_a_server;
    leaves_out_what_is_held: what_is_held_is_left_out_in_a_file, what_is_held_is_left_out_in_a_server;
    is_let_out_of_quarantine_by_a_release_alone:
        only_a_release_lets_a_letter_out_in_a_file, only_a_release_lets_a_letter_out_in_a_server;
    gives_an_order_again_that_its_source_has_lost: a_lost_order_is_given_again_in_a_file, a_lost_order_is_given_again_in_a_server;
    knows_of_the_earlier_failures_of_a_job: a_job_is_known_from_before_in_a_file, a_job_is_known_from_before_in_a_server;
}
