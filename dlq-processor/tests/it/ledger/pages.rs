//! What pages ask the ledger, over SQLite and over PostgreSQL.

use dlq_processor::ledger::{Act, Actor, Draft, Filter, Ledger, LetterState, Past, PlanCount, Ruling, Step};
use dlq_processor::policy::{Alarm, Fingerprint};
use dlq_processor::source::Found;

use super::{SOURCE, found, in_a_file, in_a_server, redrive};

/// Has letters of jobs wait for somebody: at once if they fail in this way.
async fn park(ledger: &Ledger, jobs: &[(&str, i64)], why: &str, now_ms: i64) {
    let found = |(job, failed_at_ms): &(&str, i64)| Found {
        reason: Some(why.to_owned()),
        stack: Some(format!("Error: {why}\n    at a.js")),
        ..found(job, *failed_at_ms)
    };
    let all: Vec<Found> = jobs.iter().map(found).collect();
    let ruling = |found: &Found, past: Option<Past>| {
        let mut ruling = redrive(found, past);
        ruling.decision.alarm = if why == "no card" { Alarm::Page } else { Alarm::Ticket };
        ruling.fingerprint = Fingerprint::of(&found.episode.queue, &found.name, None, why);
        Ruling { state: LetterState::Parked, ..ruling }
    };
    ledger.capture(SOURCE, &all, now_ms, ruling).await.unwrap();
}

async fn counts_what_waits_and_names_the_newest_kinds_first(ledger: Ledger) {
    assert_eq!(ledger.groups(5).await.unwrap(), Default::default());
    park(&ledger, &[("a", 10), ("b", 11)], "no card", 50).await;
    park(&ledger, &[("c", 12)], "no address", 60).await;
    park(&ledger, &[("d", 13), ("e", 14)], "no stamp", 70).await;
    let groups = ledger.groups(2).await.unwrap();
    assert_eq!((groups.letters, groups.pages, groups.kinds, groups.since_ms), (5, 2, 3, Some(50)));
    let newest: Vec<_> =
        groups.newest.iter().map(|it| (it.message.as_str(), it.letters, it.pages, it.last_ms)).collect();
    assert_eq!(newest, [("no card", 2, 2, 50), ("no stamp", 2, 0, 70)]);
}

async fn tells_the_rest_of_a_letter_and_the_other_failures_of_its_job(ledger: Ledger) {
    park(&ledger, &[("a", 10), ("b", 10)], "no card", 50).await;
    park(&ledger, &[("a", 20)], "no card", 60).await;
    let letters = ledger.letters(&Filter::default(), 10).await.unwrap();
    let last = letters.iter().find(|letter| letter.failed_at_ms == 20).unwrap();
    let others = ledger.others_of_job(last, 10).await.unwrap();
    assert_eq!(others.iter().map(|letter| letter.failed_at_ms).collect::<Vec<_>>(), [10]);
    let actor = Actor { who: "ada", why: "they are old", key: "plan" };
    let filter = Filter { state: Some("parked".to_owned()), ..Filter::default() };
    let draft = Draft { filter, act: Act::Discard, rate_milli: None, stop_percent: None };
    let plan = ledger.make_plan(&draft, actor, 70).await.unwrap().unwrap();
    let details = ledger.details(&last.id).await.unwrap().unwrap();
    assert_eq!((details.attempts, details.alarm.as_str(), details.plan), (3, "page", None));
    assert!(details.stack.unwrap().ends_with("at a.js"));
    ledger.step(&plan.id, Step::Apply, Actor { key: "apply", ..actor }, 71).await.unwrap();
    ledger.carry_on(&plan, 10, 72).await.unwrap();
    assert_eq!(ledger.details(&last.id).await.unwrap().unwrap().plan, Some(plan.id));
    let counts = ledger.plan_counts(plan.number, 10).await.unwrap();
    assert_eq!(counts, [PlanCount { queue: "mails".to_owned(), state: "discarded".to_owned(), letters: 2 }]);
    assert_eq!(ledger.details("nothing").await.unwrap(), None);
}

in_both! {
    counts_what_waits_and_names_the_newest_kinds_first: what_waits_is_counted_in_a_file, what_waits_is_counted_in_a_server;
    tells_the_rest_of_a_letter_and_the_other_failures_of_its_job: a_letter_is_told_in_a_file, a_letter_is_told_in_a_server;
}
