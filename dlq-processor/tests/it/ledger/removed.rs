//! What is discarded for good.

use dlq_processor::ledger::{
    Act, Acted, Actor, Before, Draft, Edited, Expression, Filter, Held, InOrder, Ledger, LetterState, Past, Ruling,
};
use dlq_processor::source::{Found, Put};
use kit::db::Source;
use serde_json::json;

use super::{SOURCE, due_of, found, in_a_file, in_a_server, orders, redrive};

const ROOT: Actor<'_> = Actor { who: "root", why: "she wants to be forgotten", key: "" };
const GONE: &str = "discarded for good, with all that its job held,";

async fn capture(ledger: &Ledger, job: &str, state: LetterState) -> String {
    let held =
        Found { data: br#"{"to":"her"}"#.to_vec(), stack: Some("Error: no\n at a".to_owned()), ..found(job, 10) };
    let order = Some(InOrder { value: "\"her\"".to_owned(), waits_for_stuck: true });
    let ruled = |found: &Found, past: Option<Past>| Ruling { state, order: order.clone(), ..redrive(found, past) };
    let captured = ledger.capture(SOURCE, &[held], 50, ruled).await.unwrap();
    captured.new[0].0.as_str().to_owned()
}

async fn removes_what_a_letter_holds_and_nothing_brings_it_back(ledger: Ledger) {
    let hard = async |id: &str, key| ledger.discard_hard(id, Actor { key, ..ROOT }, 90).await.unwrap();
    assert_eq!(hard("nothing", "0").await, Acted::Unknown);
    let parked = capture(&ledger, "a", LetterState::Parked).await;
    let patch = json!([{ "op": "replace", "path": "/to", "value": "him" }]);
    let edit = async |key| ledger.edit(&parked, Some(&patch), Actor { key, ..ROOT }, 60).await.unwrap();
    assert_eq!(edit("edit").await, Edited::Acted(Acted::Done));
    assert_eq!(hard(&parked, "1").await, Acted::Done);
    assert_eq!(hard(&parked, "1").await, Acted::Before);
    assert_eq!(hard(&parked, "edit").await, Acted::KeyTaken);
    assert_eq!(hard(&parked, "2").await, Acted::Not(GONE.to_owned()));
    let letter = ledger.letter(&parked).await.unwrap().unwrap();
    let stands = (letter.state.as_str(), letter.reason.as_str(), letter.stack, letter.edited_at_ms);
    assert_eq!(stands, ("discarded", "removed", None, None));
    assert_eq!((ledger.payload(&parked).await.unwrap(), ledger.edit_of(&parked).await.unwrap()), (vec![], None));
    let details = ledger.details(&parked).await.unwrap().unwrap();
    assert_eq!((details.stack, details.order_value), (None, None));
    for (number, act) in Act::ALL.into_iter().enumerate() {
        let key = format!("act-{number}");
        let acted = ledger.act(&parked, act, Actor { key: &key, ..ROOT }, 91).await.unwrap();
        assert_eq!(acted, Acted::Not(GONE.to_owned()), "{act:?}");
    }
    for (key, message_re) in [("plan", None), ("plan-2", Some(Expression::parse(".").unwrap()))] {
        let filter = Filter { message_re, ..Filter::default() };
        let draft = Draft {
            filter,
            act: Act::Redrive,
            rate_milli: None,
            stop_percent: None,
            max_letters: None,
            to_queue: None,
        };
        let plan = ledger.make_plan(&draft, Actor { key, ..ROOT }, 91).await.unwrap().unwrap();
        assert_eq!(plan.total, 0, "{draft:?}");
    }
    assert_eq!(edit("edit-2").await, Edited::Acted(Acted::Not(GONE.to_owned())));
    // Its queue still lists it.
    let again = ledger.capture(SOURCE, &[found("a", 10)], 92, redrive).await.unwrap();
    assert_eq!((again.new.len(), ledger.payload(&parked).await.unwrap()), (0, vec![]));
    let done: Vec<_> = ledger.audit(Some(&parked), 10).await.unwrap().into_iter().map(|it| (it.who, it.what)).collect();
    assert_eq!(done[0], ("root".to_owned(), "discard.hard".to_owned()));
    assert_eq!(done.len(), 2, "{done:?}");
}

#[tokio::test]
async fn no_byte_of_what_was_removed_is_left_in_the_file_or_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&Source::Sqlite(path.clone())).await.unwrap();
    let secret = "her secret is 4711. ";
    let left = |text: &str| {
        let files = ["ledger.db", "ledger.db-wal"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
        files.iter().any(|file| file.windows(text.len()).any(|bytes| bytes == text.as_bytes()))
    };
    let mut ids = Vec::new();
    // In a page with others, and in pages of its own.
    for (job, times) in [("a", 1), ("b", 1_000)] {
        let text = secret.repeat(times);
        let data = json!({ "secret": text }).to_string().into_bytes();
        let held = Found { kept: data.clone(), data, stack: Some(text.clone()), ..found(job, 10) };
        let order = Some(InOrder { value: secret.to_owned(), waits_for_stuck: true });
        let ruled = |found: &Found, past: Option<Past>| Ruling {
            state: LetterState::Parked,
            order: order.clone(),
            ..redrive(found, past)
        };
        let captured = ledger.capture(SOURCE, &[held], 50, ruled).await.unwrap();
        ids.push(captured.new[0].0.as_str().to_owned());
    }
    let patch = json!([{ "op": "replace", "path": "/secret", "value": secret }]);
    ledger.edit(&ids[0], Some(&patch), Actor { key: "edit", ..ROOT }, 60).await.unwrap();
    capture(&ledger, "c", LetterState::Parked).await;
    assert!(left(secret));
    for id in &ids {
        assert_eq!(ledger.discard_hard(id, Actor { key: id, ..ROOT }, 90).await.unwrap(), Acted::Done);
    }
    assert!(!left(secret) && left("{\"to\":\"her\"}"), "and nothing else goes");
    ledger.close().await;
}

