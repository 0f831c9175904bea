//! Hands a request on to a service and its answer back, streaming both ways.
//!
//! No redirect is followed, no body is held: a client that leaves drops the handler, and with it the connection to the
//! service. What asks for nothing to be changed (RFC 9110 section 9.2.1) and has no body is tried once more if no answer
//! came; nothing else is.

mod headers;
mod idle;
mod progress;
mod tunnel;

use std::error::Error;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use kit::http::{API_KEY, ApiError, Asking, Client, PROBE_HEADER, Path, client, root_cause, whole_secs};
use prometheus::IntCounter;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::breaker::Breaker;
use crate::figures::Figures;
use crate::gate::Caller;
use crate::tunnels::Tunnels;
use crate::upstream::Upstream;
use idle::Idle;
use progress::{Over, Progress, Watched};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Failures in a row after which a service is spared. As many as Envoy's outlier detection takes
/// (`outlier_detection.consecutive_5xx`).
const FAILURES: u32 = 5;
/// How long it is spared; then one request tries. Short: a service that was restarted should not look down for long.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest silence of a stream of events; what sends none for so long sends comments (HTML Standard, section 9.2.7).
const BETWEEN_EVENTS: Duration = Duration::from_secs(300);
/// What is the client's own fault.
const CLIENT: &str = "client";
/// Before a request is tried once more.
const BEFORE_RETRY: Duration = Duration::from_millis(50);

/// One service, as all threads know it.
pub(crate) struct Road {
    upstream: Upstream,
    key: Option<HeaderValue>,
    timeout: Duration,
    breaker: Breaker,
    figures: Figures,
    answered: IntCounter,
    tunnels: Tunnels,
}

impl Road {
    /// To `upstream`, with `key` as its `X-API-Key` for those who may have it; `timeout` is the longest wait for each piece
    /// of a request, then for the head of its answer, and then for each further piece.
    pub(crate) fn new(
        upstream: Upstream,
        key: &SecretString,
        timeout: Duration,
        figures: Figures,
        tunnels: Tunnels,
    ) -> Self {
        // Settings have checked that the key fits into a header.
        let mut key = HeaderValue::from_str(key.expose_secret()).ok();
        if let Some(key) = &mut key {
            key.set_sensitive(true);
        }
        figures.spared(upstream.name(), false);
        let answered = figures.answered(upstream.name());
        Self { upstream, key, timeout, breaker: Breaker::new(FAILURES, PAUSE), figures, answered, tunnels }
    }
}

/// The way to one service, with connections of its own.
pub(crate) struct Forward {
    client: Client<Limited<Watched>>,
    road: Arc<Road>,
}

impl Deref for Forward {
    type Target = Road;

    fn deref(&self) -> &Road {
        &self.road
    }
}

impl Forward {
    pub(crate) fn new(road: Arc<Road>) -> Self {
        Self { client: client(road.timeout), road }
    }

