//! Redis, BullMQ with a worker, and the daemon.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dlq_processor::ledger::{Filter, Ledger, Listed};
use http::Request;
use http::request::Builder;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{eventually, free_port};

use crate::asking;
use crate::bullmq::Bull;

/// Ten times what the slowest thing takes on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
pub(crate) const QUEUE: &str = "mails";
pub(crate) const TOKEN: &str = "correct-horse-battery-staple";

/// All of it, for as long as one test runs.
pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) bull: Bull,
    port: u16,
    /// Failed jobs that a queue keeps, if not all.
    keeps: Option<usize>,
    /// Options of its worker.
    worker: Value,
    works: AtomicBool,
}

impl Machine {
    /// With more of a configuration than where things are.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_with(config, Bull::start("bullmq-5-58").await)
    }

    /// As [`Self::start`], with a BullMQ of one's own.
    pub(crate) fn start_with(config: &str, bull: Bull) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        let worker = json!({ "concurrency": 20 });
        let machine = Self { folder, bull, port, keeps: None, worker, works: AtomicBool::new(false) };
        machine.configure(config);
        machine
    }

    /// Writes another configuration, for the next daemon.
    pub(crate) fn configure(&self, config: &str) {
        let (port, url) = (self.port, self.bull.redis.url());
        let head = format!(
            "listen: 127.0.0.1:{port}\ndata_dir: data\nsources: {{ jobs: {{ bullmq: {{ url: '{url}' }} }} }}\n"
        );
        std::fs::write(self.folder.path().join("dlq-processor.yml"), head + config).unwrap();
    }

    /// Has queues keep only so many failed jobs.
    pub(crate) fn throw_away(&mut self, beyond: usize) {
        self.keeps = Some(beyond);
    }

    /// Has a worker with other options.
    pub(crate) fn has_worker(&mut self, options: Value) {
        self.worker = options;
    }

    /// Starts the daemon.
    pub(crate) async fn daemon(&self) -> Daemon {
        let daemon = Daemon::spawn(self.folder.path());
        eventually("the daemon to listen", LIMIT, async || self.get("/livez").await).await;
        daemon
    }

    /// Has a worker, and as many jobs as that, which it fails.
    pub(crate) async fn fail(&self, jobs: usize, why: &str) -> Vec<String> {
        self.does(json!({ "throws": why })).await;
        self.work().await;
        let opts = self.keeps.map_or(json!({}), |keeps| json!({ "removeOnFail": keeps }));
        let jobs: Vec<Value> =
            (0..jobs).map(|number| json!({ "name": "job", "data": { "number": number }, "opts": opts })).collect();
        let ids = self.bull.ask(json!({ "call": "add", "queue": QUEUE, "jobs": jobs })).await;
        ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// Has the worker begin, if it rests.
    pub(crate) async fn work(&self) {
        if !self.works.swap(true, Ordering::Relaxed) {
            self.bull.ask(json!({ "call": "work", "queue": QUEUE, "opts": self.worker })).await;
        }
    }

    /// Has the worker end what it does, and begin nothing.
    pub(crate) async fn rest(&self) {
        self.bull.ask(json!({ "call": "rest", "queue": QUEUE })).await;
        self.works.store(false, Ordering::Relaxed);
    }

    /// Says what the worker does with jobs from now on.
    pub(crate) async fn does(&self, what: Value) {
        self.bull.does(QUEUE, what).await;
    }

    /// How often a job was run.
    pub(crate) async fn runs(&self, id: &str) -> usize {
        self.bull.runs(QUEUE, id).await.len()
    }

    /// What the daemon answers with 200.
    pub(crate) async fn get(&self, path: &str) -> Option<String> {
        let (status, body) = self.ask(self.request("GET", path, &[]), &Value::Null).await?;
        (status == 200).then_some(body)
    }

    /// Where the daemon is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A question for the daemon.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url()));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    /// Status and body; none if there is no answer.
    pub(crate) async fn ask(&self, request: Builder, body: &Value) -> Option<(u16, String)> {
        asking::ask(request, body).await
    }

    /// Status and answer, for whoever has the token.
    pub(crate) async fn ask_as_operator(&self, method: &str, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let token = format!("Bearer {TOKEN}");
        let request = self.request(method, path, &[("authorization", &token), ("idempotency-key", key)]);
        let (status, answer) = self.ask(request, body).await.unwrap();
        (status, serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
    }

    /// Closes the breaker of what it fails, as a person does who knows that it is over.
    pub(crate) async fn close_breaker(&self) {
        self.set_breaker("closed").await;
    }

    /// Opens or closes that breaker.
    pub(crate) async fn set_breaker(&self, state: &str) {
        let key = rand::random::<u64>().to_string();
        let wanted = json!({
            "source": "jobs", "queue": QUEUE, "name": "job", "state": state, "reason": "somebody knows",
        });
        // After its start it acts in nothing yet.
        eventually("the breaker to be set", LIMIT, async || {
            let (status, answer) = self.ask_as_operator("POST", "/api/v1/breakers", &key, &wanted).await;
            assert!([200, 409].contains(&status), "{answer}");
            (status == 200).then_some(())
        })
        .await;
    }

    /// Has a letter redriven, as a person does.
    pub(crate) async fn redrive(&self, letter: &str, why: &str) {
        let (path, key) = (format!("/api/v1/letters/{letter}/redrive"), rand::random::<u64>().to_string());
        let (status, answer) = self.ask_as_operator("POST", &path, &key, &json!({ "reason": why })).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// The sum of a metric's series that have this in them.
    pub(crate) async fn metric(&self, name: &str, part: &str) -> Option<f64> {
        let metrics = self.get("/metrics").await?;
        let series = metrics.lines().filter(|line| line.starts_with(name) && line.contains(part));
        Some(series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Every letter that the daemon has written.
    pub(crate) async fn letters(&self) -> Vec<Listed> {
        let source = kit::db::Source::Sqlite(self.folder.path().join("data/ledger.db"));
        let ledger = Ledger::open(&source).await.unwrap();
        let letters = ledger.letters(&Filter::default(), usize::MAX).await.unwrap();
        ledger.close().await;
        letters
    }
}

/// The daemon, killed when this is dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it in a folder that has its configuration.
    pub(crate) fn spawn(folder: &Path) -> Self {
        Self::spawn_with(folder, &[])
    }

    /// With these variables.
    pub(crate) fn spawn_with(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dlq-processor"));
        command.arg("run").current_dir(folder).env_clear().env("LOG_LEVEL", "warn");
        Self(command.envs(variables.iter().copied()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(mut self) {
        eventually("the daemon to end", LIMIT, async || self.0.try_wait().unwrap()).await;
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}
