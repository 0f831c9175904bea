//! What was redriven in vain, by failures that are alike.

use std::collections::BTreeSet;

use dlq_processor::ledger::{Act, Acted, Actor, Due, Held, InVain, Ledger, LetterId, Outcome};
use dlq_processor::source::{Found, Put};

use super::{SOURCE, capture, due_of, found, id_of, in_a_file, in_a_server};

fn other(job: &str, failed_at_ms: i64) -> Found {
    Found { reason: Some("read ECONNRESET".to_owned()), ..found(job, failed_at_ms) }
}

/// Has all that is due be redriven, and end at the time `now_ms`.
async fn redrive(ledger: &Ledger, outcome: impl Fn(&Due) -> Outcome, now_ms: i64) {
    let due = due_of(ledger, now_ms, &Held::default()).await;
    let intended = ledger.intend(SOURCE, &due, now_ms, || rand::random::<u64>().to_string()).await.unwrap();
    let done: Vec<_> = intended.into_iter().map(|intended| (intended, Put::Moved)).collect();
    ledger.redriven(&done, now_ms).await.unwrap();
    let ended: Vec<(LetterId, Outcome)> = due.iter().map(|due| (due.id.clone(), outcome(due))).collect();
    ledger.ended(&ended, now_ms).await.unwrap();
}

async fn counts_what_came_to_nothing_unasked(ledger: Ledger) {
    capture(&ledger, &[found("a", 10), found("b", 11), found("done", 12), other("x", 13)]).await;
    let fingerprint = due_of(&ledger, 100, &Held::default()).await.remove(0).fingerprint;
    let outcome = |due: &Due| if due.episode.job == "done" { Outcome::Resolved } else { Outcome::Recurred };
    redrive(&ledger, outcome, 100).await;
    capture(&ledger, &[found("c", 20), found("asked", 21)]).await;
    let actor = Actor { who: "ada", why: "", key: "1" };
    assert_eq!(ledger.act(&id_of(&ledger, "asked").await, Act::Redrive, actor, 110).await.unwrap(), Acted::Done);
    redrive(&ledger, outcome, 300).await;
    // It waited, and failed again without our doing.
    capture(&ledger, &[other("waits", 30)]).await;
    capture(&ledger, &[other("waits", 31)]).await;

    let in_vain = async |times, since_ms| ledger.in_vain(SOURCE, times, since_ms, 10).await.unwrap();
    let of = |since_ms| InVain { fingerprint: fingerprint.clone(), queue: "mails".to_owned(), since_ms };
    assert_eq!(in_vain(3, 0).await, [of(100)], "a, b and c: neither what was done nor what somebody asked for");
    assert_eq!((in_vain(4, 0).await, in_vain(2, 100).await), (vec![], vec![]));
    assert_eq!(in_vain(1, 100).await, [of(300)]);
    assert_eq!((in_vain(1, 0).await.len(), ledger.in_vain(SOURCE, 1, 0, 1).await.unwrap().len()), (2, 1));
    assert_eq!(ledger.in_vain("others", 1, 0, 10).await.unwrap(), []);
}

async fn puts_off_what_nobody_asked_for(ledger: Ledger) {
    capture(&ledger, &[found("a", 10), found("b", 11), found("asked", 12)]).await;
    let actor = Actor { who: "ada", why: "", key: "1" };
    assert_eq!(ledger.act(&id_of(&ledger, "asked").await, Act::Redrive, actor, 60).await.unwrap(), Acted::Done);
    let due = due_of(&ledger, 100, &Held::default()).await;
    let alike: BTreeSet<&str> = due.iter().map(|due| due.fingerprint.as_str()).collect();
    assert_eq!((due.len(), alike.len()), (3, 1));
    let later: Vec<(LetterId, i64)> =
        due.iter().filter(|due| due.episode.job != "b").map(|due| (due.id.clone(), 500)).collect();
    ledger.put_off(&later).await.unwrap();
    let jobs = async |now_ms| {
        let due = due_of(&ledger, now_ms, &Held::default()).await;
        due.into_iter().map(|due| due.episode.job).collect::<BTreeSet<_>>()
    };
    assert_eq!(jobs(499).await, BTreeSet::from(["asked".to_owned(), "b".to_owned()]));
    assert_eq!(jobs(500).await.len(), 3);
}

in_both! {
    counts_what_came_to_nothing_unasked: what_is_in_vain_is_counted_in_a_file, what_is_in_vain_is_counted_in_a_server;
    puts_off_what_nobody_asked_for: what_is_capped_is_put_off_in_a_file, what_is_capped_is_put_off_in_a_server;
}
