//! What letters leave behind, and when that goes.

use dlq_processor::ledger::{Act, Acted, Actor, Ledger};
use dlq_processor::source::Found;

use super::{SOURCE, capture, found, id_of, in_a_file, in_a_server, redrive};

/// More than one part has.
const MANY: usize = 450;

fn actor(key: &str) -> Actor<'_> {
    Actor { who: "ada", why: "", key }
}

/// Goes through all of it.
async fn forget_kinds(ledger: &Ledger, before_ms: i64) -> usize {
    let (mut after, mut parts) = (String::new(), 0);
    while let Some(kind) = ledger.forget_kinds(before_ms, &after).await.unwrap() {
        (after, parts) = (kind, parts + 1);
    }
    parts
}

async fn forget_audit(ledger: &Ledger, before_ms: i64) -> usize {
    let (mut after, mut parts) = (0, 0);
    while let Some(number) = ledger.forget_audit(before_ms, after).await.unwrap() {
        (after, parts) = (number, parts + 1);
    }
    parts
}

async fn keeps_kinds_of_failures_while_letters_are_of_them_or_they_were_seen_lately(ledger: Ledger) {
    // Each name is a kind of its own.
    let named = |number: usize| Found { name: format!("name{}", "x".repeat(number)), ..found(&number.to_string(), 10) };
    let many: Vec<Found> = (0..MANY).map(named).collect();
    ledger.capture(SOURCE, &many, 50, redrive).await.unwrap();
    ledger.capture(SOURCE, &[found("late", 20)], 60, redrive).await.unwrap();
    let kinds = async || ledger.alike(1_000).await.unwrap().len();
    assert_eq!(kinds().await, MANY + 1);
    assert_eq!(forget_kinds(&ledger, i64::MAX).await, 3, "they are looked through in parts");
    assert_eq!(kinds().await, MANY + 1, "there are letters of all of them");

    let letters = ledger.letters(&Default::default(), 1_000).await.unwrap();
    let gone: Vec<i64> = letters.iter().filter(|letter| letter.job != "7").map(|letter| letter.number).collect();
    ledger.forget(&gone).await.unwrap();
    forget_kinds(&ledger, 50).await;
    assert_eq!(kinds().await, MANY + 1, "they were seen lately");
    forget_kinds(&ledger, 51).await;
    let left = ledger.alike(1_000).await.unwrap();
    let left: Vec<&str> = left.iter().map(|kind| kind.name.as_str()).collect();
    assert_eq!(left, ["send\u{fffd}", "namexxxxxxx"], "the last seen first");
    forget_kinds(&ledger, 61).await;
    assert_eq!(kinds().await, 1);
    // What comes again is new, and counted from one.
    let captured = ledger.capture(SOURCE, &[named(8)], 70, redrive).await.unwrap();
    assert_eq!(captured.new_fingerprints.len(), 1);
    assert_eq!(ledger.alike(1).await.unwrap()[0].count, 1);
}

async fn keeps_who_did_what_for_so_long_and_with_what_has_not_ended_for_as_long_as_that_is_there(ledger: Ledger) {
    capture(&ledger, &[found("waits", 10), found("ends", 11)]).await;
    let (waits, ends) = (id_of(&ledger, "waits").await, id_of(&ledger, "ends").await);
    assert_eq!(ledger.act(&waits, Act::Park, actor("1"), 100).await.unwrap(), Acted::Done);
    assert_eq!(ledger.act(&ends, Act::Discard, actor("2"), 100).await.unwrap(), Acted::Done);
    for number in 0..MANY {
        ledger.note("read", "gone", actor(&format!("many {number}")), 100).await.unwrap();
    }
    ledger.note("export", "{}", actor("young"), 200).await.unwrap();
    let lines = async || {
        let audit = ledger.audit(None, 1_000).await.unwrap();
        audit.into_iter().filter_map(|line| line.letter).collect::<Vec<_>>()
    };
    assert_eq!((forget_audit(&ledger, 100).await, lines().await.len()), (0, MANY + 3), "nothing is old");
    assert_eq!(forget_audit(&ledger, 101).await, 3, "it is looked through in parts");
    assert_eq!(lines().await, ["{}", waits.as_str()]);
    assert_eq!(ledger.act(&waits, Act::Park, actor("1"), 300).await.unwrap(), Acted::Before, "its key is known");

    assert_eq!(ledger.act(&waits, Act::Discard, actor("3"), 300).await.unwrap(), Acted::Done);
    forget_audit(&ledger, 201).await;
    assert_eq!(lines().await, [waits.as_str()], "that it was given up is young");
    let number = ledger.letter(&waits).await.unwrap().unwrap().number;
    ledger.forget(&[number]).await.unwrap();
    forget_audit(&ledger, 301).await;
    assert_eq!(lines().await, Vec::<String>::new());
}

in_both! {
    keeps_kinds_of_failures_while_letters_are_of_them_or_they_were_seen_lately:
        kinds_of_failures_go_with_their_letters_in_a_file, kinds_of_failures_go_with_their_letters_in_a_server;
    keeps_who_did_what_for_so_long_and_with_what_has_not_ended_for_as_long_as_that_is_there:
        old_lines_of_the_audit_go_in_a_file, old_lines_of_the_audit_go_in_a_server;
}
