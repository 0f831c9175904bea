//! The gateway on real sockets, between clients that behave or not and services from `testkit` or written by hand.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod airtable;
mod chat;
mod conventions;
mod cors;
mod guards;
mod health;
mod limits;
mod process;
mod refusals;
mod shutdown;
mod sign_in;
mod sign_in_away;
mod smuggling;
mod spared;
mod streaming;
mod tls;
mod tunnel;
mod websocket;

use std::net::SocketAddr;
use std::time::Duration;

use api_gateway::{App, Settings, Upstream};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use kit::config::Environment;
use kit::http::{Limits, serve};
use kit::service::Settings as _;
use serde_json::Value;
use testkit::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Far longer than anything on loopback takes; reaching it fails a test.
const LIMIT: Duration = Duration::from_secs(20);
/// A timeout that a test waits for.
const SHORT: Duration = Duration::from_millis(100);
/// What clients must send.
const KEY: &str = "the-clients-key";
/// What the Airtable gateway must get.
const OWN_KEY: &str = "the-gateways-own-key";

/// A gateway in this process; dropping it does not wait for its end.
struct Gateway {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Gateway {
    async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(api_gateway::run(listener, settings, stop.clone()));
        Self { address, stop, task }
    }

    /// Starts one in this thread, so that its time is the test's.
    async fn start_here(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let router = App::new(settings, stop.clone()).router();
        let task = tokio::spawn(serve(listener, router, Limits::default(), stop.clone()));
        Self { address, stop, task }
    }

    /// Starts a gateway whose Airtable gateway is at `url`.
    async fn before(url: &str) -> Self {
        let mut settings = settings();
        settings.airtable_gateway = upstream(url);
        Self::start(settings).await
    }

    /// Starts one that soon loses patience with the Airtable gateway at `url`.
    async fn impatient_before(url: &str) -> Self {
        let mut settings = settings();
        settings.airtable_gateway = upstream(url);
        settings.upstream_timeout = SHORT;
        Self::start(settings).await
    }

    fn request(&self, method: &str, path: &str) -> hyper::http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.address))
    }

    /// Sends a request with the right key.
    async fn ask(&self, method: &str, path: &str) -> Answer {
        send(self.request(method, path).header("x-api-key", KEY), "").await
    }

    /// Sends a request without a key.
    async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path), "").await
    }

    /// Sends a JSON body, with a user's token if there is one.
    async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Answer {
        let request = self.request("POST", path).header("content-type", "application/json");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        send(request, body.to_string()).await
    }

    /// Asks with the services' key.
    async fn post_as_service(&self, path: &str, body: &Value) -> Answer {
        let request = self.request("POST", path).header("x-api-key", KEY).header("content-type", "application/json");
        send(request, body.to_string()).await
    }

    /// Asks with a user's token.
    async fn get_as(&self, token: &str, path: &str) -> Answer {
        send(self.request("GET", path).header("authorization", format!("Bearer {token}")), "").await
    }

    /// Opens a connection and writes `text` with its line ends made `\r\n`, and the right key for `{key}`.
    async fn write(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = text.replace("{key}", &format!("X-API-Key: {KEY}")).replace('\n', "\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

fn settings() -> Settings {
    Settings::read(&Environment::of([("API_KEY", KEY), ("AIRTABLE_GATEWAY_API_KEY", OWN_KEY)])).unwrap()
}

fn upstream(url: &str) -> Upstream {
    Upstream::new("airtable-gateway", Url::parse(url).unwrap())
}

/// A whole answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts that this is an error in the one shape that satisfies all clients, and returns its text.
    fn error(&self, status: u16, code: &str) -> String {
        let json = self.json();
        assert_eq!((self.status, json["code"].as_str()), (status, Some(code)), "{json}");
        assert!(json["error"] == json["detail"] && json["error"] == json["message"], "{json}");
        json["error"].as_str().unwrap().to_owned()
    }
}

async fn send(request: hyper::http::request::Builder, body: impl Into<Bytes>) -> Answer {
    let request = request.body(Full::new(body.into())).unwrap();
    let exchange = async {
        let response = kit::http::client(LIMIT).request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    };
    soon("an answer", exchange).await
}

/// Waits for what comes soon, or ends the test.
async fn soon<T>(what: &str, comes: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, comes).await.expect(what)
}

/// Reads until `end` has come, and returns everything up to there and what came with it.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&bytes).contains(end) {
            assert_ne!(
                stream.read_buf(&mut bytes).await.unwrap(),
                0,
                "ended after {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    };
    let found = tokio::time::timeout(LIMIT, read).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(found.is_ok(), "{end:?} never came, only {text:?}");
    text
}

/// Reads to the end or to an error, and returns what came.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _reset = soon("an end", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A service that the test plays itself, byte by byte.
struct ByHand(TcpListener);

impl ByHand {
    async fn listen() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (Self(listener), url)
    }

    /// Accepts a connection and reads a request's head.
    async fn accept(&self) -> (TcpStream, String) {
        let mut stream = soon("a connection", self.0.accept()).await.unwrap().0;
        let head = read_until(&mut stream, "\r\n\r\n").await;
        (stream, head)
    }
}

/// Says that nobody listens there.
fn nowhere() -> (Target, String) {
    let target = Target::refuse();
    let url = target.url("");
    (target, url)
}
