//! Edits, beside what jobs held.

use dlq_processor::ledger::{Act, Acted, Actor, Before, Edited, Held, Ledger};
use dlq_processor::source::{Found, Put};
use serde_json::{Value, json};

use super::{SOURCE, capture, due_of, found, in_a_file, in_a_server, orders};

const ADA: Actor<'_> = Actor { who: "ada", why: "it was wrong", key: "" };

async fn edit(ledger: &Ledger, id: &str, patch: Option<Value>, key: &str) -> Edited {
    ledger.edit(id, patch.as_ref(), Actor { key, ..ADA }, 60).await.unwrap()
}

async fn keeps_an_edit_until_it_is_redriven(ledger: Ledger) {
    let held = Found { data: br#"{"to":"a","n":1.0}"#.to_vec(), ..found("a", 10) };
    capture(&ledger, &[held.clone(), found("b", 11)]).await;
    let letters = ledger.letters(&Default::default(), 10).await.unwrap();
    let of = |job: &str| letters.iter().find(|letter| letter.job == job).unwrap().id.clone();
    let (id, odd) = (of("a"), of("b"));
    let to = |value: &str| Some(json!([{ "op": "replace", "path": "/to", "value": value }]));
    let done = Edited::Acted(Acted::Done);
    assert_eq!(edit(&ledger, "nothing", to("b"), "0").await, Edited::Acted(Acted::Unknown));
    assert_eq!(edit(&ledger, &id, None, "1").await, Edited::Acted(Acted::Not("not edited".to_owned())));
    assert_eq!(edit(&ledger, &id, to("b"), "2").await, done);
    assert_eq!(edit(&ledger, &id, to("b"), "2").await, Edited::Acted(Acted::Before));
    assert_eq!(edit(&ledger, &id, None, "2").await, Edited::Acted(Acted::KeyTaken));
    assert_eq!(edit(&ledger, &id, to("\u{0}c"), "3").await, done);
    let refused = edit(&ledger, &odd, to("b"), "4").await;
    assert!(
        matches!(&refused, Edited::Refused(why) if why.to_string().starts_with("what the job held is not JSON")),
        "{refused:?}"
    );
    let found = ledger.edit_of(&id).await.unwrap().unwrap();
    assert_eq!((found.data.as_slice(), found.who.as_str()), (br#"{"n":1.0,"to":"\u0000c"}"#.as_slice(), "ada"));
    assert_eq!(ledger.payload(&id).await.unwrap(), held.data);
    assert_eq!(ledger.edit_of(&odd).await.unwrap(), None);
    assert_eq!(edit(&ledger, &id, None, "5").await, done);
    assert_eq!((ledger.edit_of(&id).await.unwrap(), edit(&ledger, &id, to("d"), "6").await), (None, done));

    ledger.act(&id, Act::Redrive, Actor { key: "7", ..ADA }, 70).await.unwrap();
    let due = due_of(&ledger, 100, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &due, 101, orders()).await.unwrap();
    assert_eq!(edit(&ledger, &id, to("e"), "8").await, Edited::Acted(Acted::Not("intended".to_owned())));
    let edited = ledger.edited(&intended).await.unwrap();
    let expected: Vec<Option<Vec<u8>>> =
        intended.iter().map(|intended| intended.is_edited.then(|| br#"{"n":1.0,"to":"d"}"#.to_vec())).collect();
    assert_eq!((edited, intended.iter().filter(|it| it.is_edited).count()), (expected, 1));
    let all: Vec<_> = intended.into_iter().map(|intended| (intended, Put::NotFailed)).collect();
    ledger.redriven(&all, 102).await.unwrap();
    let before = Before { ended_ms: 103, discarded_ms: 0, waiting_ms: 0 };
    assert_eq!(ledger.forget_ended(before, &[]).await.unwrap(), 2);
    assert_eq!(ledger.edit_of(&id).await.unwrap(), None);
}

in_both! {
    keeps_an_edit_until_it_is_redriven: an_edit_is_kept_in_a_file, an_edit_is_kept_in_a_server;
}
