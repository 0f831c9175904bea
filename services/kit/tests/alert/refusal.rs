//! What is refused, by the monitor and by the client itself, and that no secret is shown.

use kit::alert::{Alert, AlertClient, AlertError, AlertSettings, Fallback, MAX_ALERT_BYTES};
use kit::metrics::Metrics;
use testkit::{Response, Target, eventually};

use crate::bench::{Bench, LIMIT, QUEUE, TOKEN, alert, labels, settings};

#[tokio::test]
async fn what_the_monitor_refuses_is_dead_with_its_reason_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::respond_with(|request| {
        let says = format!("no such team\n({})", request.header("authorization").unwrap());
        let is_bad = request.text().contains("ann cannot sign in");
        Response::new(if is_bad { 400 } else { 200 }, if is_bad { says } else { String::new() })
    });
    let bench = Bench::start(folder.path(), settings(&target.url(""))).await;
    for count in 1..=3 {
        bench.client.fire(&alert("ann")).await.unwrap();
        eventually("it to be refused", LIMIT, async || (bench.posts("refused") == f64::from(count)).then_some(()))
            .await;
        bench.settled().await;
    }
    bench.client.fire(&alert("bob")).await.unwrap();
    eventually("another to be accepted", LIMIT, async || (bench.posts("accepted") == 1.0).then_some(())).await;
    let dead = bench.queues.dead(QUEUE, 10, None).await.unwrap();
    assert_eq!(dead.len(), 1, "the newest of each alert is kept");
    let expected = "the monitor refused it: it answered 400 Bad Request: no such team (Bearer [secret])";
    assert_eq!(dead[0].reason, expected);
    assert!(dead[0].payload.contains("ann cannot sign in"), "{}", dead[0].payload);
    assert!(!bench.client.resolve("SignInFails", &labels("ann")).await.unwrap());
    assert!(bench.queues.redrive(dead[0].id, None).await.unwrap());
    eventually("it to be refused again", LIMIT, async || (bench.posts("refused") == 4.0).then_some(())).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_dead_and_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("");
    let bench = Bench::start(folder.path(), settings(&target.url(""))).await;
    bench.queues.enqueue(QUEUE, "deliver", &["of", "later"], kit::queue::Options::default()).await.unwrap();
    eventually("it to be dead", LIMIT, async || (bench.stats().await.dead == 1).then_some(())).await;
    let dead = bench.queues.dead(QUEUE, 1, None).await.unwrap().remove(0);
    assert!(dead.reason.starts_with("this is no alert that we know: "), "{}", dead.reason);
    assert_eq!((dead.payload.as_str(), target.requests().len()), ("[\"of\",\"later\"]", 0));
}

#[tokio::test]
async fn more_open_alerts_than_allowed_are_refused_until_some_are_over() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("");
    let settings = AlertSettings { max_open: 2, ..settings(&target.url("")) };
    let bench = Bench::start(folder.path(), settings).await;
    for user in ["ann", "bob", "ann"] {
        bench.client.fire(&alert(user)).await.unwrap();
    }
    let error = bench.client.fire(&alert("cid")).await.unwrap_err();
    assert!(matches!(error, AlertError::Full(2)), "{error:?}");
    assert_eq!(error.to_string(), "2 alerts are open; this one was not taken");
    bench.client.resolve("SignInFails", &labels("ann")).await.unwrap();
    eventually("room", LIMIT, async || bench.client.fire(&alert("cid")).await.ok()).await;
}

#[tokio::test]
async fn alerts_that_no_monitor_would_take_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path(), settings("http://127.0.0.1:9")).await;
    let refusal = async |change: &dyn Fn(&mut Alert)| {
        let mut given = alert("ann");
        change(&mut given);
        bench.client.fire(&given).await.unwrap_err().to_string()
    };
    let label =
        |name: &'static str| move |given: &mut Alert| drop(given.labels.insert(name.to_owned(), "x".to_owned()));
    assert_eq!(refusal(&|given| given.name.clear()).await, "an alert needs a name and a service");
    let expected = "label \"a-b\" must be letters, digits and underscores, and not begin with a digit";
    assert_eq!(refusal(&label("a-b")).await, expected);
    let expected = "label \"severity\" is set by the alert's own fields; choose another name";
    assert_eq!(refusal(&label("severity")).await, expected);
    let said = refusal(&|given| given.description = "x".repeat(MAX_ALERT_BYTES)).await;
    assert!(said.starts_with("alert \"SignInFails\" has 84") && said.ends_with("shorten its description"), "{said}");
    assert_eq!(bench.stats().await, kit::queue::Stats::default());
}

#[tokio::test]
async fn settings_that_cannot_work_are_named_and_no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path(), settings("http://127.0.0.1:9")).await;
    let fallback =
        |url: &str, secret: &str| Some(Fallback { url: url.parse().unwrap(), secret: Some(secret.to_owned().into()) });
    let refusal = |settings: AlertSettings| {
        let shown = format!("{settings:?}");
        assert!(!shown.contains(TOKEN) && !shown.contains("s3cret"), "{shown}");
        let error = AlertClient::new(settings, bench.queues.clone(), &Metrics::new("test", "1")).unwrap_err();
        let said = error.to_string();
        assert!(
            !said.contains(TOKEN) && !said.contains("s3cret") && !format!("{error:?}").contains("s3cret"),
            "{said}"
        );
        said
    };
    for (settings, expected) in [
        (AlertSettings::new("Auth Monitor"), "source \"Auth Monitor\" must have 1 to 64 lower-case letters"),
        (settings("ftp://127.0.0.1"), "the address of the monitor must begin with http:// or https://"),
        (settings("http://me:s3cret@127.0.0.1"), "the address of the monitor must not hold a user or password"),
        (
            AlertSettings { fallback: fallback("http://x/s3cret", "s3cret\n"), ..settings("http://127.0.0.1") },
            "the secret of the fallback has characters that no header can hold",
        ),
    ] {
        let said = refusal(settings);
        assert!(said.starts_with(&format!("alert client: {expected}")), "{said}");
    }
    let shown = format!("{:?}", bench.client);
    assert!(!shown.contains(TOKEN), "{shown}");
}
