//! An OpenTelemetry collector that is not ours: it reads with OpenTelemetry's own messages for Python.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;
use crate::{eventually, free_port, installed};

const PROGRAM: &str = include_str!("collector.py");
/// Ten times as long as a batch waits in tests, and longer than a busy machine needs.
const LIMIT: Duration = Duration::from_secs(60);

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    server: Server,
    grpc_port: u16,
}

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// When it is not installed, or ends: then nothing was tested.
    pub async fn start() -> Self {
        let (port, grpc_port) = (free_port(), free_port());
        let arguments = ["-c", PROGRAM, &port.to_string(), &grpc_port.to_string()];
        let server = Server::start(port, installed("e2e-venv/bin/python"), &arguments).await;
        Self { server, grpc_port }
    }

    /// Returns its address for OTLP/HTTP.
    pub fn http(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    /// Returns its address for OTLP/gRPC.
    pub fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc_port)
    }

    /// Holds it: it takes connections, and answers nobody.
    pub fn hang(&self) {
        self.server.hang();
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.server.go_on();
    }

    /// Returns every span that has come, in order; the program beside this file says what is known of each.
    ///
    /// # Panics
    /// When the collector does not tell.
    pub async fn spans(&self) -> Vec<Value> {
        let mut stream = TcpStream::connect(self.server.addr()).await.expect("the collector listens");
        let request = b"GET /spans HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("the collector reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the collector answers");
        let (_head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        serde_json::from_str(body).expect("it tells JSON")
    }

    /// Waits until spans have come that `are_wanted` makes something of, and returns that.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn eventually<T>(&self, what: &str, are_wanted: impl Fn(&[Value]) -> Option<T>) -> T {
        eventually(what, LIMIT, async || are_wanted(&self.spans().await)).await
    }
}
