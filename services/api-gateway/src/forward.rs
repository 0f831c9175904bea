//! Hands a request on to a service and its answer back, streaming both ways.
//!
//! Nothing is tried again, no redirect is followed, no body is held: a client that leaves drops the handler, and with it
//! the connection to the service.

use std::error::Error;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use kit::http::{API_KEY, ApiError, Client, client, root_cause};
use secrecy::{ExposeSecret, SecretString};

use crate::headers;
use crate::idle::Idle;
use crate::upstream::Upstream;

/// Largest request body, in bytes: the platform's contract with its clients. Airtable itself takes less (attachments of
/// 5 MB by its Web API, "Upload attachment").
pub(crate) const MAX_REQUEST_BYTES: usize = 25 * 1024 * 1024;

/// The way to one service.
pub(crate) struct Forward {
    client: Client<Limited<Body>>,
    upstream: Upstream,
    key: Option<HeaderValue>,
    timeout: Duration,
}

impl Forward {
    /// Sends requests to `upstream` with `key` as its `X-API-Key`; `timeout` is the longest wait for the head of an
    /// answer, and then for each further piece.
    pub(crate) fn new(upstream: Upstream, key: &SecretString, timeout: Duration) -> Self {
        // Settings have checked that the key fits into a header.
        let mut key = HeaderValue::from_str(key.expose_secret()).ok();
        if let Some(key) = &mut key {
            key.set_sensitive(true);
        }
        Self { client: client(timeout), upstream, key, timeout }
    }

    /// Sends `request` to `path_and_query` of the service and returns its answer, or says why there is none.
    pub(crate) async fn send(&self, path_and_query: &str, request: Request) -> Result<Response, ApiError> {
        let request = self.outgoing(path_and_query, request)?;
        let response = match tokio::time::timeout(self.timeout, self.client.request(request)).await {
            Ok(Ok(response)) if response.status().is_informational() => return Err(self.broken("an interim answer")),
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.explain(&error)),
            Err(_elapsed) => return Err(self.late()),
        };
        Ok(self.incoming(response))
    }

    fn outgoing(&self, path_and_query: &str, request: Request) -> Result<Request<Limited<Body>>, ApiError> {
        let (head, body) = request.into_parts();
        if body.size_hint().lower() > MAX_REQUEST_BYTES as u64 {
            return Err(too_large());
        }
        let mut outgoing = Request::new(Limited::new(body, MAX_REQUEST_BYTES));
        *outgoing.uri_mut() = self.upstream.uri(path_and_query).map_err(|error| {
            ApiError::bad_request(format!("the path cannot be handed on: {error}")).code("invalid_path")
        })?;
        *outgoing.headers_mut() = headers::for_upstream(&head);
        if let Some(key) = &self.key {
            outgoing.headers_mut().insert(API_KEY, key.clone());
        }
        if let Some(authorization) = self.upstream.authorization() {
            outgoing.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        *outgoing.method_mut() = head.method;
        Ok(outgoing)
    }

    fn incoming(&self, response: hyper::Response<Incoming>) -> Response {
        let (mut head, body) = response.into_parts();
        headers::strip_hop_by_hop(&mut head.headers);
        let mut response = Response::new(Body::new(Idle::new(body, self.timeout)));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        response
    }

    /// Turns a failed exchange into an answer: it may be the client's own body that failed it.
    fn explain(&self, error: &hyper_util::client::legacy::Error) -> ApiError {
        if cause::<LengthLimitError>(error).is_some() {
            return too_large();
        }
        if cause::<hyper::Error>(error).is_some_and(hyper::Error::is_user) {
            return ApiError::bad_request("the request body broke off").code("invalid_body");
        }
        if cause::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return self.late();
        }
        if !error.is_connect() {
            return self.broken(&root_cause(error));
        }
        let name = self.upstream.name();
        tracing::warn!(upstream = name, error = root_cause(error), "cannot connect to a service");
        ApiError::new(StatusCode::BAD_GATEWAY, format!("{name} is not reachable")).code("upstream_unreachable")
    }

    fn broken(&self, reason: &str) -> ApiError {
        let name = self.upstream.name();
        tracing::warn!(upstream = name, error = reason, "a service gave no valid answer");
        ApiError::new(StatusCode::BAD_GATEWAY, format!("{name} gave no valid answer")).code("upstream_failed")
    }

    fn late(&self) -> ApiError {
        let (name, timeout) = (self.upstream.name(), kit::config::show_duration(self.timeout));
        tracing::warn!(upstream = name, timeout_ms = self.timeout.as_millis(), "a service did not answer in time");
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, format!("{name} did not answer within {timeout}"))
            .code("upstream_timeout")
    }
}

fn too_large() -> ApiError {
    let message = format!("the request body is larger than {} MiB", MAX_REQUEST_BYTES / (1024 * 1024));
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).code("too_large")
}

/// Returns the first error of type `E` in the chain of causes.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let next = |error: &&'a (dyn Error + 'static)| (*error).source();
    std::iter::successors(Some(error), next).find_map(|error| error.downcast_ref())
}