async fn removes_nothing_of_what_is_under_way_and_all_of_what_has_ended(ledger: Ledger) {
    let mut key = 0;
    let mut hard = async |id: &str| {
        key += 1;
        ledger.discard_hard(id, Actor { key: &key.to_string(), ..ROOT }, 90).await.unwrap()
    };
    for state in LetterState::ALL {
        let expected = match state {
            LetterState::Scheduled | LetterState::Intended | LetterState::Redriven => {
                Acted::Not(state.word().to_owned())
            }
            _ => Acted::Done,
        };
        let id = capture(&ledger, state.word(), state).await;
        assert_eq!(hard(&id).await, expected, "{state:?}");
        assert_eq!(ledger.payload(&id).await.unwrap().is_empty(), expected == Acted::Done, "{state:?}");
    }
    // A redrive that is on its way ends as it would have.
    let id = ledger.letters(&Filter { state: Some("scheduled".to_owned()), ..Filter::default() }, 1).await.unwrap();
    let due = due_of(&ledger, 100, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &due, 100, orders()).await.unwrap();
    ledger.redriven(&[(intended[0].clone(), Put::NotFailed)], 101).await.unwrap();
    assert_eq!(hard(&id[0].id).await, Acted::Done, "it is withdrawn");
}

async fn names_the_file_that_has_what_was_removed_while_it_was_put_away(ledger: Ledger) {
    let removed = capture(&ledger, "a", LetterState::Parked).await;
    let redriven = capture(&ledger, "b", LetterState::Parked).await;
    let overdue = ledger.overdue(Before { ended_ms: 0, discarded_ms: 0, waiting_ms: 60 }).await.unwrap();
    assert_eq!(overdue.len(), 2);
    // Its file has them by now, and the ledger does not say so yet.
    assert_eq!(ledger.discard_hard(&removed, Actor { key: "1", ..ROOT }, 70).await.unwrap(), Acted::Done);
    ledger.act(&redriven, Act::Redrive, Actor { key: "2", ..ROOT }, 70).await.unwrap();
    ledger.expire(&overdue, Some("cold/a.jsonl"), 80).await.unwrap();
    let letter = ledger.letter(&removed).await.unwrap().unwrap();
    let stands = (letter.state.as_str(), letter.reason.as_str(), letter.cold.as_deref());
    assert_eq!(stands, ("discarded", "removed", Some("cold/a.jsonl")));
    let letter = ledger.letter(&redriven).await.unwrap().unwrap();
    assert_eq!((letter.state.as_str(), letter.cold), ("scheduled", None), "it goes on");
}

in_both! {
    names_the_file_that_has_what_was_removed_while_it_was_put_away:
        the_file_of_what_was_removed_is_named_in_a_file, the_file_of_what_was_removed_is_named_in_a_server;
    removes_what_a_letter_holds_and_nothing_brings_it_back: what_is_removed_stays_so_in_a_file, what_is_removed_stays_so_in_a_server;
    removes_nothing_of_what_is_under_way_and_all_of_what_has_ended:
        what_is_under_way_is_not_removed_in_a_file, what_is_under_way_is_not_removed_in_a_server;
}
