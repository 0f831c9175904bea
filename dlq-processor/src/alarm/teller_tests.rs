//! What is told where not all can be told, with a ledger and a client in files, and a monitor on loopback.

use std::collections::BTreeSet;
use std::path::Path;

use kit::alert::AlertSettings;
use kit::metrics::Metrics;
use kit::queue::Queues;
use prometheus::Opts;
use testkit::{Target, eventually};
use tokio_util::sync::CancellationToken;

use super::super::fullness::LedgerFacts;
use super::*;
use crate::engine::SourceFacts;
use crate::source::{Peril, PerilKind};

/// Far longer than anything on loopback takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A source in whose queues others work.
fn worked_in(queues: &[&str]) -> Facts {
    let peril =
        |queue: &&str| Peril { queue: (*queue).to_owned(), kind: PerilKind::Workers, why: "others work".to_owned() };
    let source = SourceFacts {
        name: "jobs".to_owned(),
        looked_at: Some(BTreeSet::from(["bills".to_owned(), "mails".to_owned()])),
        perils: queues.iter().map(peril).collect(),
        ..SourceFacts::default()
    };
    Facts { sources: vec![source], ..Facts::default() }
}

async fn client(folder: &Path, monitor: &Target, max_open: u32) -> AlertClient {
    kit::tls::install();
    let monitor = monitor.url("").parse().unwrap();
    let settings = AlertSettings { monitor, max_open, ..AlertSettings::new("dlq-processor") };
    let queues = Queues::sqlite(&folder.join("alerts.db")).await.unwrap();
    AlertClient::new(settings, queues, &Metrics::new("test", "0")).unwrap()
}

async fn ledger(folder: &Path) -> Ledger {
    Ledger::open(&kit::db::Source::Sqlite(folder.join("ledger.db"))).await.unwrap()
}

/// Has the client post until that is so.
async fn posting(client: &AlertClient, until: impl AsyncFnMut() -> Option<()>) {
    tokio::select! {
        () = eventually("it to be posted", LIMIT, until) => {}
        () = client.run(CancellationToken::new()) => {}
    }
}

fn counter() -> IntCounterVec {
    IntCounterVec::new(Opts::new("untold", "untold"), &["reason"]).unwrap()
}

/// What the monitor heard of, each once: the queue, or of none how urgent it is; `+` firing or `-` over.
fn heard(monitor: &Target) -> Vec<String> {
    let posts = monitor.requests().into_iter();
    let alerts = posts.flat_map(|request| serde_json::from_slice::<Vec<serde_json::Value>>(&request.body).unwrap());
    let said = alerts.map(|alert| {
        let sign = if alert["endsAt"].is_null() { '+' } else { '-' };
        let labels = &alert["labels"];
        format!("{sign}{}", labels["queue"].as_str().or(labels["severity"].as_str()).unwrap())
    });
    let mut said: Vec<String> = said.collect();
    // What was posted when the client was stopped is posted again: at least once.
    said.dedup();
    said
}

#[tokio::test]
async fn an_alert_that_is_not_taken_is_counted_and_holds_up_neither_others_nor_their_end() {
    let (folder, monitor, untold) = (tempfile::tempdir().unwrap(), Target::ok(""), counter());
    let (client, ledger) = (client(folder.path(), &monitor, 1).await, ledger(folder.path()).await);
    let mut teller = Teller::new(&client, &ledger, None, untold.clone());
    let full = || untold.with_label_values(&["full"]).get();
    teller.tell(&worked_in(&["bills", "mails"])).await.unwrap();
    assert_eq!((full(), ledger.told().await.unwrap().len()), (1, 2));
    teller.tell(&worked_in(&["mails"])).await.unwrap();
    assert_eq!((full(), ledger.told().await.unwrap().len()), (2, 1), "the other one is taken back");
    posting(&client, async || (heard(&monitor).len() == 2).then_some(())).await;
    posting(&client, async || {
        teller.tell(&worked_in(&["mails"])).await.unwrap();
        (heard(&monitor).len() == 3).then_some(())
    })
    .await;
    assert_eq!(heard(&monitor), ["+bills", "-bills", "+mails"]);
}

fn ledger_of(bytes: u64) -> Facts {
    Facts { ledger: Some(LedgerFacts { bytes, most_bytes: 100 }), ..Facts::default() }
}

#[tokio::test]
async fn what_another_told_of_is_taken_back_as_it_was_told_also_where_it_became_more_urgent_since() {
    let (folder, monitor) = (tempfile::tempdir().unwrap(), Target::ok(""));
    let (client, ledger) = (client(folder.path(), &monitor, 10).await, ledger(folder.path()).await);
    let words = |word: &str| Some(word.to_owned());
    let ticket = Told { key: "ledger/full".to_owned(), service: words("dlq-processor"), severity: words("ticket") };
    ledger.tell(&ticket).await.unwrap();
    let mut teller = Teller::new(&client, &ledger, None, counter());
    teller.tell(&ledger_of(100)).await.unwrap();
    posting(&client, async || (heard(&monitor).len() == 3).then_some(())).await;
    assert_eq!(heard(&monitor), ["+ticket", "+page", "-ticket"]);
    assert_eq!(ledger.told().await.unwrap(), [Told { severity: words("page"), ..ticket }]);
    // Another process, which has told nobody of it.
    let (folder, monitor) = (tempfile::tempdir().unwrap(), Target::ok(""));
    let client = self::client(folder.path(), &monitor, 10).await;
    Teller::new(&client, &ledger, None, counter()).tell(&ledger_of(1)).await.unwrap();
    posting(&client, async || (heard(&monitor).len() == 2).then_some(())).await;
    assert_eq!((heard(&monitor).join(" "), ledger.told().await.unwrap()), ("+page -page".to_owned(), Vec::new()));
}

#[tokio::test]
async fn what_others_took_back_or_tell_otherwise_is_repeated_by_nobody() {
    let (folder, monitor) = (tempfile::tempdir().unwrap(), Target::ok(""));
    let (client, ledger) = (client(folder.path(), &monitor, 10).await, ledger(folder.path()).await);
    let mut teller = Teller::new(&client, &ledger, None, counter());
    let facts = Facts { ledger: ledger_of(90).ledger, ..worked_in(&["bills", "mails"]) };
    teller.tell(&facts).await.unwrap();
    let told = ledger.told().await.unwrap();
    let [full, bills, mails] = told.as_slice() else { panic!("{told:?}") };
    ledger.take_back(&bills.key).await.unwrap();
    ledger.tell(&Told { severity: Some("page".to_owned()), ..full.clone() }).await.unwrap();
    // As a release before this one wrote it.
    ledger.tell(&Told { severity: None, service: None, ..mails.clone() }).await.unwrap();
    Teller::new(&client, &ledger, None, counter()).begin().await.unwrap();
    let open = client.open().await.unwrap();
    assert_eq!(open.iter().map(|open| open.labels["queue"].as_str()).collect::<Vec<_>>(), ["mails"]);
}
