//! A Loki that is not ours: it reads with Python's protocol buffers and snappy, and holds to Loki's rules.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;
use crate::{eventually, free_port, installed};

const PROGRAM: &str = include_str!("loki.py");
/// Ten times as long as a batch waits in tests, and longer than a busy machine needs.
const LIMIT: Duration = Duration::from_secs(60);

/// A running Loki.
#[derive(Debug)]
pub struct Loki {
    /// It listens where it is told what to do.
    server: Server,
    push_port: u16,
}

impl Loki {
    /// Starts one.
    ///
    /// # Panics
    /// When it is not installed, or ends: then nothing was tested.
    pub async fn start() -> Self {
        let (push_port, port) = (free_port(), free_port());
        let arguments = ["-c", PROGRAM, &push_port.to_string(), &port.to_string()];
        let server = Server::start(port, installed("e2e-venv/bin/python"), &arguments).await;
        Self { server, push_port }
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.push_port)
    }

    /// Has it answer everything with this status and these headers, and take nothing.
    pub async fn answer(&self, status: u16, headers: &[(&str, &str)]) {
        let headers: serde_json::Map<_, _> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.tell(json!({ "status": status, "headers": headers })).await;
    }

    /// Has it read requests, and answer none.
    pub async fn hang(&self) {
        self.tell(json!({ "status": "hang" })).await;
    }

    /// Has it hang up on everybody, and listen no more.
    pub async fn go(&self) {
        self.tell(json!({ "status": "gone" })).await;
    }

    /// Has it take what is at most so large (413 otherwise), in bytes of a request.
    pub async fn take_at_most(&self, bytes: usize) {
        self.tell(json!({ "most": bytes })).await;
    }

    /// Has it take what is at most so large, and be too busy for more (429): a burst beyond its limits.
    pub async fn be_busy_above(&self, bytes: usize) {
        self.tell(json!({ "most": bytes, "otherwise": 429 })).await;
    }

    /// Has it take everything but lines with this text, which are too far behind: it says how many.
    pub async fn find_behind(&self, text: &str) {
        self.tell(json!({ "behind": text })).await;
    }

    /// Has it take everything but lines with this text, which it does not want: it does not say how many.
    pub async fn take_all_but(&self, text: &str) {
        self.tell(json!({ "but": text })).await;
    }

    /// Has it work as it should.
    pub async fn come_back(&self) {
        self.tell(json!({})).await;
    }

    /// Returns what it holds: `entries` in the order in which they came, each with `labels`, `at` (ns), `line`, `metadata`,
    /// and whether it `is_behind` one of its stream; `duplicates`, `refusals` and `requests`.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn held(&self) -> Value {
        let body = self.ask("GET", "").await;
        serde_json::from_str(&body).expect("it tells JSON")
    }

    /// Waits until it holds what `is_wanted` makes something of, and returns that.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn eventually<T>(&self, what: &str, is_wanted: impl Fn(&Value) -> Option<T>) -> T {
        eventually(what, LIMIT, async || is_wanted(&self.held().await)).await
    }

    async fn tell(&self, mode: Value) {
        self.ask("POST", &mode.to_string()).await;
    }

    async fn ask(&self, method: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.server.addr()).await.expect("it listens");
        let length = body.len();
        let head = format!("{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + body).as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        assert!(head.starts_with("HTTP/1.1 20"), "{answer}");
        body.to_owned()
    }
}
