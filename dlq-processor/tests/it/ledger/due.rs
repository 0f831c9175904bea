//! What is due, lane by lane.

use std::collections::BTreeSet;

use dlq_processor::ledger::{Act, Actor, Due, DuePage, Held, Lane, Ledger, LetterId, Place};
use dlq_processor::source::Found;

use super::{SOURCE, capture, due_of, found, in_a_file, in_a_server};

async fn leaves_out_what_is_held(ledger: Ledger) {
    capture(&ledger, &[found("a", 10)]).await;
    let due = async |held: Held| due_of(&ledger, 100, &held).await.len();
    assert_eq!(due(Held::default()).await, 1);
    assert_eq!(due(Held { queues: vec!["mails".to_owned()], ..Held::default() }).await, 0);
    // What stays in its queue does not go elsewhere.
    assert_eq!(due(Held { origins: vec!["mails".to_owned()], ..Held::default() }).await, 1);
    // As many as there may be, and more.
    let many: Vec<String> = (0..1_100).map(|number| format!("q{number}")).collect();
    assert_eq!(due(Held { queues: many.clone(), origins: many }).await, 1);
}

/// However many letters wait for what is shut, those of others are found, and each lane has its turn.
async fn are_found_lane_by_lane(ledger: Ledger) {
    let of = |(number, queue, name): (usize, &str, &str)| {
        let mut found = found(&number.to_string(), 10);
        (found.episode.queue, found.name) = (queue.to_owned(), name.to_owned());
        found
    };
    let lanes = [("bills", "print"), ("bills", "send"), ("mails", "send"), ("mails", "send\u{1f}1")];
    let all: Vec<Found> = (0..40).map(|number| of((number, lanes[number % 4].0, lanes[number % 4].1))).collect();
    capture(&ledger, &all).await;
    let asked = LetterId::of(SOURCE, &all[2].episode);
    ledger.act(asked.as_str(), Act::Redrive, Actor { who: "ada", why: "", key: "1" }, 100).await.unwrap();
    let room = |lane: &Lane| match (lane.queue.as_str(), lane.is_asked) {
        ("bills", _) => usize::from(lane.name == "send") * 3,
        (_, true) => 10,
        (_, false) => 7,
    };
    let page = ledger.due(SOURCE, 100, &Held::default(), (1000, &Place::default()), room).await.unwrap();
    let count = |due: &[Due]| {
        let is_of = |due: &Due, (queue, name): (&str, &str)| due.episode.queue == queue && due.name == name;
        lanes.map(|lane| due.iter().filter(|due| is_of(due, lane)).count())
    };
    assert_eq!((count(&page.due), page.next), ([0, 3, 8, 7], None));
    assert_eq!(page.due[0].id, asked, "what a person asked for has the first tokens");
    let told: Vec<&LetterId> = page.due.iter().filter(|due| due.is_asked).map(|due| &due.id).collect();
    assert_eq!(told, [&asked]);
    let (mut after, mut seen) = (Place::default(), Vec::new());
    loop {
        let page = ledger.due(SOURCE, 100, &Held::default(), (4, &after), |_| usize::MAX).await.unwrap();
        assert!(page.due.len() <= 4);
        seen.extend(page.due);
        let Some(next) = page.next else { break };
        after = next;
    }
    let counted = count(&seen);
    assert!(counted.iter().all(|count| (1..=5).contains(count)), "each had its turn: {counted:?}");
    let ids: BTreeSet<&LetterId> = seen.iter().map(|due| &due.id).collect();
    assert_eq!(ids.len(), seen.len(), "a letter is in one page and no more");
    // A name that no index takes whole keeps nothing from being found.
    let mut long = of((99, "bills", ""));
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + (state >> 24) as u8 % 90)
    };
    long.name = (0..6_000).map(|_| next()).collect();
    capture(&ledger, std::slice::from_ref(&long)).await;
    let page = ledger.due(SOURCE, 100, &Held::default(), (1000, &Place::default()), |_| 1000).await.unwrap();
    assert!(page.due.iter().any(|due| due.name == long.name));
    // What is due later is not found, and in nobody's way.
    let page = ledger.due(SOURCE, 0, &Held::default(), (1000, &Place::default()), |_| 1000).await.unwrap();
    assert_eq!(page, DuePage::default());
}

in_both! {
    are_found_lane_by_lane: what_is_due_is_found_lane_by_lane_in_a_file, what_is_due_is_found_lane_by_lane_in_a_server;
    leaves_out_what_is_held: what_is_held_is_left_out_in_a_file, what_is_held_is_left_out_in_a_server;
}
