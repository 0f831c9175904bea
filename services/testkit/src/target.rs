//! A running fake server: where it is, what it has seen, and how its healthy answers are changed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::message::Request;
use crate::peer::{Log, Peer, lock};
use crate::tasks::Tasks;

/// A fake server on a port of 127.0.0.1; dropping it ends its tasks and with them every connection.
///
/// Constructors stand beside the idea they belong to: transport, HTTP, HTTP faults and TLS.
#[derive(Debug)]
pub struct Target {
    addr: SocketAddr,
    scheme: &'static str,
    log: Arc<Log>,
    tasks: Tasks,
}

impl Target {
    /// Returns where the target is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns `http://127.0.0.1:PORT` followed by `path`; the scheme is `https`, `tls` or `tcp` where the target is.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.addr)
    }

    /// Returns how many connections were accepted so far.
    pub fn connections(&self) -> usize {
        lock(&self.log.received).len()
    }

    /// Returns every whole HTTP request so far, oldest first; empty for targets that do not read HTTP.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.log.requests).clone()
    }

    /// Returns what each connection sent so far (its first MiB, decrypted), in the order they were accepted.
    ///
    /// Empty buffers for the healthy HTTP targets: see [`Self::requests`].
    pub fn received(&self) -> Vec<Vec<u8>> {
        lock(&self.log.received).clone()
    }

    /// Returns how many bytes the kernel took from this target so far; healthy HTTP targets do not count.
    pub fn bytes_written(&self) -> u64 {
        self.log.bytes_written.load(Ordering::Relaxed)
    }

    /// Makes a healthy HTTP target answer every later request with `status`, all else unchanged.
    pub fn set_status(&self, status: u16) {
        *lock(&self.log.status) = Some(status);
    }

    /// Makes a healthy HTTP target wait for `delay` before it answers each later request.
    pub fn set_delay(&self, delay: Duration) {
        *lock(&self.log.delay) = delay;
    }

    /// Starts a target that gives every accepted connection to `handler`.
    ///
    /// What `handler` returns is dropped: that a client goes away is part of many tests.
    pub(crate) fn serve<H, E>(scheme: &'static str, handler: H) -> Self
    where
        H: Fn(Peer<TcpStream>) -> E + Send + 'static,
        E: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::serve_at(0, scheme, handler)
    }

    /// As [`Self::serve`], on this port.
    pub(crate) fn serve_at<H, E>(port: u16, scheme: &'static str, handler: H) -> Self
    where
        H: Fn(Peer<TcpStream>) -> E + Send + 'static,
        E: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = bind(port).listen(1024).expect("a bound socket can listen");
        let target = Self::at(scheme, listener.local_addr().expect("a bound socket has an address"));
        let (log, tasks) = (Arc::clone(&target.log), target.tasks.clone());
        target.tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("the listener accepts until it is dropped");
                // The second of two small writes (HTTP/2 over TLS) would wait some 40 ms for the client's delayed
                // acknowledgement (Nagle's algorithm, RFC 9293 section 3.7.4). Failing to set it changes only timing.
                let _best_effort = stream.set_nodelay(true);
                let connection = handler(Peer::new(stream, &log, &tasks));
                tasks.spawn(async move { drop(connection.await) });
            }
        });
        target
    }

    /// Makes a target that accepts nothing and keeps `held` until it is dropped.
    pub(crate) fn hold(addr: SocketAddr, held: impl Send + 'static) -> Self {
        let target = Self::at("http", addr);
        target.tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        target
    }

    fn at(scheme: &'static str, addr: SocketAddr) -> Self {
        Self { addr, scheme, log: Arc::default(), tasks: Tasks::new() }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

/// Binds this port of 127.0.0.1 (0: a fresh one) without listening on it.
pub(crate) fn bind(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("the process may open a socket");
    // A port that was used before is one again at once.
    socket.set_reuseaddr(port != 0).expect("a fresh socket can be told");
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).expect("loopback has a free port");
    socket
}
