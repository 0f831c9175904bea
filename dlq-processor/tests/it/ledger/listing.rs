//! What is not yet in lists.

use dlq_processor::ledger::{Act, Actor, Ledger, LetterState, Past, Ruling};
use dlq_processor::source::Found;

use super::{SOURCE, found, in_a_file, in_a_server, redrive};

async fn says_what_is_not_in_lists_yet_until_it_is_told_that_it_is(ledger: Ledger) {
    let parked = |found: &Found, past: Option<Past>| Ruling {
        state: LetterState::Parked,
        is_listed: found.episode.job != "unlisted",
        ..redrive(found, past)
    };
    let found = [found("a", 10), found("b", 20), found("unlisted", 30)];
    ledger.capture(SOURCE, &found, 50, parked).await.unwrap();
    let unlisted = async || ledger.unlisted(SOURCE, 10).await.unwrap();
    let jobs = async || unlisted().await.into_iter().map(|letter| letter.job + " " + &letter.state).collect::<Vec<_>>();
    let first = unlisted().await;
    assert_eq!(jobs().await, ["a parked", "b parked"]);
    assert_eq!(ledger.unlisted("others", 10).await.unwrap(), []);
    assert_eq!(ledger.unlisted(SOURCE, 1).await.unwrap(), first[..1]);
    let act = async |letter: &str, act: Act, key: &str| {
        let actor = Actor { who: "ada", why: "because", key };
        ledger.act(letter, act, actor, 60).await.unwrap();
    };
    // What changes while it is written is written again.
    act(&first[0].id, Act::Discard, "1").await;
    ledger.listed(&first).await.unwrap();
    assert_eq!(jobs().await, ["a discarded"]);
    ledger.listed(&unlisted().await).await.unwrap();
    // What goes on by itself concerns nobody.
    act(&first[1].id, Act::Redrive, "2").await;
    assert_eq!(jobs().await, Vec::<String>::new());
}

in_both! {
    says_what_is_not_in_lists_yet_until_it_is_told_that_it_is:
        what_is_not_in_lists_is_known_in_a_file, what_is_not_in_lists_is_known_in_a_server;
}
