//! What happens to every request: ids, deadline, body limit, a caught panic, errors in JSON, counted by route template.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use uuid::Builder;

use super::error::ApiError;
use super::sized::sized;
use super::{rejection, span, unread};
use crate::metrics::HttpMetrics;
use crate::trace::Context;

/// Marks requests that a monitor makes: they are left out of request metrics and analytics.
pub const PROBE_HEADER: HeaderName = HeaderName::from_static("x-monitor-probe");
/// Echoed unchanged, or made here.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Taken, or made here, forwarded and echoed.
pub const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Longest id that is taken from a client, in bytes.
const MAX_ID_BYTES: usize = 128;

/// The ids of one request, as an extension.
#[derive(Debug, Clone)]
pub struct RequestIds {
    /// `X-Request-ID`.
    pub request: HeaderValue,
    /// `X-Trace-ID`.
    pub trace: HeaderValue,
}

/// The paths a service has, as an extension (`.layer(Extension(…))` around the conventions): a 404 then lists them as
/// `available_endpoints`.
#[derive(Debug, Clone)]
pub struct Endpoints(pub std::sync::Arc<[String]>);

/// Wraps a router in the conventions. `deadline` is the longest a handler may take before the client gets a 504
/// (streaming bodies are not cut); bodies larger than `body_limit_bytes` get a 413.
pub fn with_conventions(router: Router, metrics: HttpMetrics, deadline: Duration, body_limit_bytes: usize) -> Router {
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(body_limit_bytes))
        .layer(from_fn_with_state((metrics, deadline), handle))
}

/// Answers a request for what is not there: 404, with the paths that are, if the service names them.
pub async fn not_found(request: Request) -> ApiError {
    let error = ApiError::not_found("no such path").code("not_found").path(request.uri().path());
    match request.extensions().get::<Endpoints>() {
        Some(Endpoints(paths)) => error.with("available_endpoints", &**paths),
        None => error,
    }
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} is not allowed here", request.method()))
        .code("method_not_allowed")
        .path(request.uri().path())
}

async fn handle(
    State((metrics, deadline)): State<(HttpMetrics, Duration)>,
    mut request: Request,
    next: Next,
) -> Response {
    let ids = ids_of(request.headers());
    request.extensions_mut().insert(ids.clone());
    name_host(&mut request);
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let matched = matched.as_ref().map(MatchedPath::as_str);
    let mut span = span::of_request(&request, matched, &ids.trace);
    let route = matched.unwrap_or("unmatched");
    let counted = (!request.headers().contains_key(PROBE_HEADER)).then(|| metrics.route(&method, route));
    let began = Instant::now();
    let in_flight = metrics.begin();
    let path = request.uri().path().to_owned();
    let request = match &counted {
        Some(counted) => request.map(|body| sized(body, &counted.request_bytes)),
        None => request,
    };
    let (request, unread) = unread::watch(request);
    let answer = std::panic::AssertUnwindSafe(span.within(next.run(request))).catch_unwind();
    let mut response = match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(response)) => rejection::in_json(response, &path),
        Ok(Err(_panic)) => {
            span.inside(|| tracing::error!(http.route = route, "a handler panicked"));
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").path(&path).into_response()
        }
        Err(_elapsed) => {
            span.inside(|| tracing::warn!(http.route = route, "a handler was not finished in time"));
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, "not finished in time")
                .code("timeout")
                .path(&path)
                .into_response()
        }
    };
    drop(in_flight);
    span::answered(&mut span, response.status());
    if let Some(counted) = counted {
        counted.answered(response.status(), began.elapsed(), span.context());
        response = response.map(|body| sized(body, &counted.response_bytes));
    }
    span.inside(|| {
        tracing::debug!(
            http.method = %method, http.route = route, http.status = response.status().as_u16(),
            duration_ms = began.elapsed().as_millis(), http.trace = ids.trace.to_str().unwrap_or_default(), "request"
        );
    });
    drop(span);
    unread.read().await;
    response.headers_mut().insert(REQUEST_ID, ids.request);
    response.headers_mut().insert(TRACE_ID, ids.trace);
    response
}

/// What a request names before its headers (HTTP/2's `:authority`, an absolute URI) is the host, whatever `Host` says
/// (RFC 9113 section 8.3.1, RFC 9112 section 3.2.2).
fn name_host(request: &mut Request) {
    let Some(authority) = request.uri().authority().map(Authority::as_str) else { return };
    let host = authority.rsplit_once('@').map_or(authority, |(_credentials, host)| host);
    if let Ok(host) = HeaderValue::from_str(host) {
        request.headers_mut().insert(header::HOST, host);
    }
}

fn ids_of(headers: &HeaderMap) -> RequestIds {
    let given =
        |name: &HeaderName| headers.get(name).filter(|value| !value.is_empty() && value.len() <= MAX_ID_BYTES).cloned();
    let parent = Context::of_headers(headers);
    // From the thread's own generator: the system's would be asked with every request.
    let fresh = || value_of(&Builder::from_random_bytes(rand::random()).into_uuid().to_string());
    RequestIds {
        request: given(&REQUEST_ID).unwrap_or_else(fresh),
        trace: given(&TRACE_ID).or_else(|| parent.map(|parent| value_of(&parent.trace_id()))).unwrap_or_else(fresh),
    }
}

fn value_of(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
}
