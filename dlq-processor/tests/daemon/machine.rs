//! Redis, BullMQ with a worker, and the daemon.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dlq_processor::ledger::{Filter, Ledger, Listed};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Redis, Server, eventually, free_port, serve_by_node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Ten times what the slowest thing takes on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
pub(crate) const QUEUE: &str = "mails";
pub(crate) const TOKEN: &str = "correct-horse-battery-staple";

/// All of it, for as long as one test runs.
pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) redis: Redis,
    node: Server,
    port: u16,
}

impl Machine {
    /// With more of a configuration than where things are.
    pub(crate) async fn start(config: &str) -> Self {
        kit::tls::install();
        let (folder, redis, port) = (tempfile::tempdir().unwrap(), Redis::start().await, free_port());
        let url = redis.url();
        let redis_port = url.rsplit([':', '/']).nth(1).unwrap();
        let driver = include_str!("../it/bullmq/driver.mjs");
        let node = serve_by_node(driver, free_port(), &[redis_port, "bullmq-5-58"]).await;
        let head = format!(
            "listen: 127.0.0.1:{port}\ndata_dir: data\nsources: {{ jobs: {{ bullmq: {{ url: '{url}' }} }} }}\n"
        );
        std::fs::write(folder.path().join("dlq-processor.yml"), head + config).unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        Self { folder, redis, node, port }
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
        self.ask(json!({ "call": "work", "queue": QUEUE, "opts": { "concurrency": 20 } })).await;
        let jobs: Vec<Value> = (0..jobs).map(|number| json!({ "name": "job", "data": { "number": number } })).collect();
        let ids = self.ask(json!({ "call": "add", "queue": QUEUE, "jobs": jobs })).await;
        ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// Says what the worker does with jobs from now on.
    pub(crate) async fn does(&self, what: Value) {
        let mut asked = redis::cmd("SET");
        self.query::<()>(asked.arg(format!("does:{QUEUE}:job")).arg(what.to_string())).await;
    }

    /// How often a job was run.
    pub(crate) async fn runs(&self, id: &str) -> usize {
        self.query(redis::cmd("LLEN").arg(format!("runs:{QUEUE}:{id}"))).await
    }

    pub(crate) async fn query<T: redis::FromRedisValue>(&self, asked: &redis::Cmd) -> T {
        asked.query_async(&mut connection(&self.redis.url()).await).await.unwrap()
    }

    pub(crate) async fn ask(&self, asked: Value) -> Value {
        let body = asked.to_string();
        let head =
            format!("POST / HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        let (head, answer) = exchange(&self.node.addr().to_string(), &(head + &body)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{asked}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// What the daemon answers with 200.
    pub(crate) async fn get(&self, path: &str) -> Option<String> {
        let (status, body) = self.ask_daemon("GET", path, "", "").await?;
        (status == 200).then_some(body)
    }

    pub(crate) async fn post(&self, path: &str, headers: &str, body: &str) -> (u16, String) {
        self.ask_daemon("POST", path, &format!("content-type: application/json\r\n{headers}"), body).await.unwrap()
    }

    /// Status and body; none if there is no answer.
    pub(crate) async fn ask_daemon(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Option<(u16, String)> {
        let address = format!("127.0.0.1:{}", self.port);
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}");
        let (head, body) = exchange(&address, &format!("{head}content-length: {length}\r\n\r\n{body}")).await?;
        Some((head.get(9..12)?.parse().ok()?, body))
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_dlq-processor"));
        command.arg("run").current_dir(folder).env_clear().env("LOG_LEVEL", "warn");
        Self(command.stdout(Stdio::null()).spawn().unwrap())
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

async fn connection(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// Returns head and body of an answer; none if there is none.
async fn exchange(address: &str, request: &str) -> Option<(String, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(LIMIT, exchange).await.unwrap().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}
