//! A monitor that works: what it is sent, how often, and what survives a restart.

use kit::alert::{Alert, Open, Severity};
use serde_json::{Value, json};
use testkit::{Target, eventually};

use crate::bench::{Bench, LIMIT, MINUTE, TOKEN, alert, heard, labels, settings};

#[tokio::test]
async fn firing_and_resolved_are_posted_as_alertmanager_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("");
    let mut settings = settings(&target.url("/base/"));
    settings.page = Some("http://127.0.0.1:8090/".parse().unwrap());
    let bench = Bench::start(folder.path(), settings).await;
    let mut given = alert("ann");
    given.labels.insert("empty".to_owned(), String::new());
    given.annotations.insert("runbook_url".to_owned(), "http://x".to_owned());
    bench.client.fire(&given).await.unwrap();
    eventually("the alert", LIMIT, async || (target.requests().len() == 1).then_some(())).await;
    assert!(bench.client.resolve(&given.name, &given.labels).await.unwrap());
    eventually("its end", LIMIT, async || (target.requests().len() == 2).then_some(())).await;
    let mut expected = json!([{
        "labels": {
            "alertname": "SignInFails", "service": "platform-services", "severity": "page",
            "source": "auth-monitor", "user": "ann",
        },
        "annotations": { "summary": "ann cannot sign in", "description": "three tries", "runbook_url": "http://x" },
        "startsAt": "2023-11-14T22:00:00Z",
        "generatorURL": "http://127.0.0.1:8090/",
    }]);
    for request in target.requests() {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/base/api/v2/alerts"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
        assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
        expected[0]["endsAt"] = expected[0]["startsAt"].clone();
    }
    bench.settled().await;
    assert_eq!((bench.posts("accepted"), bench.posts("retried"), bench.posts("refused")), (2.0, 0.0, 0.0));
    assert!(!bench.client.resolve(&given.name, &given.labels).await.unwrap(), "it is not open any more");
    assert_eq!(bench.stats().await, kit::queue::Stats::default());
}

#[tokio::test]
async fn an_open_alert_is_posted_again_every_minute_with_its_newest_words() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("");
    let bench = Bench::start(folder.path(), settings(&target.url(""))).await;
    bench.client.fire(&alert("ann")).await.unwrap();
    for repeats in 2..5 {
        eventually("it to be posted", LIMIT, async || (heard(&target).len() == repeats - 1).then_some(())).await;
        bench.settled().await;
        bench.client.fire(&alert("ann")).await.unwrap();
        bench.time.pass(MINUTE - std::time::Duration::from_millis(1));
        assert_eq!(bench.stats().await.waiting, 0, "a millisecond too early");
        bench.time.pass(std::time::Duration::from_millis(1));
    }
    eventually("the last", LIMIT, async || (heard(&target).len() == 4).then_some(())).await;
    bench.settled().await;
    let mut changed = alert("ann");
    changed.summary = "nobody can sign in".to_owned();
    bench.client.fire(&changed).await.unwrap();
    eventually("the change", LIMIT, async || (heard(&target).len() == 5).then_some(())).await;
    let last = target.requests().remove(4).text();
    assert!(last.contains("nobody can sign in") && last.contains("2023-11-14T22:00:00Z"), "{last}");
    bench.client.resolve("SignInFails", &labels("ann")).await.unwrap();
    eventually("its end", LIMIT, async || (heard(&target).len() == 6).then_some(())).await;
    bench.settled().await;
    bench.time.pass(MINUTE * 10);
    bench.settled().await;
    assert_eq!(heard(&target), ["+ann", "+ann", "+ann", "+ann", "+ann", "-ann"]);
}

#[tokio::test]
async fn open_alerts_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("");
    let first = Bench::start(folder.path(), settings(&target.url(""))).await;
    first.client.fire(&alert("ann")).await.unwrap();
    eventually("it to be posted", LIMIT, async || (heard(&target).len() == 1).then_some(())).await;
    let time = first.time.clone();
    first.stop().await;
    time.pass(MINUTE);
    let mut second = Bench::open_at(folder.path(), settings(&target.url("")), time).await;
    second.run();
    eventually("it to be posted again", LIMIT, async || (heard(&target).len() == 2).then_some(())).await;
    assert!(second.client.resolve("SignInFails", &labels("ann")).await.unwrap());
    eventually("its end", LIMIT, async || (heard(&target).len() == 3).then_some(())).await;
    assert_eq!(heard(&target), ["+ann", "+ann", "-ann"]);
}

#[tokio::test]
async fn what_was_taken_survives_a_kill_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("");
    let killed = Bench::open(folder.path(), settings(&target.url(""))).await;
    killed.client.fire(&alert("ann")).await.unwrap();
    killed.client.resolve("SignInFails", &labels("ann")).await.unwrap();
    let time = killed.time.clone();
    std::mem::forget(killed);
    let mut next = Bench::open_at(folder.path(), settings(&target.url("")), time).await;
    next.run();
    eventually("both", LIMIT, async || (heard(&target).len() == 2).then_some(())).await;
    assert_eq!(heard(&target), ["+ann", "-ann"]);
}

#[tokio::test]
async fn a_new_severity_is_posted_before_the_old_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("");
    let bench = Bench::start(folder.path(), settings(&target.url(""))).await;
    let mut given = alert("ann");
    given.severity = kit::alert::Severity::Ticket;
    bench.client.fire(&given).await.unwrap();
    eventually("the ticket", LIMIT, async || (heard(&target).len() == 1).then_some(())).await;
    bench.client.fire(&alert("ann")).await.unwrap();
    eventually("the page", LIMIT, async || (heard(&target).len() == 3).then_some(())).await;
    let severity = |index: usize| {
        let json: Value = serde_json::from_slice(&target.requests()[index].body).unwrap();
        (json[0]["labels"]["severity"].as_str().unwrap().to_owned(), json[0]["endsAt"].is_string())
    };
    assert_eq!((severity(1), severity(2)), (("page".to_owned(), false), ("ticket".to_owned(), true)));
}

#[tokio::test]
async fn open_alerts_are_listed_with_what_tells_them_from_others_after_a_restart_too() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Target::ok(""));
    let bench = Bench::open(folder.path(), settings(&target.url(""))).await;
    let users: Vec<String> = (0..120).map(|number| format!("user-{number:03}")).collect();
    for user in &users {
        bench.client.fire(&alert(user)).await.unwrap();
    }
    bench.client.fire(&Alert { severity: Severity::Ticket, ..alert("user-007") }).await.unwrap();
    assert!(bench.client.resolve("SignInFails", &labels("user-008")).await.unwrap(), "its end is not posted yet");
    bench.queues.close().await;
    let bench = Bench::open(folder.path(), settings(&target.url(""))).await;
    let mut open = bench.client.open().await.unwrap();
    open.sort_by(|one, other| one.labels.cmp(&other.labels));
    let expected = users.iter().filter(|user| *user != "user-008").map(|user| Open {
        name: "SignInFails".to_owned(),
        service: "platform-services".to_owned(),
        severity: if user == "user-007" { "ticket" } else { "page" }.to_owned(),
        labels: labels(user),
    });
    assert_eq!(open, expected.collect::<Vec<_>>());
}
