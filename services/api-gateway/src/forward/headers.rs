//! Which headers cross the gateway, and which are made anew.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use kit::http::{API_KEY, REQUEST_ID, RequestIds, TRACE_ID, trace_of};
use kit::trace::{Context, TRACEPARENT};

use crate::app::SERVICE;
use crate::gate::{Caller, Origin};

/// Headers of one connection only (RFC 9110 section 7.6.1), with those of RFC 2616 section 13.5.1 that older peers
/// send; `Connection` names further ones.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];
/// Headers of a request that are not taken from the client: keys and addresses it could forge, and what the next
/// connection decides by itself (`Host`, the length that frames the body, `Expect`).
const NOT_FROM_CLIENTS: [HeaderName; 10] = [
    API_KEY,
    USER_ID,
    TENANT_ID,
    USER_ROLE,
    HeaderName::from_static("x-internal-api-key"),
    HeaderName::from_static("x-real-ip"),
    header::FORWARDED,
    header::HOST,
    header::CONTENT_LENGTH,
    header::EXPECT,
];
/// Whom a request is made for, as services read it.
const USER_ID: HeaderName = HeaderName::from_static("x-user-id");
const TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");
const USER_ROLE: HeaderName = HeaderName::from_static("x-user-role");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Removes the headers that belong to one connection.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let lists: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    for name in lists.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b',')) {
        if let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Returns the headers to send on for the client's request `head`.
pub(crate) fn for_upstream(head: &Parts) -> HeaderMap {
    let mut headers = head.headers.clone();
    strip_hop_by_hop(&mut headers);
    for name in NOT_FROM_CLIENTS {
        headers.remove(name);
    }
    let forged: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-forwarded-")).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
    add_origin(&mut headers, head);
    if let Some(ids) = head.extensions.get::<RequestIds>() {
        headers.insert(REQUEST_ID, ids.request.clone());
        headers.insert(TRACE_ID, ids.trace.clone());
        if !headers.contains_key(TRACEPARENT)
            && let Some(parent) = parent_of(&ids.trace)
        {
            headers.insert(TRACEPARENT, parent);
        }
    }
    add_user(&mut headers, head);
    // RFC 9110 section 7.6.3: a gateway adds itself to requests.
    if let Ok(via) = HeaderValue::try_from(format!("1.1 {SERVICE}")) {
        headers.append(header::VIA, via);
    }
    headers
}

/// Says who asked, how, and for which host, as far as we see it ourselves.
fn add_origin(headers: &mut HeaderMap, head: &Parts) {
    let origin = head.extensions.get::<Origin>();
    let is_https = origin.is_some_and(|origin| origin.is_https);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if is_https { "https" } else { "http" }));
    if let Some(client) = origin.and_then(|origin| origin.address)
        && let Ok(client) = HeaderValue::try_from(client.to_string())
    {
        headers.insert(FORWARDED_FOR, client);
    }
    // HTTP/2 has no Host but an authority.
    let authority = || head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = head.headers.get(header::HOST).cloned().or_else(authority) {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// Says whom the request is made for, if that was found out here.
fn add_user(headers: &mut HeaderMap, head: &Parts) {
    let Some(Caller::User(user)) = head.extensions.get() else { return };
    let named = [(USER_ID, Some(&user.id)), (TENANT_ID, user.tenant_id.as_ref()), (USER_ROLE, Some(&user.role))];
    for (name, text) in named {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(name, value);
        }
    }
}

/// Returns a `traceparent` for a trace id that is a UUID, which has as many bits.
fn parent_of(trace: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::try_from(Context::root(Some(trace_of(trace)?), true).traceparent()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_connection_and_those_it_names_are_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("connection", "x-other ,, not a name"),
            ("x-mine", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("x-stays", "3"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-stays"]);
    }
}
