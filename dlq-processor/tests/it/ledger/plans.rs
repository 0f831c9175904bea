//! Plans over SQLite and over PostgreSQL.

use std::sync::atomic::{AtomicUsize, Ordering};

use dlq_processor::ledger::{
    Act, Actor, Draft, Expression, Filter, Held, InData, Ledger, LetterState, Outcome, Part, Past, Plan, Ruling, Step,
    Stepped,
};
use dlq_processor::policy::ErrorFacts;
use dlq_processor::source::{Episode, Found, Put};

use super::{SOURCE, capture, due_of, found, id_of, in_a_file, in_a_server, redrive};

const ADA: Actor<'_> = Actor { who: "ada", why: "the network is back", key: "plan" };

fn draft(filter: Filter, act: Act) -> Draft {
    Draft { filter, act, rate_milli: None, stop_percent: Some(50), max_letters: None, to_queue: None }
}

/// Parks letters of so many jobs, and plans to redrive them.
async fn planned(ledger: &Ledger, jobs: usize) -> Plan {
    let all: Vec<Found> = (0..jobs).map(|number| found(&format!("{number:04}"), 10)).collect();
    let parked = |found: &Found, past: Option<Past>| Ruling { state: LetterState::Parked, ..redrive(found, past) };
    ledger.capture(SOURCE, &all, 50, parked).await.unwrap();
    let parked = Filter { state: Some("parked".to_owned()), ..Filter::default() };
    ledger.make_plan(&draft(parked, Act::Redrive), ADA, 60).await.unwrap().unwrap()
}

async fn step(ledger: &Ledger, plan: &Plan, step: Step) -> Stepped {
    // As many keys as steps.
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    let key = STEPS.fetch_add(1, Ordering::Relaxed).to_string();
    ledger.step(&plan.id, step, Actor { key: &key, ..ADA }, 70).await.unwrap()
}

/// Redrives all that is due, which ends so.
async fn redrive_due(ledger: &Ledger, outcome: Outcome) -> usize {
    static ORDERS: AtomicUsize = AtomicUsize::new(0);
    let due = due_of(ledger, 100, &Held::default()).await;
    let order = || format!("order-{}", ORDERS.fetch_add(1, Ordering::Relaxed));
    let intended = ledger.intend(SOURCE, &due, 100, order).await.unwrap();
    let done: Vec<_> = intended.into_iter().map(|intended| (intended, Put::Moved)).collect();
    ledger.redriven(&done, 101).await.unwrap();
    let ended: Vec<_> = done.iter().map(|(intended, _)| (intended.id.clone(), outcome)).collect();
    ledger.ended(&ended, 102).await.unwrap().len()
}

async fn does_what_a_plan_says_with_its_letters_as_they_were(ledger: Ledger) {
    let plan = planned(&ledger, 1200).await;
    assert_eq!((plan.total, plan.state.as_str(), plan.hash.len()), (1200, "dry", 16));
    // The same key makes it once, and nothing else.
    let again = ledger.make_plan(&draft(Filter::default(), Act::Discard), ADA, 61).await.unwrap();
    assert_eq!(again, Some(plan.clone()));
    assert_eq!(ledger.running_plans().await.unwrap(), []);
    let samples = ledger.samples(plan.number).await.unwrap();
    assert_eq!((samples.len(), &samples[0]), (10, &id_of(&ledger, "0000").await));
    // Somebody was faster with one of them, and one comes too late for it.
    ledger.act(&samples[3], Act::Discard, Actor { key: "discard", ..ADA }, 65).await.unwrap();
    capture(&ledger, &[found("late", 10)]).await;
    assert_eq!(step(&ledger, &plan, Step::Apply).await, Stepped::Done);
    assert_eq!(step(&ledger, &plan, Step::Apply).await, Stepped::Not("running".to_owned()));
    let mut redriven = 0;
    while let Some(plan) = ledger.running_plans().await.unwrap().first() {
        while let Part::Done(letters) = ledger.carry_on(plan, 200, 80).await.unwrap() {
            assert!(letters <= 200);
        }
        let progress = ledger.progress(plan.number).await.unwrap();
        let ahead = progress.states.iter().find(|(state, _)| state == "scheduled").map_or(0, |(_, count)| *count);
        assert!(ahead <= 500, "{progress:?}");
        redriven += redrive_due(&ledger, Outcome::Resolved).await;
    }
    assert_eq!(redriven, 1199 + 1, "and the late one, which was due by itself");
    let progress = ledger.progress(plan.number).await.unwrap();
    assert_eq!((progress.waits, progress.done, progress.skipped), (0, 1199, 1));
    assert_eq!(progress.states, [("resolved".to_owned(), 1199)]);
    assert_eq!(ledger.plan(&plan.id).await.unwrap().unwrap().state, "done");
    assert_eq!(ledger.letter(&samples[3]).await.unwrap().unwrap().state, "discarded");
}

