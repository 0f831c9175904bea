//! blackbox_exporter and ours, with the same modules, asked the same of the same servers: whatever differs must be listed, and
//! whatever is listed must differ.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod answer;
mod both;
mod dialogs;
mod grants;
mod health;
mod http;
mod names;
mod newer;
mod own;
mod proxied;
mod proxies;
mod tokens;
mod ways;

use monitor::export::{DIFFERENCES, How};

use crate::both::{Both, Case, Found};

#[tokio::test(flavor = "multi_thread")]
async fn both_answer_the_same_but_for_what_is_listed() {
    let (http, dialogs) = (http::Servers::new(), dialogs::Servers::new());
    let (ways, grants) = (ways::Servers::new(), grants::Servers::new());
    let (names, health) = tokio::join!(names::Servers::start(), health::Servers::start());
    let modules =
        [http.modules(), dialogs.modules(), names.modules(), health.modules(), ways.modules(), grants.modules()]
            .concat();
    let targets = ["127.0.0.0/8", "localhost", "::1", "no-such-name.invalid", "shop.example", "wrong.example"];
    let both = Both::start(&modules, &targets).await;
    let cases: Vec<Case> =
        [http.cases(), dialogs.cases(), names.cases(), health.cases(), ways.cases(), grants.cases()].concat();
    assert!(cases.len() >= 100, "{} cases", cases.len());
    let found = both.compare(&cases).await;
    let unlisted: Vec<String> = found.iter().filter(|found| !is_listed(found)).map(ToString::to_string).collect();
    assert!(unlisted.is_empty(), "these differ and are not listed:\n{}", unlisted.join("\n"));
    ways.check();
    grants.check();
    let compared = DIFFERENCES.iter().filter(|difference| difference.how != How::Refused);
    let over: Vec<String> = compared
        .filter(|difference| !found.iter().any(|found| found.is_of(difference)))
        .map(|difference| format!("{difference:?}"))
        .collect();
    assert!(over.is_empty(), "these are listed and do not differ:\n{}", over.join("\n"));
}

fn is_listed(found: &Found) -> bool {
    DIFFERENCES.iter().any(|difference| found.is_of(difference))
}
