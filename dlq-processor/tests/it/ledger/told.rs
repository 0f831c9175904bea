//! Failures that another queue told of.

use dlq_processor::ledger::{Act, Acted, Actor, Held, Ledger, LetterState};
use dlq_processor::source::{Found, Put, Sought};

use super::{SOURCE, capture, due_of, found, in_a_file, in_a_server, orders};

fn told(job: &str, failed_at_ms: i64) -> Found {
    Found { found_in: Some("dead".to_owned()), ..found(job, failed_at_ms) }
}

async fn states(ledger: &Ledger) -> Vec<(String, String, Option<String>)> {
    let letters = ledger.letters(&Default::default(), 100).await.unwrap();
    let mut states: Vec<_> = letters
        .into_iter()
        .map(|letter| (letter.job, format!("{} {}", letter.state, letter.reason), letter.found_in))
        .collect();
    states.sort();
    states
}

fn state(job: &str, state: &str, is_told: bool) -> (String, String, Option<String>) {
    (job.to_owned(), state.to_owned(), is_told.then(|| "dead".to_owned()))
}

async fn ends_what_was_told_where_its_own_queue_has_it(ledger: Ledger) {
    // Its own queue had it first, has it later, has it at once, and has another job of the same id.
    capture(&ledger, &[found("a", 1010), told("b", 1000)]).await;
    capture(&ledger, &[told("a", 1000), found("b", 990)]).await;
    capture(&ledger, &[found("c", 1003), told("c", 1000)]).await;
    let later = Found { put_in_at_ms: Some(70_000), ..found("d", 70_001) };
    capture(&ledger, &[told("d", 1000), later]).await;
    capture(&ledger, &[told("e", 1000)]).await;
    let expected = [
        state("a", "recurred same", true),
        state("a", "scheduled class", false),
        state("b", "recurred same", true),
        state("b", "scheduled class", false),
        state("c", "recurred class", true),
        state("c", "scheduled class", false),
        state("d", "scheduled class", false),
        state("d", "scheduled class", true),
        state("e", "scheduled class", true),
    ];
    let found = states(&ledger).await;
    // Of the same job a later failure ends an earlier one by itself.
    let alike = |(job, state, told): &(String, String, Option<String>)| {
        (job.clone(), state.replace("recurred class", "recurred same"), told.clone())
    };
    assert_eq!(found.iter().map(alike).collect::<Vec<_>>(), expected.iter().map(alike).collect::<Vec<_>>());
}

async fn leaves_out_what_a_held_queue_told_of(ledger: Ledger) {
    capture(&ledger, &[found("a", 10), told("b", 11)]).await;
    let held = Held { queues: vec!["dead".to_owned()], ..Held::default() };
    let due = due_of(&ledger, 100, &held).await;
    assert_eq!(due.iter().map(|due| due.episode.job.as_str()).collect::<Vec<_>>(), ["a"]);
    let all = due_of(&ledger, 100, &Held::default()).await;
    let queues: Vec<Vec<&str>> = all.iter().map(|due| due.queues().collect()).collect();
    assert_eq!(queues, [vec!["mails"], vec!["mails", "dead"]]);
}

async fn follows_a_job_where_it_went_under_another_id(ledger: Ledger) {
    capture(&ledger, &[found("a", 10), found("b", 11)]).await;
    let letters = ledger.letters(&Default::default(), 10).await.unwrap();
    let of = |job: &str| letters.iter().find(|letter| letter.job == job).unwrap().id.clone();
    let actor = Actor { who: "ada", why: "it takes too long", key: "1" };
    let act =
        async |id: &str, to, key| ledger.act_into(id, Act::Redrive, to, Actor { key, ..actor }, 60).await.unwrap();
    assert_eq!(act(&of("a"), Some("slow"), "1").await, Acted::Done);
    assert_eq!(act(&of("a"), Some("slow"), "1").await, Acted::Before);
    assert_eq!(act(&of("a"), Some("other"), "1").await, Acted::KeyTaken);
    assert_eq!(act(&of("b"), Some("slow"), "2").await, Acted::Done);
    assert_eq!(act(&of("b"), None, "3").await, Acted::Done, "somebody has changed their mind");
    let held = Held { queues: vec!["slow".to_owned()], ..Held::default() };
    assert_eq!(due_of(&ledger, 100, &held).await.len(), 1);
    let due = due_of(&ledger, 100, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &due, 101, orders()).await.unwrap();
    assert_eq!(ledger.intended(SOURCE).await.unwrap().len(), 2);
    let done: Vec<_> = intended
        .into_iter()
        .map(|intended| (intended.clone(), if intended.is_other() { Put::Anew } else { Put::Moved }))
        .collect();
    let order = done.iter().find(|(intended, _)| intended.is_other()).unwrap().0.order.clone();
    ledger.redriven(&done, 102).await.unwrap();
    let now: Vec<_> = ledger.under_way(SOURCE, 0, 10).await.unwrap().into_iter().map(|it| it.now).collect();
    let sought = |queue: &str, job: &str, order: &str| Sought {
        queue: queue.to_owned(),
        job: job.to_owned(),
        order: Some(order.to_owned()),
    };
    let other = now.iter().find(|sought| sought.queue == "mails").and_then(|sought| sought.order.clone()).unwrap();
    assert_eq!(now, [sought("slow", &order.new_job(), &order.id), sought("mails", "b", &other)]);
    assert_ne!(other, order.id);
}

async fn leaves_to_a_person_what_is_not_put_back(ledger: Ledger) {
    capture(&ledger, &[found("a", 10), found("b", 11)]).await;
    let due = due_of(&ledger, 100, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &due, 101, orders()).await.unwrap();
    let done: Vec<_> = intended.into_iter().zip([Put::Newer, Put::Flow]).collect();
    ledger.redriven(&done, 102).await.unwrap();
    let parked = LetterState::Parked.word();
    assert_eq!(
        states(&ledger).await,
        [state("a", &format!("{parked} newer"), false), state("b", &format!("{parked} flow"), false)]
    );
}

in_both! {
    ends_what_was_told_where_its_own_queue_has_it: what_is_told_twice_is_one_in_a_file, what_is_told_twice_is_one_in_a_server;
    leaves_out_what_a_held_queue_told_of: what_a_held_queue_told_of_waits_in_a_file, what_a_held_queue_told_of_waits_in_a_server;
    follows_a_job_where_it_went_under_another_id: a_job_is_followed_elsewhere_in_a_file, a_job_is_followed_elsewhere_in_a_server;
    leaves_to_a_person_what_is_not_put_back: what_is_not_put_back_is_parked_in_a_file, what_is_not_put_back_is_parked_in_a_server;
}