    /// Returns the service's name.
    pub(crate) fn name(&self) -> &'static str {
        self.upstream.name()
    }

    /// Sends `request` to `path_and_query` of the service and returns its answer, or says why there is none.
    pub(crate) async fn send(
        &self,
        path_and_query: &str,
        request: Request,
        body_limit: usize,
    ) -> Result<Response, ApiError> {
        let mut request = request;
        let asks = tunnel::is_asked(request.method(), request.version(), request.headers());
        let client = asks.then(|| hyper::upgrade::on(&mut request));
        let is_probe = request.headers().contains_key(PROBE_HEADER);
        let (mut request, progress) = self.outgoing(path_and_query, request, body_limit)?;
        if client.is_some() {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Err(wait) = self.breaker.admit(Instant::now()) {
            return Err(self.spare(wait, is_probe));
        }
        let asking = Asking::begin(&mut request, Path::Shown);
        let answered = tokio::select! {
            answered = self.exchange(request, body_limit) => Ok(answered),
            over = progress.stands_for(self.timeout) => Err(over),
        };
        let answered = match answered {
            Ok(Ok(response)) if response.status().is_informational() && !is_agreed(&response, client.is_some()) => {
                Err(self.broken("an interim answer"))
            }
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.explain(&error, body_limit)),
            Err(Over::Unanswered) => Err(self.late()),
            Err(Over::Unsent) => Err(self.stalled()),
        };
        match answered {
            Ok(response) => {
                asking.answered(response.status());
                self.note_answer(is_probe);
                match client.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
                    Some(client) => self.switched(client, response),
                    None => Ok(self.incoming(response)),
                }
            }
            Err(Failed { error, result }) => {
                if result != CLIENT {
                    asking.failed(result, format!("{} gave no answer", self.name()));
                }
                self.note_failure(result, is_probe);
                Err(error)
            }
        }
    }

    /// Lets both sides speak with each other once the answer is out, if there is a place for that.
    fn switched(&self, client: OnUpgrade, mut answer: hyper::Response<Incoming>) -> Result<Response, ApiError> {
        let place = self.tunnels.place()?;
        let (service, stop) = (hyper::upgrade::on(&mut answer), self.tunnels.stop.clone());
        self.tunnels.tracker.spawn(async move {
            if let (Ok(client), Ok(service)) = tokio::join!(client, service) {
                tunnel::flow(client, service, stop).await;
            }
            drop(place);
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }

    /// Notes that a request was answered. Probes are not counted, as in the metrics of requests; what they find is as good.
    fn note_answer(&self, is_probe: bool) {
        if !is_probe {
            self.answered.inc();
        }
        if self.breaker.succeeded() {
            tracing::info!(upstream = self.name(), "a service answers again");
            self.figures.spared(self.name(), false);
        }
    }

    /// Notes why a request was not, for the metrics and for those that follow. The client's own fault says nothing of the
    /// service.
    fn note_failure(&self, result: &'static str, is_probe: bool) {
        if !is_probe {
            self.figures.handed_on(self.name(), result);
        }
        if result != CLIENT && self.breaker.failed(Instant::now()) {
            tracing::warn!(upstream = self.name(), "a service did not answer {FAILURES} times and is spared");
            self.figures.spared(self.name(), true);
        }
    }

    async fn exchange(
        &self,
        request: Request<Limited<Watched>>,
        body_limit: usize,
    ) -> Result<hyper::Response<Incoming>, hyper_util::client::legacy::Error> {
        let again = again(&request, body_limit);
        let first = self.client.request(request).await;
        match (first, again) {
            (Err(error), Some(again)) => {
                tracing::debug!(upstream = self.name(), error = root_cause(&error), "tried once more");
                self.figures.retried(self.name());
                tokio::time::sleep(BEFORE_RETRY).await;
                self.client.request(again).await
            }
            (first, _) => first,
        }
    }

    fn outgoing(
        &self,
        path_and_query: &str,
        request: Request,
        body_limit: usize,
    ) -> Result<(Request<Limited<Watched>>, Progress), ApiError> {
        let (head, body) = request.into_parts();
        if body.size_hint().lower() > body_limit as u64 {
            return Err(too_large(body_limit));
        }
        let (body, progress) = Watched::new(body);
        let mut outgoing = Request::new(Limited::new(body, body_limit));
        *outgoing.uri_mut() = self.upstream.uri(path_and_query).map_err(|error| {
            ApiError::bad_request(format!("the path cannot be handed on: {error}")).code("invalid_path")
        })?;
        *outgoing.headers_mut() = headers::for_upstream(&head);
        let key = match head.extensions.get() {
            Some(Caller::Service | Caller::User(_)) => self.key.as_ref(),
            Some(Caller::Showing(key)) => Some(key),
            Some(Caller::Anyone) | None => None,
        };
        if let Some(key) = key {
            outgoing.headers_mut().insert(API_KEY, key.clone());
        }
        if let Some(authorization) = self.upstream.authorization() {
            outgoing.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        *outgoing.method_mut() = head.method;
        Ok((outgoing, progress))
    }

    fn incoming(&self, response: hyper::Response<Incoming>) -> Response {
        let (mut head, body) = response.into_parts();
        headers::strip_hop_by_hop(&mut head.headers);
        let patience = if is_stream_of_events(&head.headers) { self.timeout.max(BETWEEN_EVENTS) } else { self.timeout };
        let mut response = Response::new(Body::new(Idle::new(body, patience)));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        response
    }

    fn spare(&self, wait: Duration, is_probe: bool) -> ApiError {
        if !is_probe {
            self.figures.handed_on(self.name(), "spared");
        }
        let text = format!("{} did not answer and is spared; try again in {} s", self.name(), whole_secs(wait));
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).code("upstream_spared").retry_after(wait)
    }

    /// Turns a failed exchange into an answer: it may be the client's own body that failed it.
    fn explain(&self, error: &hyper_util::client::legacy::Error, body_limit: usize) -> Failed {
        if cause::<LengthLimitError>(error).is_some() {
            return Failed { error: too_large(body_limit), result: CLIENT };
        }
        if cause::<hyper::Error>(error).is_some_and(hyper::Error::is_user) {
            return Failed { error: broke_off(), result: CLIENT };
        }
        if cause::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return self.late();
        }
        // One that hangs up at once was there.
        let hung_up = cause::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        if !error.is_connect() || hung_up {
            return self.broken(&root_cause(error));
        }
        let name = self.name();
        tracing::warn!(upstream = name, error = root_cause(error), "cannot connect to a service");
        let error = ApiError::new(StatusCode::BAD_GATEWAY, format!("{name} is not reachable"));
        Failed { error: error.code("upstream_unreachable"), result: "unreachable" }
    }

    /// Says that an answer is no good.
    pub(crate) fn broken(&self, reason: &str) -> Failed {
        let name = self.name();
        tracing::warn!(upstream = name, error = reason, "a service gave no valid answer");
        let error = ApiError::new(StatusCode::BAD_GATEWAY, format!("{name} gave no valid answer"));
        Failed { error: error.code("upstream_failed"), result: "broken" }
    }

    fn stalled(&self) -> Failed {
        let text = format!("the request body fell silent for {}", kit::config::show_duration(self.timeout));
        let error = ApiError::new(StatusCode::REQUEST_TIMEOUT, text).code("request_timeout");
        Failed { error, result: CLIENT }
    }

    fn late(&self) -> Failed {
        let (name, timeout) = (self.name(), kit::config::show_duration(self.timeout));
        tracing::warn!(upstream = name, timeout_ms = self.timeout.as_millis(), "a service did not answer in time");
        let error = ApiError::new(StatusCode::GATEWAY_TIMEOUT, format!("{name} did not answer within {timeout}"));
        Failed { error: error.code("upstream_timeout"), result: "late" }
    }
}