async fn takes_back_what_a_paused_plan_has_not_redriven_and_goes_on_with_it(ledger: Ledger) {
    let plan = planned(&ledger, 100).await;
    assert_eq!(step(&ledger, &plan, Step::Pause).await, Stepped::Not("dry".to_owned()));
    assert_eq!(step(&ledger, &plan, Step::Apply).await, Stepped::Done);
    assert_eq!(ledger.carry_on(&plan, 40, 80).await.unwrap(), Part::Done(40));
    let other = Actor { key: "other", ..ADA };
    let other = ledger.make_plan(&draft(Filter::default(), Act::Redrive), other, 81).await.unwrap().unwrap();
    assert_eq!(step(&ledger, &other, Step::Apply).await, Stepped::Busy("mails".to_owned()));
    assert_eq!(step(&ledger, &plan, Step::Pause).await, Stepped::Done);
    assert_eq!(redrive_due(&ledger, Outcome::Resolved).await, 0);
    let progress = ledger.progress(plan.number).await.unwrap();
    assert_eq!((progress.waits, progress.done), (100, 0));
    assert_eq!(step(&ledger, &plan, Step::Resume).await, Stepped::Done);
    assert_eq!(ledger.carry_on(&plan, 40, 82).await.unwrap(), Part::Done(40));
    assert_eq!(redrive_due(&ledger, Outcome::Resolved).await, 40);
    assert_eq!(step(&ledger, &plan, Step::Cancel).await, Stepped::Done);
    assert_eq!(step(&ledger, &plan, Step::Resume).await, Stepped::Not("cancelled".to_owned()));
    assert_eq!(ledger.running_plans().await.unwrap(), []);
    let unknown = ledger.step("x", Step::Apply, Actor { key: "unknown", ..ADA }, 70).await.unwrap();
    assert_eq!(unknown, Stepped::Unknown);
}

async fn stops_a_plan_whose_letters_fail_again(ledger: Ledger) {
    let plan = planned(&ledger, 100).await;
    step(&ledger, &plan, Step::Apply).await;
    ledger.carry_on(&plan, 10, 80).await.unwrap();
    assert_eq!(redrive_due(&ledger, Outcome::Recurred).await, 10);
    assert_eq!(ledger.carry_on(&plan, 10, 81).await.unwrap(), Part::Done(10), "ten say nothing yet");
    redrive_due(&ledger, Outcome::Resolved).await;
    assert_eq!(ledger.carry_on(&plan, 10, 82).await.unwrap(), Part::Stopped);
    assert_eq!(ledger.plan(&plan.id).await.unwrap().unwrap().state, "stopped");
    assert_eq!(step(&ledger, &plan, Step::Resume).await, Stepped::Done);
}

