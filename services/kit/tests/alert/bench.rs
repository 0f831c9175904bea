//! A client on a file, a clock that stands, and what a monitor has heard.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kit::alert::{Alert, AlertClient, AlertSettings, Severity};
use kit::metrics::{Format, Metrics};
use kit::queue::{Queues, Stats};
use serde_json::Value;
use testkit::{Response, Target, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far longer than anything on loopback takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const TOKEN: &str = "t0ken-of-the-monitor";
pub(crate) const QUEUE: &str = "alerts-auth-monitor";

/// A clock that stands until it is moved; it begins on 14 November 2023.
#[derive(Clone)]
pub(crate) struct Time(Arc<AtomicI64>);

impl Time {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    pub(crate) fn pass(&self, length: Duration) {
        self.0.fetch_add(i64::try_from(length.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// A client and what belongs to it.
pub(crate) struct Bench {
    pub(crate) client: AlertClient,
    pub(crate) queues: Queues,
    pub(crate) time: Time,
    metrics: Metrics,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

pub(crate) fn settings(monitor: &str) -> AlertSettings {
    AlertSettings {
        monitor: monitor.parse().unwrap(),
        token: Some(TOKEN.to_owned().into()),
        poll: Duration::from_millis(5),
        ..AlertSettings::new("auth-monitor")
    }
}

impl Bench {
    /// Opens the file; nothing is posted yet.
    pub(crate) async fn open(folder: &Path, settings: AlertSettings) -> Self {
        let time = Time(Arc::new(AtomicI64::new(1_700_000_000_000)));
        Self::open_at(folder, settings, time).await
    }

    pub(crate) async fn open_at(folder: &Path, settings: AlertSettings, time: Time) -> Self {
        let clock = time.clone();
        let queues = Queues::sqlite(&folder.join("jobs.db")).await.unwrap().with_clock(move || clock.now());
        let metrics = Metrics::new("test", "1");
        let client = AlertClient::new(settings, queues.clone(), &metrics).unwrap();
        Self { client, queues, time, metrics, stop: CancellationToken::new(), task: None }
    }

    /// Opens the file and posts.
    pub(crate) async fn start(folder: &Path, settings: AlertSettings) -> Self {
        let mut bench = Self::open(folder, settings).await;
        bench.run();
        bench
    }

    pub(crate) fn run(&mut self) {
        let (client, stop) = (self.client.clone(), self.stop.clone());
        self.task = Some(tokio::spawn(async move { client.run(stop).await }));
    }

    /// Ends the client as SIGTERM would.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.task.take().unwrap()).await.unwrap().unwrap();
        self.queues.close().await;
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.encode(Format::Text);
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| unreachable!("{name} in {text}"))
    }

    pub(crate) fn posts(&self, result: &str) -> f64 {
        self.metric(&format!("alert_client_posts_total{{result=\"{result}\"}}"))
    }

    pub(crate) async fn stats(&self) -> Stats {
        self.queues.stats(QUEUE).await.unwrap()
    }

    /// Waits until nothing is due and nothing runs.
    pub(crate) async fn settled(&self) {
        let idle = async || {
            let stats = self.stats().await;
            (stats.waiting + stats.running == 0).then_some(())
        };
        eventually("nothing to be due", LIMIT, idle).await;
    }

    /// Waits until `seen` is true, while `step` passes at each look.
    pub(crate) async fn passing(&self, what: &str, step: Duration, seen: impl Fn() -> bool) {
        let look = async || {
            self.time.pass(step);
            seen().then_some(())
        };
        eventually(what, LIMIT, look).await;
    }
}

/// A monitor that answers with a status that a test may change.
pub(crate) fn monitor(status: &Arc<AtomicU16>) -> Target {
    let status = status.clone();
    Target::respond_with(move |_request| Response::new(status.load(Ordering::SeqCst), ""))
}

pub(crate) fn status(status: u16) -> Arc<AtomicU16> {
    Arc::new(AtomicU16::new(status))
}

pub(crate) fn labels(user: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("user".to_owned(), user.to_owned())])
}

/// An alert that differs from others by `user`.
pub(crate) fn alert(user: &str) -> Alert {
    Alert {
        name: "SignInFails".to_owned(),
        service: "platform-services".to_owned(),
        severity: Severity::Page,
        summary: format!("{user} cannot sign in"),
        description: "three tries".to_owned(),
        labels: labels(user),
        annotations: BTreeMap::new(),
        starts_at: "2023-11-14T22:00:00Z".parse().unwrap(),
    }
}

/// What a body says: `+user` firing, `-user` resolved.
pub(crate) fn told(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap();
    let posting = json.as_array().map_or(&json, |list| &list[0]);
    let sign = if posting["endsAt"].is_string() { '-' } else { '+' };
    format!("{sign}{}", posting["labels"]["user"].as_str().unwrap())
}

/// What a target has heard, in order.
pub(crate) fn heard(target: &Target) -> Vec<String> {
    target.requests().iter().map(|request| told(&request.body)).collect()
}