/// Events come when there are some.
pub(crate) fn is_stream_of_events(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// A service changes the protocol only to the one that it was asked for.
fn is_agreed(response: &hyper::Response<Incoming>, is_asked: bool) -> bool {
    let named = response.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    is_asked
        && response.status() == StatusCode::SWITCHING_PROTOCOLS
        && named.is_some_and(|name| name.eq_ignore_ascii_case("websocket"))
}

/// Why there is no answer: for the client, and for the metrics.
pub(crate) struct Failed {
    pub(crate) error: ApiError,
    result: &'static str,
}

/// Returns the same request once more, if that changes nothing.
fn again(request: &Request<Limited<Watched>>, body_limit: usize) -> Option<Request<Limited<Watched>>> {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(Limited::new(Watched::new(Body::empty()).0, body_limit));
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

pub(crate) fn too_large(body_limit: usize) -> ApiError {
    let size =
        if body_limit >= MIB { format!("{} MiB", body_limit / MIB) } else { format!("{} KiB", body_limit / KIB) };
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the request body is larger than {size}")).code("too_large")
}

pub(crate) fn broke_off() -> ApiError {
    ApiError::bad_request("the request body broke off").code("invalid_body")
}

/// Returns the first error of type `E` in the chain of causes.
pub(crate) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let next = |error: &&'a (dyn Error + 'static)| (*error).source();
    std::iter::successors(Some(error), next).find_map(|error| error.downcast_ref())
}