async fn chooses_letters_by_everything_that_is_known_of_them(ledger: Ledger) {
    let with = |job: &str, data: &str, failed_at_ms| Found { data: data.into(), ..found(job, failed_at_ms) };
    let of_size = Found { reason: Some("Größe FEHLT".to_owned()), ..with("d", "{}", 40) };
    let all =
        [with("a", r#"{"workspace":7}"#, 10), with("b", r#"{"workspace":8}"#, 20), with("c", "no json", 30), of_size];
    ledger.capture(SOURCE, &all, 50, redrive).await.unwrap();
    let at = |ms| Some(jiff::Timestamp::from_millisecond(ms).unwrap());
    let of = |text: &str| Some(text.to_owned());
    let data = Some(InData { pointer: "/workspace".to_owned(), value: 7.into() });
    let none = Filter::default();
    let filters = [
        (none.clone(), vec!["a", "b", "c", "d"]),
        (Filter { failed_after: at(20), ..none.clone() }, vec!["b", "c", "d"]),
        (Filter { failed_before: at(20), ..none.clone() }, vec!["a"]),
        (Filter { message: of("econnREFUSED"), ..none.clone() }, vec!["a", "b", "c"]),
        (Filter { message: of("100%"), ..none.clone() }, vec![]),
        (Filter { message: of("größe fehlt"), ..none.clone() }, vec!["d"]),
        (Filter { name: of("send\u{fffd}"), queue: of("mails"), ..none.clone() }, vec!["a", "b", "c", "d"]),
        (Filter { data, ..none }, vec!["a"]),
    ];
    for (number, (filter, expected)) in filters.into_iter().enumerate() {
        let key = format!("plan {number}");
        let plan = ledger.make_plan(&draft(filter.clone(), Act::Park), Actor { key: &key, ..ADA }, 60).await.unwrap();
        let mut jobs = Vec::new();
        for id in ledger.samples(plan.unwrap().number).await.unwrap() {
            jobs.push(ledger.letter(&id).await.unwrap().unwrap().job);
        }
        assert_eq!(jobs, expected, "{filter:?}");
    }
}

async fn chooses_by_words_and_as_many_as_were_wanted_the_first_failed_first(ledger: Ledger) {
    let say = |job: &str, failed_at_ms: i64, reason: &str| Found {
        reason: Some(reason.to_owned()),
        ..found(job, failed_at_ms)
    };
    let all = [
        say("a", 30, "Timeout after 30 ms"),
        say("b", 20, "timeout after 5 ms"),
        say("c", 10, "timeout after a while"),
        say("d", 40, "TIMEOUT AFTER 7 ms"),
    ];
    let elsewhere = |job: &str| Episode { queue: "elsewhere".to_owned(), job: job.to_owned(), failed_at_ms: 50 };
    let parked = |found: &Found, past: Option<Past>| {
        let error = ErrorFacts::read(found.reason.as_deref(), None);
        Ruling { error, state: LetterState::Parked, ..redrive(found, past) }
    };
    ledger.capture(SOURCE, &all, 50, parked).await.unwrap();
    let words = Filter { message_re: Some(Expression::parse(r"after \d+ ms").unwrap()), ..Filter::default() };
    let listed: Vec<String> = ledger.letters(&words, 2).await.unwrap().into_iter().map(|letter| letter.job).collect();
    assert_eq!(listed, ["d", "b"], "the last taken in first");
    let jobs = async |filter: Filter, most: Option<i64>, key: &str| {
        let draft = Draft { max_letters: most, to_queue: Some("slow".to_owned()), ..draft(filter, Act::Redrive) };
        let plan = ledger.make_plan(&draft, Actor { key, ..ADA }, 60).await.unwrap().unwrap();
        assert_eq!((plan.max_letters, plan.to_queue.as_deref()), (most, Some("slow")));
        let mut jobs = Vec::new();
        for id in ledger.samples(plan.number).await.unwrap() {
            jobs.push(ledger.letter(&id).await.unwrap().unwrap().job);
        }
        (plan, jobs.join(" "))
    };
    assert_eq!(jobs(words.clone(), None, "all").await.1, "b a d");
    assert_eq!(jobs(words, Some(2), "some").await.1, "b a");
    let (plan, chosen) = jobs(Filter::default(), Some(3), "three").await;
    assert_eq!((chosen.as_str(), plan.total), ("c b a", 3));
    assert_eq!(step(&ledger, &plan, Step::Apply).await, Stepped::Done);
    assert_eq!(ledger.carry_on(&plan, 200, 80).await.unwrap(), Part::Done(3));
    let due = due_of(&ledger, 100, &Held::default()).await;
    assert!(due.len() == 3 && due.iter().all(|due| due.target() == "slow"), "{due:?}");
    let origins = vec![due[0].episode.queue.clone()];
    assert_eq!(due_of(&ledger, 100, &Held { origins, ..Held::default() }).await, []);
    // Another one that leads there waits, whatever its letters' own queue is.
    ledger.capture(SOURCE, &[Found { episode: elsewhere("e"), ..say("e", 50, "timeout") }], 50, parked).await.unwrap();
    let (other, _) = jobs(Filter { queue: Some("elsewhere".to_owned()), ..Filter::default() }, None, "other").await;
    assert_eq!(step(&ledger, &other, Step::Apply).await, Stepped::Done, "all of the first are on their way");
    let (again, _) = jobs(Filter { queue: Some("elsewhere".to_owned()), ..Filter::default() }, None, "again").await;
    assert_eq!(step(&ledger, &again, Step::Apply).await, Stepped::Busy("slow".to_owned()));
    assert_eq!(ledger.plan_places(plan.number).await.unwrap(), [(SOURCE.to_owned(), due[0].episode.queue.clone())]);
}

in_both! {
    chooses_by_words_and_as_many_as_were_wanted_the_first_failed_first: letters_are_chosen_by_words_in_a_file, letters_are_chosen_by_words_in_a_server;
    does_what_a_plan_says_with_its_letters_as_they_were: it_is_carried_out_in_a_file, it_is_carried_out_in_a_server;
    takes_back_what_a_paused_plan_has_not_redriven_and_goes_on_with_it: it_is_paused_in_a_file, it_is_paused_in_a_server;
    stops_a_plan_whose_letters_fail_again: it_is_stopped_in_a_file, it_is_stopped_in_a_server;
    chooses_letters_by_everything_that_is_known_of_them: its_letters_are_chosen_in_a_file, its_letters_are_chosen_in_a_server;
}
