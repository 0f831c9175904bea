//! Which sources were there before.

use dlq_processor::ledger::Ledger;

use super::{SOURCE, capture, found, in_a_file, in_a_server};

async fn knows_a_source_by_a_letter_or_by_how_far_it_was_heard(ledger: Ledger) {
    let met = async || [ledger.has_met(SOURCE).await.unwrap(), ledger.has_met("others").await.unwrap()];
    assert_eq!(met().await, [false, false]);
    capture(&ledger, &[found("a", 10)]).await;
    assert_eq!(met().await, [true, false]);
    ledger.hear("others", &[("mails".to_owned(), "1-0".to_owned())].into()).await.unwrap();
    assert_eq!(met().await, [true, true]);
}

in_both! {
    knows_a_source_by_a_letter_or_by_how_far_it_was_heard:
        a_source_that_was_there_is_known_in_a_file, a_source_that_was_there_is_known_in_a_server;
}
