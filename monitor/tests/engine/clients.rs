//! The alert client that other daemons hold, against a real monitor: whatever is away or restarts, nothing is lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kit::alert::{Alert, AlertClient, AlertSettings, Severity};
use kit::backoff::Backoff;
use kit::metrics::Metrics;
use kit::queue::{Queues, Stats};
use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{Target, eventually, free_port};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::alerts::{accepted, told};
use crate::harness::{Binary, LIMIT, TOKEN, write_config};

/// A client that posts, and its queue.
struct Client {
    alerts: AlertClient,
    queues: Queues,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Client {
    async fn start(folder: &Path, port: u16) -> Self {
        kit::tls::install();
        let settings = AlertSettings {
            monitor: format!("http://127.0.0.1:{port}").parse().unwrap(),
            token: Some(TOKEN.to_owned().into()),
            page: Some("https://auth.example.com/".parse().unwrap()),
            poll: Duration::from_millis(20),
            backoff: Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) },
            ..AlertSettings::new("auth-monitor")
        };
        let queues = Queues::sqlite(&folder.join("jobs.db")).await.unwrap();
        let alerts = AlertClient::new(settings, queues.clone(), &Metrics::new("test", "1")).unwrap();
        let stop = CancellationToken::new();
        let (posting, until) = (alerts.clone(), stop.clone());
        let task = tokio::spawn(async move { posting.run(until).await });
        Self { alerts, queues, stop, task }
    }

    async fn fire(&self, user: &str) {
        let alert = Alert {
            name: "SignInFails".to_owned(),
            service: "platform".to_owned(),
            severity: Severity::Page,
            summary: format!("{user} cannot sign in"),
            description: "three tries".to_owned(),
            labels: labels(user),
            annotations: BTreeMap::new(),
            starts_at: Timestamp::now(),
        };
        self.alerts.fire(&alert).await.unwrap();
    }

    async fn resolve(&self, user: &str) {
        assert!(self.alerts.resolve("SignInFails", &labels(user)).await.unwrap(), "{user} is open");
    }

    async fn stats(&self) -> Stats {
        self.queues.stats("alerts-auth-monitor").await.unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.queues.close().await;
    }
}

fn labels(user: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("user".to_owned(), user.to_owned())])
}

/// Waits until the webhook was told this of each user, such as `ann opened resolved`.
async fn until_told(sink: &Target, expected: &[&str]) -> Vec<Value> {
    let what = format!("{expected:?} at the webhook");
    eventually(&what, LIMIT, async || {
        let messages = accepted(sink);
        let parts: Vec<&Value> = messages.iter().flat_map(|message| message["alerts"].as_array().unwrap()).collect();
        let user = |id: &str| {
            parts.iter().find(|part| part["incident"] == id).and_then(|part| part["labels"]["user"].as_str())
        };
        let mut lines: Vec<String> =
            told(&messages).iter().map(|(id, line)| format!("{} {line}", user(id).unwrap_or("?"))).collect();
        lines.sort();
        (lines == expected).then_some(messages)
    })
    .await
}

fn config(folder: &Path, port: u16, sink: &Target) -> std::path::PathBuf {
    let yaml = format!(
        "listen: 127.0.0.1:{port}\nservices: {{}}\nchannels: {{ hook: {{ webhook: {{ url: \"{}\" }} }} }}\n",
        sink.url("/hook")
    );
    write_config(folder, &yaml)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_told_and_ends_though_monitor_and_client_restart_in_between() {
    let (folder, port, sink) = (tempfile::tempdir().unwrap(), free_port(), Target::ok(""));
    let file = config(folder.path(), port, &sink);
    let monitor = Binary::start("run", &file, port);
    let client = Client::start(folder.path(), port).await;
    client.fire("ann").await;
    let page = until_told(&sink, &["ann opened"]).await.remove(0);
    assert_eq!((&page["title"], &page["severity"]), (&"ann cannot sign in".into(), &"page".into()), "{page}");
    let part = &page["alerts"][0];
    assert_eq!((&part["labels"]["source"], &part["name"]), (&"auth-monitor".into(), &"SignInFails".into()), "{page}");
    assert_eq!(part["links"]["source"], "https://auth.example.com/");

    monitor.signal(Signal::SIGKILL);
    monitor.ended().await;
    client.stop().await;
    let client = Client::start(folder.path(), port).await;
    let monitor = Binary::start("run", &file, port);
    let known = eventually("the monitor to answer", LIMIT, async || {
        let (status, open) = monitor.get("/api/v1/incidents?open=true").await;
        (status == 200).then_some(open)
    });
    assert_eq!(known.await[0]["id"], part["incident"]);
    client.resolve("ann").await;
    let messages = until_told(&sink, &["ann opened resolved"]).await;
    assert_eq!(messages.len(), 2, "{messages:?}");
    client.stop().await;
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_monitor_is_away_is_told_once_it_is_back() {
    let (folder, port, sink) = (tempfile::tempdir().unwrap(), free_port(), Target::ok(""));
    let file = config(folder.path(), port, &sink);
    let client = Client::start(folder.path(), port).await;
    client.fire("ann").await;
    client.fire("ben").await;
    client.resolve("ben").await;
    let monitor = Binary::start("run", &file, port);
    until_told(&sink, &["ann opened", "ben opened resolved"]).await;

    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
    client.resolve("ann").await;
    client.fire("cid").await;
    let monitor = Binary::start("run", &file, port);
    until_told(&sink, &["ann opened resolved", "ben opened resolved", "cid opened"]).await;
    client.resolve("cid").await;
    until_told(&sink, &["ann opened resolved", "ben opened resolved", "cid opened resolved"]).await;
    eventually("the client to have nothing left", LIMIT, async || {
        (client.stats().await == Stats::default()).then_some(())
    })
    .await;
    client.stop().await;
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
}
