//! Of what somebody was told.

use dlq_processor::ledger::{Ledger, Told};

use super::{in_a_file, in_a_server};

async fn remembers_as_what_somebody_was_told(ledger: Ledger) {
    let told = |key: &str, severity: Option<&str>| Told {
        key: key.to_owned(),
        service: severity.map(|_| "mails".to_owned()),
        severity: severity.map(str::to_owned),
    };
    for told in [told("b", Some("ticket")), told("a", None), told("b", Some("page"))] {
        ledger.tell(&told).await.unwrap();
    }
    assert_eq!(ledger.told().await.unwrap(), [told("a", None), told("b", Some("page"))]);
    ledger.take_back("b").await.unwrap();
    assert_eq!(ledger.told().await.unwrap(), [told("a", None)]);
}

in_both! {
    remembers_as_what_somebody_was_told: what_was_told_is_remembered_in_a_file, what_was_told_is_remembered_in_a_server;
}
