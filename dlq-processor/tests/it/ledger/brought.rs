//! Letters that are read whole, and brought into another ledger.

use std::collections::BTreeSet;

use dlq_processor::ledger::{
    Act, Acted, Actor, Before, Bringing, Edited, Expression, Fate, Filter, Held, InOrder, Ledger, LetterState, Past,
    Ruling, Whole,
};
use dlq_processor::policy::{Action, Alarm, Decision};
use dlq_processor::source::{Found, Put};
use jiff::Timestamp;
use kit::db::Source;
use kit::trace::Context;
use serde_json::json;

use super::{PUT_IN, SOURCE, capture, due_of, found, id_of, in_a_file, in_a_server, orders, redrive};

const ADA: Actor<'_> = Actor { who: "ada", why: "another machine", key: "k" };

/// Every letter that a filter chooses, and how many there were in each part.
async fn read(ledger: &Ledger, filter: Filter) -> (Vec<Whole>, Vec<usize>) {
    let mut reading = ledger.begin_reading(filter).await.unwrap();
    let (mut letters, mut parts) = (Vec::new(), Vec::new());
    while let Some(part) = ledger.read_on(&mut reading).await.unwrap() {
        parts.push(part.len());
        letters.extend(part);
    }
    (letters, parts)
}

async fn bring(ledger: &Ledger, letters: &[Whole], key: &str, is_dry: bool) -> Option<Vec<Fate>> {
    let (actor, listed) = (Actor { key, ..ADA }, BTreeSet::new());
    let bringing = Bringing { actor, of: "lines 1", is_dry, listed: &listed, now_ms: 500 };
    ledger.bring(letters.to_vec(), bringing).await.unwrap()
}

/// One that has something of everything.
fn rich(job: &str) -> Found {
    Found {
        name: "send".to_owned(),
        data: "{\"to\":\"\\u0000 😀\"}".into(),
        stack: Some("Error: no\n    at a.js".to_owned()),
        asked_by: Context::parse(PUT_IN),
        found_in: Some("dead-letter-queue".to_owned()),
        stalls: 2,
        ..found(job, 10)
    }
}

fn ordered(found: &Found, past: Option<Past>) -> Ruling {
    let order = Some(InOrder { value: "17".to_owned(), waits_for_stuck: true });
    Ruling { order, until_ms: Some(1_000), state: LetterState::Parked, ..redrive(found, past) }
}

/// What of a letter is the same wherever it is.
fn facts(letter: &Whole) -> Whole {
    Whole { number: 0, state: None, reason: None, alarm: None, due_at_ms: None, changed_at_ms: None, ..letter.clone() }
}

async fn is_the_same_letter_where_it_is_brought_and_waits_there(ledger: Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let other = Ledger::open(&Source::Sqlite(folder.path().join("other.db"))).await.unwrap();
    other.capture(SOURCE, &[rich("a")], 50, ordered).await.unwrap();
    let shut_in = |found: &Found, past: Option<Past>| {
        let ruling = redrive(found, past);
        let decision = Decision { action: Action::Quarantine, ..ruling.decision.clone() };
        Ruling { state: LetterState::Quarantined, decision, ..ruling }
    };
    other.capture(SOURCE, &[found("b", 11)], 50, shut_in).await.unwrap();
    capture(&other, &[found("c", 12), found("d", 13)]).await;
    let patch = json!([{ "op": "replace", "path": "/to", "value": "b" }]);
    let edited = other.edit(&id_of(&other, "a").await, Some(&patch), Actor { key: "1", ..ADA }, 60).await.unwrap();
    assert_eq!(edited, Edited::Acted(Acted::Done));
    other.act(&id_of(&other, "d").await, Act::Discard, Actor { key: "2", ..ADA }, 60).await.unwrap();
    let (letters, _) = read(&other, Filter::default()).await;
    assert_eq!(letters[0].data.as_deref(), Some("{\"to\":\"\\u0000 😀\"}".as_bytes()));
    assert!(letters[0].edit.is_some() && letters[0].stack.is_some(), "{:?}", letters[0]);

    assert_eq!(bring(&ledger, &letters, "k", true).await, Some(vec![Fate::New; 4]));
    assert_eq!(read(&ledger, Filter::default()).await.0, [], "that was dry");
    assert_eq!(bring(&ledger, &letters, "k", false).await, Some(vec![Fate::New; 4]));
    let (here, _) = read(&ledger, Filter::default()).await;
    assert_eq!(here.iter().map(facts).collect::<Vec<_>>(), letters.iter().map(facts).collect::<Vec<_>>());
    let stands: Vec<_> = here.iter().map(|it| (it.state.as_deref().unwrap(), it.reason.as_deref().unwrap())).collect();
    let expected =
        [("parked", "imported"), ("quarantined", "imported"), ("parked", "imported"), ("discarded", "asked")];
    assert_eq!(stands, expected);
    assert_eq!(bring(&ledger, &letters, "k", false).await, Some(vec![Fate::Here; 4]), "once for each key");
    assert_eq!(bring(&ledger, &letters, "another", false).await, Some(vec![Fate::Here; 4]));
    let audit = ledger.audit(Some(&here[0].id), 10).await.unwrap();
    assert_eq!(audit.iter().map(|it| (&*it.what, &*it.why)).collect::<Vec<_>>(), [("import", "another machine")]);
    assert_eq!(ledger.audit(Some("lines 1"), 10).await.unwrap().len(), 2, "for each key");
    ledger.note("else", "x", Actor { key: "taken", ..ADA }, 1).await.unwrap();
    assert_eq!(bring(&ledger, &letters, "taken", false).await, None);
    let alike = ledger.alike(10).await.unwrap();
    assert_eq!(alike.iter().map(|it| it.count).sum::<i64>(), 4, "of each kind as many as are here: {alike:?}");

    let due = async || due_of(&ledger, i64::MAX, &Held::default()).await;
    assert_eq!(due().await, [], "nothing is redriven unasked");
    let act =
        async |at: usize, act| ledger.act(&here[at].id, act, Actor { key: &here[at].id, ..ADA }, 600).await.unwrap();
    assert_eq!((act(1, Act::Release).await, act(2, Act::Redrive).await), (Acted::Done, Acted::Done));
    assert_eq!(due().await.len(), 2);
}

