//! What is told where not all can be told, with a ledger and a client in files, and a monitor on loopback.

use std::collections::BTreeSet;

use prometheus::Opts;
use testkit::{Target, eventually};

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
    Facts { sources: vec![source], ledger: None }
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

fn counter() -> IntCounterVec {
    IntCounterVec::new(Opts::new("untold", "untold"), &["reason"]).unwrap()
}

/// The queues that the monitor heard of, `+` firing or `-` over.
fn heard(monitor: &Target) -> Vec<String> {
    let posts = monitor.requests().into_iter();
    let alerts = posts.flat_map(|request| serde_json::from_slice::<Vec<serde_json::Value>>(&request.body).unwrap());
    let said = alerts.map(|alert| {
        let sign = if alert["endsAt"].is_null() { '+' } else { '-' };
        format!("{sign}{}", alert["labels"]["queue"].as_str().unwrap())
    });
    said.collect()
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
    let telling = async {
        eventually("the end of the other one", LIMIT, async || (heard(&monitor).len() == 2).then_some(())).await;
        eventually("it to be told", LIMIT, async || {
            teller.tell(&worked_in(&["mails"])).await.unwrap();
            (heard(&monitor).len() == 3).then_some(())
        })
        .await;
    };
    tokio::select! {
        () = telling => {}
        () = client.run(CancellationToken::new()) => {}
    }
    assert_eq!(heard(&monitor), ["+bills", "-bills", "+mails"]);
}
