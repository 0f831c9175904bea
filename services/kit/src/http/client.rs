//! The HTTP client of the suite's own programs (gateway, command line, health check). Probes do not use it: they time
//! every step themselves.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::span::{Path, traced};

/// A pooled client for http and https with the given body type.
pub type Client<B> = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, B>;

/// Longest time a connection stays open unused: half of what our servers wait for the next request
/// ([`super::Limits::header_timeout`]), so that a request never meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(15);

/// Which versions a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1.1, or HTTP/2 if a server offers it in the TLS handshake.
    Any,
    /// HTTP/2 only, without asking first (RFC 9113 section 3.3): for gRPC.
    Http2,
}

/// Builds a client; `connect_timeout` bounds DNS and TCP together.
pub fn client<B>(connect_timeout: Duration) -> Client<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    client_that(Speaks::Any, connect_timeout)
}

pub(crate) fn client_that<B>(speaks: Speaks, connect_timeout: Duration) -> Client<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_nodelay(true);
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(crate::tls::client_config(crate::tls::roots()))
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(tcp);
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_only(speaks == Speaks::Http2)
        .build(https)
}

/// Sends one request and reads the answer, all within `deadline` and at most `max_bytes` of body.
///
/// # Errors
/// One sentence that names the cause; it never shows the request's headers.
pub async fn get(
    request: Request<Full<Bytes>>,
    deadline: Duration,
    max_bytes: usize,
) -> Result<(StatusCode, Bytes), String> {
    let client = client::<Full<Bytes>>(deadline);
    let exchange = async {
        // Some are asked at addresses that are as good as a password.
        let answered = traced(request, Path::Secret, |request| client.request(request)).await;
        let response = answered.map_err(|error| root_cause(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), max_bytes).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    match tokio::time::timeout(deadline, exchange).await {
        Ok(result) => result,
        Err(_elapsed) => Err(format!("no answer within {}", crate::config::show_duration(deadline))),
    }
}

/// Returns the words of the last error in the chain of causes: what the system said.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