async fn holds_for_uncertain_what_may_have_been_done_and_has_somebody_told_of_all_that_waits(ledger: Ledger) {
    let silent = |found: &Found, past: Option<Past>| {
        let ruling = redrive(found, past);
        let decision = Decision { alarm: Alarm::None, ..ruling.decision.clone() };
        Ruling { decision, ..ruling }
    };
    let folder = tempfile::tempdir().unwrap();
    let other = Ledger::open(&Source::Sqlite(folder.path().join("other.db"))).await.unwrap();
    let states = [
        (LetterState::Scheduled, "parked", "ticket"),
        (LetterState::Observed, "parked", "ticket"),
        (LetterState::Intended, "uncertain", "ticket"),
        (LetterState::Redriven, "uncertain", "ticket"),
        (LetterState::Uncertain, "uncertain", "ticket"),
        (LetterState::Resolved, "resolved", "none"),
    ];
    for (state, ..) in states {
        let ruled = |found: &Found, past: Option<Past>| Ruling { state, ..silent(found, past) };
        other.capture(SOURCE, &[found(state.word(), 10)], 50, ruled).await.unwrap();
    }
    let (letters, _) = read(&other, Filter::default()).await;
    bring(&ledger, &letters, "k", false).await.unwrap();
    let (here, _) = read(&ledger, Filter::default()).await;
    for (letter, (was, state, alarm)) in here.iter().zip(states) {
        let stands = (letter.state.as_deref(), letter.alarm.as_deref());
        assert_eq!(stands, (Some(state), Some(alarm)), "{}", was.word());
    }
    assert_eq!(ledger.waiting(10).await.unwrap().iter().map(|it| it.letters).sum::<i64>(), 5);

    // The same of what comes back from a file; what an export says of it counts.
    let parked = |found: &Found, past: Option<Past>| Ruling { state: LetterState::Observed, ..silent(found, past) };
    ledger.capture(SOURCE, &[found("back", 10), found("doubtful", 10)], 60, parked).await.unwrap();
    let (all, _) = read(&ledger, Filter { state: Some("observed".to_owned()), ..Filter::default() }).await;
    let before = Before { ended_ms: 0, discarded_ms: 0, waiting_ms: 61 };
    ledger.expire(&ledger.overdue(before).await.unwrap(), Some("cold/a.jsonl"), 70).await.unwrap();
    let lines = [all[0].clone(), Whole { state: Some("redriven".to_owned()), ..all[1].clone() }];
    assert_eq!(bring(&ledger, &lines, "back", false).await, Some(vec![Fate::Back; 2]));
    for (line, state) in lines.iter().zip(["parked", "uncertain"]) {
        let letter = ledger.letter(&line.id).await.unwrap().unwrap();
        assert_eq!((letter.state.as_str(), letter.reason.as_str()), (state, "imported"));
    }
    assert_eq!(ledger.waiting(10).await.unwrap().iter().map(|it| it.letters).sum::<i64>(), 7);
}

