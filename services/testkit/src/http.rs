//! Healthy HTTP targets (HTTP/1.1, and HTTP/2 by prior knowledge or ALPN) that answer what a test asks for.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::{Request, Response};
use crate::peer::{Log, Peer, lock};
use crate::target::Target;

impl Target {
    /// Answers every request with 200 and `body`.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::answer(200, &[], body)
    }

    /// As [`Self::ok`] without a body, on this port: one that [`crate::free_port`] gave comes to life.
    pub fn ok_at(port: u16) -> Self {
        let answer: Arc<Answer> = Arc::new(|_| Response::new(200, Bytes::new()));
        Self::serve_at(port, "http", move |peer| serve_http(peer, Arc::clone(&answer)))
    }

    /// Answers every request with `status`, `headers` and `body`.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(status, body);
        for (name, value) in headers {
            response = response.with_header(name, value);
        }
        Self::respond_with(move |_| response.clone())
    }

    /// Answers each request with what `answer` makes of it.
    pub fn respond_with(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let answer: Arc<Answer> = Arc::new(answer);
        Self::serve("http", move |peer| serve_http(peer, Arc::clone(&answer)))
    }

    /// Answers the first request with the first status, and so on; the last one stays. Bodies are empty.
    ///
    /// # Panics
    /// When `statuses` is empty.
    pub fn sequence(statuses: impl Into<Vec<u16>>) -> Self {
        let statuses = statuses.into();
        let last = *statuses.last().expect("a sequence has at least one status");
        let turn = AtomicUsize::new(0);
        Self::respond_with(move |_| {
            let status = statuses.get(turn.fetch_add(1, Ordering::Relaxed)).copied();
            Response::new(status.unwrap_or(last), Bytes::new())
        })
    }

    /// Redirects (302) every request to `url`.
    pub fn redirect_to(url: &str) -> Self {
        Self::answer(302, &[("location", url)], Bytes::new())
    }

    /// Redirects (302) every request to a path of its own, for ever; each path differs from the one before.
    pub fn redirect_loop() -> Self {
        let turn = AtomicUsize::new(0);
        Self::respond_with(move |_| {
            let path = format!("/turn/{}", turn.fetch_add(1, Ordering::Relaxed));
            Response::new(302, Bytes::new()).with_header("location", &path)
        })
    }
}

/// Makes a response of a request.
pub(crate) type Answer = dyn Fn(&Request) -> Response + Send + Sync;

/// Serves one connection until the client leaves.
pub(crate) async fn serve_http<S>(peer: Peer<S>, answer: Arc<Answer>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Peer { stream, log, tasks, .. } = peer;
    let service = service_fn(move |request| respond(request, Arc::clone(&answer), Arc::clone(&log)));
    auto::Builder::new(tasks).serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

async fn respond(
    request: hyper::Request<Incoming>,
    answer: Arc<Answer>,
    log: Arc<Log>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let Some(request) = receive(request).await else {
        return Ok(hyper::Response::default());
    };
    lock(&log.requests).push(request.clone());
    let delay = *lock(&log.delay);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = answer(&request);
    if let Some(status) = *lock(&log.status) {
        response.status = status;
    }
    Ok(to_hyper(response))
}

/// Reads the whole request; none if the client left in the middle, so that nobody sees the answer either.
async fn receive(request: hyper::Request<Incoming>) -> Option<Request> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let path = head.uri.path_and_query().map_or_else(|| head.uri.to_string(), ToString::to_string);
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Some(Request { method: head.method.to_string(), path, version: format!("{:?}", head.version), headers, body })
}

fn to_hyper(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut builder = hyper::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(response.body)).expect("the test gives a valid status and valid headers")
}
