//! Spans of requests, named and described as OpenTelemetry's semantic conventions for HTTP spans say (1.38, stable).

use std::net::SocketAddr;
use std::num::NonZeroU128;

use axum::extract::{ConnectInfo, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, Response, StatusCode, Uri, Version, header};
use hyper_util::client::legacy::Error;
use uuid::Uuid;

use super::client::root_cause;
use super::layers::PROBE_HEADER;
use crate::health::READY_PATHS;
use crate::trace::{self, Context, Kind, Span};

/// Further paths that programs ask for all the time: like those of readiness they begin no recorded trace.
const QUIET: [&str; 4] = ["/livez", "/health/live", "/health", "/metrics"];

/// Marks requests that came over TLS, as an extension.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverTls;

/// Whether the path of a request may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// It may.
    Shown,
    /// It is as good as a password, as those of webhooks are.
    Secret,
}

/// Returns the trace that an `X-Trace-ID` names, if it is a UUID, which W3C writes without dashes.
pub fn trace_of(id: &HeaderValue) -> Option<NonZeroU128> {
    NonZeroU128::new(Uuid::try_parse(id.to_str().ok()?).ok()?.as_u128())
}

/// Begins the span of a request that has come.
pub(super) fn of_request(request: &Request, route: Option<&str>, trace: &HeaderValue) -> Span {
    if !trace::is_on() {
        return Span::none();
    }
    let (headers, parent) = (request.headers(), Context::of_headers(request.headers()));
    let method = known(request.method());
    let name = route.map_or_else(|| in_name(method).to_owned(), |route| format!("{} {route}", in_name(method)));
    let is_asked_often = |route: &str| QUIET.contains(&route) || READY_PATHS.contains(&route);
    let is_quiet = headers.contains_key(PROBE_HEADER) || route.is_some_and(is_asked_often);
    let mut span = Span::enter(Kind::Server, name, parent.as_ref(), trace_of(trace), is_quiet);
    set_method(&mut span, request.method());
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(host) = text(header::HOST).and_then(|host| host.parse().ok()) {
        set_server(&mut span, &host);
    }
    span.set("url.scheme", if request.extensions().get::<OverTls>().is_some() { "https" } else { "http" });
    span.set("url.path", request.uri().path().to_owned());
    let version = match request.version() {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    span.set("network.protocol.version", version);
    if let Some(route) = route {
        span.set("http.route", route.to_owned());
    }
    if let Some(ConnectInfo(client)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        span.set("client.address", client.ip().to_string());
    }
    if let Some(agent) = text(header::USER_AGENT) {
        span.set("user_agent.original", agent.to_owned());
    }
    span
}

/// Notes the status that a request was answered with: only what is the server's fault is a failure of this span.
pub(super) fn answered(span: &mut Span, status: StatusCode) {
    span.set("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.fail(status.as_str().to_owned(), "");
    }
}

/// The span of a request that is sent. Dropped before it is told how that ended, it says that it was given up.
pub struct Asking(Span);

impl Asking {
    /// Begins it, and writes its context into the request's headers.
    pub fn begin<B>(request: &mut http::Request<B>, path: Path) -> Self {
        let mut span = Span::step(Kind::Client, in_name(known(request.method())));
        if let Some(context) = span.context() {
            context.write(request.headers_mut());
            describe(&mut span, request.method(), request.uri(), path);
        }
        Self(span)
    }

    /// Ends it as what was sent was answered.
    pub fn answered(mut self, status: StatusCode) {
        let mut span = std::mem::replace(&mut self.0, Span::none());
        answered(&mut span, status);
        if status.is_client_error() {
            span.refuse(status.as_str().to_owned(), "");
        }
    }

    /// Ends it without an answer; `error` is of a closed set.
    pub fn failed(mut self, error: &'static str, why: String) {
        std::mem::replace(&mut self.0, Span::none()).fail(error, why);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.refuse("given_up", "nobody waited for the answer any more");
    }
}

/// Says in a client's span what it asks of whom: neither query nor credentials, which may be secret.
pub fn describe(span: &mut Span, method: &Method, uri: &Uri, path: Path) {
    set_method(span, method);
    set_url(span, uri, path);
}

/// Sends a request within a span of its own.
///
/// # Errors
/// What `send` says.
pub async fn traced<B, R, F>(
    mut request: http::Request<B>,
    path: Path,
    send: impl FnOnce(http::Request<B>) -> F,
) -> Result<Response<R>, Error>
where
    F: Future<Output = Result<Response<R>, Error>>,
{
    let asking = Asking::begin(&mut request, path);
    let answered = send(request).await;
    match &answered {
        Ok(response) => asking.answered(response.status()),
        Err(error) => asking.failed(if error.is_connect() { "connect" } else { "broken" }, root_cause(error)),
    }
    answered
}

/// Methods are of a closed set; of others the span says what they were.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

fn in_name(known: &'static str) -> &'static str {
    if known == "_OTHER" { "HTTP" } else { known }
}

fn set_method(span: &mut Span, method: &Method) {
    span.set("http.request.method", known(method));
    if known(method) == "_OTHER" {
        span.set("http.request.method_original", method.as_str().to_owned());
    }
}

fn set_server(span: &mut Span, authority: &Authority) {
    span.set("server.address", authority.host().trim_matches(['[', ']']).to_owned());
    if let Some(port) = authority.port_u16() {
        span.set("server.port", port);
    }
}

fn set_url(span: &mut Span, uri: &Uri, path: Path) {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return };
    set_server(span, authority);
    let is_tls = scheme == "https";
    if authority.port().is_none() {
        span.set("server.port", if is_tls { 443_u16 } else { 80 });
    }
    let port = authority.port().map_or(String::new(), |port| format!(":{port}"));
    let shown = if path == Path::Shown { uri.path() } else { "/" };
    span.set("url.full", format!("{scheme}://{}{port}{shown}", authority.host()));
}