async fn gives_back_what_was_put_away_and_leaves_everything_else(ledger: Ledger) {
    let parked = |found: &Found, past: Option<Past>| Ruling { state: LetterState::Parked, ..redrive(found, past) };
    ledger.capture(SOURCE, &[found("away", 10), found("vain", 11), found("removed", 12)], 50, parked).await.unwrap();
    let (letters, _) = read(&ledger, Filter::default()).await;
    let before = Before { ended_ms: 0, discarded_ms: 0, waiting_ms: 60 };
    ledger.expire(&ledger.overdue(before).await.unwrap(), Some("cold/a.jsonl"), 70).await.unwrap();
    let (empty, _) = read(&ledger, Filter::default()).await;
    assert!(empty.iter().all(|it| it.data.is_none() && it.cold.as_deref() == Some("cold/a.jsonl")), "{empty:?}");
    assert_eq!(bring(&ledger, &empty, "0", false).await, Some(vec![Fate::Here; 3]));
    // Its job had gone, and of nothing none is made.
    ledger.act(&letters[1].id, Act::Redrive, Actor { key: "1", ..ADA }, 80).await.unwrap();
    let due = due_of(&ledger, 100, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &due, 100, orders()).await.unwrap();
    assert_eq!(bring(&ledger, &letters[1..2], "2", false).await, Some(vec![Fate::Here]), "it is under way");
    ledger.redriven(&[(intended[0].clone(), Put::Refused)], 101).await.unwrap();
    ledger.discard_hard(&letters[2].id, Actor { key: "3", ..ADA }, 102).await.unwrap();

    let twice = [letters.clone(), letters.clone()].concat();
    let expected = [vec![Fate::Back, Fate::Back], vec![Fate::Here; 4]].concat();
    assert_eq!(bring(&ledger, &twice, "4", true).await, Some(expected.clone()));
    assert_eq!(bring(&ledger, &twice, "4", false).await, Some(expected));
    let (here, _) = read(&ledger, Filter::default()).await;
    for (here, was) in here.iter().zip(&letters).take(2) {
        assert_eq!((&here.data, &here.kept, &here.cold), (&was.data, &was.kept, &None));
        assert_eq!((here.state.as_deref(), here.reason.as_deref()), (Some("parked"), Some("imported")));
    }
    assert_eq!((here[2].reason.as_deref(), &here[2].data), (Some("removed"), &None), "gone is gone");
    let nowhere = [Whole { id: "another".to_owned(), data: None, ..letters[0].clone() }];
    assert_eq!(bring(&ledger, &nowhere, "5", false).await, Some(vec![Fate::Empty]));
    assert_eq!(read(&ledger, Filter::default()).await.0.len(), 3);
}

async fn is_read_in_parts_that_hold_little_and_leave_nothing_out(ledger: Ledger) {
    let large = |job: &str| Found { data: vec![b'x'; 3 << 20], ..found(job, 10) };
    capture(&ledger, &[large("a"), large("b"), found("c", 10)]).await;
    let many: Vec<Found> = (0..250).map(|number| found(&number.to_string(), 20)).collect();
    ledger.capture(SOURCE, &many, 50, ordered).await.unwrap();
    let (letters, parts) = read(&ledger, Filter::default()).await;
    assert_eq!((letters.len(), &parts[..2]), (253, &[1, 100][..]));
    let numbers: Vec<i64> = letters.iter().map(|letter| letter.number).collect();
    assert!(numbers.is_sorted() && numbers.len() == BTreeSet::from_iter(&numbers).len(), "{numbers:?}");
    let state = |state: &str| Filter { state: Some(state.to_owned()), ..Filter::default() };
    assert_eq!(read(&ledger, state("scheduled")).await.0.len(), 3);
    assert_eq!(read(&ledger, state("resolved")).await, (vec![], vec![0]));
    // What comes later is not waited for.
    let mut reading = ledger.begin_reading(state("scheduled")).await.unwrap();
    capture(&ledger, &[found("late", 30)]).await;
    let mut jobs = Vec::new();
    while let Some(part) = ledger.read_on(&mut reading).await.unwrap() {
        jobs.extend(part.into_iter().map(|letter| letter.job));
    }
    assert_eq!(jobs, ["a", "b", "c"]);
    // However much is looked through in vain, whoever reads hears of each part, and what nobody wants costs no room in it.
    let words = |text: &str| Filter { message_re: Some(Expression::parse(text).unwrap()), ..Filter::default() };
    assert_eq!(read(&ledger, words("no such words")).await, (vec![], vec![0, 0, 0]));
    let reason = Some("Error: wanted".to_owned());
    capture(&ledger, &[Found { reason: reason.clone(), ..large("e") }, large("f"), Found { reason, ..found("g", 10) }])
        .await;
    let (wanted, parts) =
        read(&ledger, Filter { failed_before: Timestamp::from_millisecond(15).ok(), ..words("wanted") }).await;
    assert_eq!((wanted.len(), parts), (2, vec![2]));
}

in_both! {
    holds_for_uncertain_what_may_have_been_done_and_has_somebody_told_of_all_that_waits:
        what_may_have_been_done_is_uncertain_in_a_file, what_may_have_been_done_is_uncertain_in_a_server;
    is_the_same_letter_where_it_is_brought_and_waits_there: a_letter_is_brought_into_a_file, a_letter_is_brought_into_a_server;
    gives_back_what_was_put_away_and_leaves_everything_else: what_was_put_away_is_back_in_a_file, what_was_put_away_is_back_in_a_server;
    is_read_in_parts_that_hold_little_and_leave_nothing_out: letters_are_read_in_parts_in_a_file, letters_are_read_in_parts_in_a_server;
}
