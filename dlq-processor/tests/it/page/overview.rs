//! The overview and the list: what waits, in one sentence, and whatever words jobs fail in.

use serde_json::{Value, json};
use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::reader::{HOSTILE, is_harmless};
use crate::daemon::machine::{LIMIT, Machine};

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_says_how_many_wait_and_names_what_they_have_in_common() {
    let config = "queues: [{ queue: mails, mode: act }]\njobs: [{ name: 'charge*', critical: true }]\n";
    let machine = Machine::start(config).await;
    for number in 0..3 {
        let why = "ValidationError: no address, password=hunter2hunter2";
        machine.fails("mails", "send", json!({ "number": number }), why).await;
    }
    machine.fails("payments", "charge", json!({}), "ValidationError: no card").await;
    let _daemon = machine.daemon().await;
    let page = machine.overview_of(4.0).await;
    assert!(page.contains("<h1>4 dead letters wait for you, 1 of them now</h1>"), "{page}");
    assert!(
        page.contains("mails · send") && page.contains("3 letters") && page.contains("payments · charge"),
        "{page}"
    );
    assert!(page.contains("no address") && !page.contains("hunter2"), "{page}");
    assert!(page.contains("in mails; elsewhere it watches") && page.contains("<time datetime="), "{page}");
    assert!(page.find("payments · charge") < page.find("mails · send"), "what is for now comes first");
    let (_, alike) = machine.page(&link(&page, "/letters?fingerprint=")).await;
    assert!(alike.contains("<h1>1 dead letter is like that</h1>") && alike.contains("no card"), "{alike}");
    assert!(alike.contains("dlq-processor redrive --fingerprint "), "{alike}");
    let (_, of_queue) = machine.page("/letters?queue=mails&state=&message=ADDRESS").await;
    assert!(of_queue.contains("<h1>3 dead letters are like that</h1>") && !of_queue.contains("no card"), "{of_queue}");
    let (status, wrong) = machine.page("/letters?state=lost").await;
    assert!(status == 400 && wrong.contains("write one of observed, scheduled"), "{wrong}");
}

/// The first link of a page that begins so.
fn link(page: &str, begin: &str) -> String {
    let rest = page.split_once(&format!("href=\"{begin}")).unwrap().1;
    format!("{begin}{}", rest.split('"').next().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_waits_the_page_is_calm_and_where_the_ledger_is_away_it_says_so() {
    let machine = Machine::start("ledger: 'postgres://127.0.0.1:1/nothing'\n").await;
    let daemon = machine.daemon().await;
    let (status, page) = machine.page("/").await;
    assert!(status == 503 && page.contains("<h1>The ledger is not open yet</h1>"), "{status} {page}");
    assert!(page.contains("What fails meanwhile stays in its queue"), "{page}");
    daemon.kill();
    machine.configure("");
    let _daemon = machine.daemon().await;
    let page = eventually("it to act", LIMIT, async || {
        let (status, page) = machine.page("/").await;
        (status == 200 && page.contains("Watches only")).then_some(page)
    });
    let page = page.await;
    assert!(page.contains("<h1>No dead letter waits for anybody</h1>"), "{page}");
    assert!(page.contains("nothing is redriven: no queue has mode: act"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_words_stay_words_on_every_page_and_nothing_comes_from_elsewhere() {
    let machine = Machine::start("operator_token_file: token\nqueues: [{ queue: '*', mode: act }]\n").await;
    machine
        .fails("mails", HOSTILE, json!({ "note": HOSTILE }), &format!("{HOSTILE} \"quoted\" javascript:alert(1)"))
        .await;
    let _daemon = machine.daemon().await;
    machine.overview_of(1.0).await;
    let letter = machine.letters().await.remove(0);
    let because = json!({ "filter": { "message": HOSTILE }, "act": "redrive", "reason": HOSTILE });
    let plan = machine.post("/api/v1/plans", &because).await;
    let plan = plan["plan"]["id"].as_str().unwrap();
    let paths = [
        "/".to_owned(),
        "/letters".to_owned(),
        "/letters?name=%3Cscript%3Ealert('x')%3C/script%3E&queue=%22%3E%3Cb%3E".to_owned(),
        format!("/letters/{}", letter.id),
        "/letters/%3Cscript%3E".to_owned(),
        "/plans".to_owned(),
        format!("/plans/{plan}"),
        "/audit".to_owned(),
    ];
    for path in paths {
        let (status, page) = machine.operators_page(&path).await;
        is_harmless(&path, &page);
        let is_told = page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;");
        assert!(is_told || path.contains("%3C"), "{path}: {status} {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_open_is_told_to_look_anew() {
    let machine = Machine::start("").await;
    let _daemon = machine.daemon().await;
    machine.overview_of(0.0).await;
    let asked = machine.request("GET", "/api/v1/events", &[]);
    let address = asked.uri_ref().unwrap().authority().unwrap().to_string();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    machine.fails("mails", "send", json!({}), "ValidationError: no address").await;
    let mut heard = Vec::new();
    eventually("it to be told", LIMIT, async || {
        stream.read_buf(&mut heard).await.unwrap();
        String::from_utf8_lossy(&heard).contains("event: change").then_some(())
    })
    .await;
    assert!(String::from_utf8_lossy(&heard).contains("content-type: text/event-stream"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_names_alone_are_public_nobody_reads_messages_without_a_token() {
    let config = "access: { public: names }\noperator_token_file: token\n";
    let machine = Machine::start(config).await;
    machine.fails("mails", "send", json!({}), "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    let page = machine.overview_of(1.0).await;
    assert!(page.contains("1 dead letter waits for you") && page.contains("mails · send"), "{page}");
    assert!(!page.contains("no address") && !page.contains("/letters"), "{page}");
    for path in ["/letters", "/letters/x", "/plans", "/audit"] {
        let (status, page) = machine.page(path).await;
        assert!(status == 401 && page.contains("This is not for everybody"), "{path}: {status} {page}");
    }
    let (status, page) = machine.operators_page("/letters").await;
    assert!(status == 200 && page.contains("no address"), "{page}");
    let elsewhere = machine.request("GET", "/letters", &[("x-forwarded-for", "10.0.0.1")]);
    assert_eq!(machine.ask(elsewhere, &Value::Null).await.unwrap().0, 403, "an unknown proxy");
}
