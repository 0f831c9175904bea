//! The server's bounds: clients that are slow or silent, too many connections, and stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use kit::http::{EachCore, Limits, ServerTls, bind, serve_each_core};
use kit::metrics::Metrics;
use testkit::{Authority, eventually};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{LIMIT, SHORT, Server, read_to_end, read_until};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn impatient() -> Limits {
    Limits { header_timeout: SHORT, ..Limits::default() }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// A handler that says on `begun` that it runs and answers when `go` has a permit.
fn held(begun: &Arc<Semaphore>, go: &Arc<Semaphore>) -> Router {
    let (begun, go) = (begun.clone(), go.clone());
    let handler = async move || {
        begun.add_permits(1);
        go.acquire().await.unwrap().forget();
        "done"
    };
    Router::new().route("/", get(handler))
}

#[tokio::test]
async fn clients_that_do_not_finish_their_headers_are_cut_off() {
    let server = Server::start(hello(), impatient()).await;
    // Nothing, half an HTTP/2 preface, half a request line, headers without an end.
    for start in ["", "PRI * HTT", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: 1\r\n"] {
        let mut stream = server.write(start).await;
        assert!(!read_to_end(&mut stream).await.contains("hello"), "{start:?}");
    }
}

#[tokio::test]
async fn a_whole_http2_preface_without_a_request_is_cut_off() {
    let server = Server::start(hello(), impatient()).await;
    // The preface and an empty SETTINGS frame (RFC 9113 sections 3.4 and 6.5).
    let mut stream = server.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0").await;
    read_to_end(&mut stream).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_last_answer() {
    let server = Server::start(hello(), impatient()).await;
    let mut stream = server.write(GET).await;
    assert!(read_to_end(&mut stream).await.ends_with("\r\n\r\nhello"));
}

#[tokio::test]
async fn a_slow_handler_is_not_a_slow_client() {
    let slow = Router::new().route("/", get(async || tokio::time::sleep(SHORT * 3).await));
    let server = Server::start(slow, impatient()).await;
    assert!(server.get("/", "").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_connection_too_many_waits_for_a_place() {
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let server = Server::start(held(&begun, &go), Limits { connections: 1, ..Limits::default() }).await;
    let mut first = server.write(GET).await;
    begun.acquire().await.unwrap().forget();
    let mut second = server.write(GET).await;
    go.add_permits(1);
    read_until(&mut first, "done").await;
    assert_eq!(begun.available_permits(), 0, "the second came in beside the first");
    drop(first);
    go.add_permits(1);
    read_until(&mut second, "done").await;
}

#[tokio::test]
async fn handlers_learn_the_clients_address() {
    let whoami = async |ConnectInfo(client): ConnectInfo<SocketAddr>| client.to_string();
    let server = Server::start(Router::new().route("/", get(whoami)), Limits::default()).await;
    let mut stream = server.write(GET).await;
    let own = stream.local_addr().unwrap();
    read_until(&mut stream, &format!("\r\n\r\n{own}")).await;
}

#[tokio::test]
async fn stopping_refuses_new_connections_and_lets_running_requests_finish() {
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let server = Server::start(held(&begun, &go), Limits::default()).await;
    let mut idle = server.write("").await;
    let mut running = server.write(GET).await;
    begun.acquire().await.unwrap().forget();
    server.stop.cancel();
    let refused = async || TcpStream::connect(server.address).await.is_err().then_some(());
    eventually("new connections are refused", LIMIT, refused).await;
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(!server.task.is_finished());
    go.add_permits(1);
    assert!(read_to_end(&mut running).await.ends_with("\r\n\r\ndone"));
    tokio::time::timeout(LIMIT, server.task).await.expect("the server stops").unwrap();
}

#[tokio::test]
async fn stopping_waits_no_longer_than_its_grace() {
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let server = Server::start(held(&begun, &go), Limits { grace: SHORT, ..Limits::default() }).await;
    let _running = server.write(GET).await;
    begun.acquire().await.unwrap().forget();
    server.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.expect("the server stops").unwrap();
}

/// A server on every core, of which `tasks` outlive their requests.
async fn on_each_core(router: Router, tls: Option<ServerTls>, tasks: TaskTracker, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let make = Arc::new(move || router.clone());
        let what = EachCore { make, tls: tls.as_ref(), metrics: &Metrics::new("test", "1"), tasks };
        serve_each_core(listener, what, limits, stopped).await;
    });
    Server { address, stop, task }
}

#[tokio::test]
async fn on_each_core_too_running_requests_and_what_outlives_them_finish() {
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (tasks, last) = (TaskTracker::new(), Arc::new(Semaphore::new(0)));
    let server = on_each_core(held(&begun, &go), None, tasks.clone(), Limits::default()).await;
    let outliving = last.clone();
    tasks.spawn(async move { outliving.acquire().await.unwrap().forget() });
    let mut running = server.write(GET).await;
    begun.acquire().await.unwrap().forget();
    server.stop.cancel();
    let refused = async || TcpStream::connect(server.address).await.is_err().then_some(());
    eventually("new connections are refused", LIMIT, refused).await;
    go.add_permits(1);
    assert!(read_to_end(&mut running).await.ends_with("\r\n\r\ndone"));
    assert!(!server.task.is_finished());
    last.add_permits(1);
    tokio::time::timeout(LIMIT, server.task).await.expect("the server stops").unwrap();
}

#[tokio::test]
async fn a_stop_is_heard_on_every_core_at_once() {
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let router = held(&begun, &go).route("/now", get(async || "now"));
    let server =
        on_each_core(router, None, TaskTracker::new(), Limits { grace: 10 * LIMIT, ..Limits::default() }).await;
    // Connections go to one core after the other: one has a request that goes on, and all have one that waits for the next.
    let mut running = server.write(GET).await;
    begun.acquire().await.unwrap().forget();
    let mut waiting = Vec::new();
    for _core in 0..std::thread::available_parallelism().unwrap().get() {
        let mut stream = server.write("GET /now HTTP/1.1\r\nHost: x\r\n\r\n").await;
        read_until(&mut stream, "now").await;
        waiting.push(stream);
    }
    server.stop.cancel();
    for stream in &mut waiting {
        assert_eq!(read_to_end(stream).await, "");
    }
    assert!(!server.task.is_finished());
    go.add_permits(1);
    assert!(read_to_end(&mut running).await.ends_with("\r\n\r\ndone"));
    tokio::time::timeout(LIMIT, server.task).await.expect("the server stops").unwrap();
}

#[tokio::test]
async fn on_each_core_too_nothing_is_waited_for_longer_than_the_grace() {
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let tasks = TaskTracker::new();
    let limits = Limits { grace: SHORT, ..Limits::default() };
    let server = on_each_core(held(&begun, &go), None, tasks.clone(), limits).await;
    tasks.spawn(std::future::pending::<()>());
    let _running = server.write(GET).await;
    begun.acquire().await.unwrap().forget();
    server.stop.cancel();
    tokio::time::timeout(LIMIT, server.task).await.expect("the server stops").unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_has_not_finished_the_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let certificate = Authority::new().valid();
    std::fs::write(&chain, certificate.pem()).unwrap();
    std::fs::write(&key, certificate.key_pem()).unwrap();
    let tls = ServerTls::read(&chain, &key).unwrap();
    // Far longer than the test may take.
    let limits = Limits { header_timeout: 10 * LIMIT, grace: 10 * LIMIT, ..Limits::default() };
    let server = on_each_core(hello(), Some(tls), TaskTracker::new(), limits).await;
    // The beginning of a record of a handshake (RFC 8446 section 5.1).
    let mut half = server.write("\u{16}\u{3}\u{1}").await;
    // Connections are taken in their order: the first is there when a later one of each core was ended.
    for _ in 0..=std::thread::available_parallelism().unwrap().get() {
        let mut plain = server.write(GET).await;
        assert!(!read_to_end(&mut plain).await.contains("hello"), "what is no handshake is ended");
    }
    server.stop.cancel();
    assert_eq!(read_to_end(&mut half).await, "");
    tokio::time::timeout(LIMIT, server.task).await.expect("the server stops").unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let message = bind(address).await.unwrap_err();
    assert_eq!(message, format!("cannot listen on {address}: Address already in use (os error 98)"));
}
