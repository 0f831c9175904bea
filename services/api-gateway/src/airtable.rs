//! `ANY /api/airtable/{path}`: the way to the Airtable gateway, for clients with the right key.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use kit::http::{ApiError, ServiceKey};

use crate::forward::Forward;
use crate::percent;
use crate::settings::Settings;

/// What comes before the path that is handed on.
const PREFIX: &str = "/api/airtable";

/// The route `/api/airtable/{path}`.
pub(crate) fn routes(settings: Settings) -> Router {
    let key = ServiceKey::new(&settings.api_key);
    let forward =
        Forward::new(settings.airtable_gateway, &settings.airtable_gateway_api_key, settings.upstream_timeout);
    let route = format!("{PREFIX}/{{*path}}");
    Router::new().route(&route, any(handle)).with_state(Arc::new(Airtable { key, forward }))
}

struct Airtable {
    key: ServiceKey,
    forward: Forward,
}

async fn handle(State(airtable): State<Arc<Airtable>>, request: Request) -> Result<Response, ApiError> {
    airtable.key.admit(request.headers())?;
    // TRACE would send our own key back to the client (RFC 9110 section 9.3.8); CONNECT asks for a tunnel.
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        let message = format!("{} is not allowed here", request.method());
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed"));
    }
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    if !stays_below(path) {
        let message = "the path must not leave its place: no \"..\", no empty start, no control characters";
        return Err(ApiError::bad_request(message).code("invalid_path").path(request.uri().path()));
    }
    let path_and_query = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    airtable.forward.send(&path_and_query, request).await
}

/// Decides whether every server that we know of would look for `path`, which starts with a slash, below its root.
///
/// Servers differ in how often they decode and in what parts segments, so `path` must be harmless as it is and after
/// each round of decoding, with backslashes taken for slashes and parameters (`;x`) cut off. An encoded slash inside a
/// segment is allowed: names of Airtable's tables contain it.
fn stays_below(path: &str) -> bool {
    let mut form = path.as_bytes().to_vec();
    loop {
        if !is_harmless(&form) {
            return false;
        }
        let decoded = percent::decode(&form);
        if decoded == form {
            return true;
        }
        form = decoded;
    }
}

fn is_harmless(form: &[u8]) -> bool {
    let parts_segments = |byte: &u8| matches!(byte, b'/' | b'\\');
    let name = |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec();
    let has_dots = form.split(parts_segments).any(|segment| matches!(name(segment).as_slice(), b"." | b".."));
    // "//host/path" is a reference to another host (RFC 3986 section 4.2).
    let leaves_root = form.get(1).is_some_and(parts_segments);
    let is_text = std::str::from_utf8(form).is_ok() && !form.iter().any(u8::is_ascii_control);
    is_text && !has_dots && !leaves_root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_their_place_are_refused_in_every_disguise() {
        for path in [
            "/..",
            "/../admin",
            "/a/../../b",
            "/a/..",
            "/./a",
            "/%2e%2e/admin",
            "/%2E./a",
            "/.%2e/a",
            "/a/%2e%2e%2fb",
            "/..%2fadmin",
            "/a%2f..%2fb",
            "/..%5cadmin",
            "/..\\admin",
            "/%252e%252e/a",
            "/%25252e%25252e/a",
            "/..;x/a",
            "/..%3bx/a",
            "//host/a",
            "/%2fhost",
            "/\\host",
            "/%5chost",
            "/a%00b",
            "/a%0d%0ab",
            "/%c0%ae%c0%ae/a",
        ] {
            assert!(!stays_below(path), "{path}");
        }
    }

    #[test]
    fn ordinary_paths_pass() {
        for path in [
            "/",
            "/bases",
            "/bases/",
            "/v0/app1/Table%20One",
            "/v0/app1/Sales%20%2F%20Marketing",
            "/a..b/...",
            "/a.b",
            "/100%25",
            "/a;v=1/b",
            "/%C3%A9t%C3%A9",
            "/a//b",
        ] {
            assert!(stays_below(path), "{path}");
        }
    }
}
