//! The door: finds out who makes a request, and lets it pass if she may.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use kit::http::{ApiError, Caller, Identity, Place, Role, peer};
use kit::page::{Html, escape};
use tokio::sync::watch;
use url::form_urlencoded;

use super::reception::Reception;
use super::sessions::{form_token, is_form_token};
use kit::http::Public;

/// The field that every form of a session carries; scripts may send it as a header instead.
const FORM_FIELD: &str = "csrf";
const FORM_HEADER: &str = "x-csrf-token";
/// Largest form, in bytes: as every body here.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// What a request must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing, or the handler asks for a token of its own.
    Nothing,
    /// What may read names and states.
    Names,
    /// What may read everything.
    Details,
    /// A role.
    Role(Role),
}

/// Open to everybody: whether the monitor itself works, badges, signing in, and what checks a permission of its own (a
/// heartbeat's token, a signed link).
const OPEN: [&str; 14] = [
    "/livez",
    "/readyz",
    "/ready",
    "/health",
    "/health/live",
    "/health/ready",
    "/login",
    "/logout",
    "/assets/{file}",
    "/api/v1/badges/{file}",
    "/api/v1/badges/{service}/{file}",
    "/api/v1/openapi.json",
    "/api/v1/heartbeat/{service}/{check}",
    "/incidents/{id}/acknowledge",
];
/// Say no more than names, states and what people wrote to whoever may see no more.
const NAMES: [&str; 5] = ["/", "/services", "/api/v1/status", "/api/v1/services/{name}", "/api/v1/events"];
/// Begins a question to the gate; changes nothing.
const ASKING: &str = "/api/v1/gate";
/// Other programs hand their alerts in here; those may nothing else.
const TAKING: &str = "/api/v2/alerts";
/// Who did what is the operators' business.
const OPERATORS: [&str; 2] = ["/audit", "/api/v1/audit"];

/// Returns what a route needs.
pub(super) fn need(method: &Method, path: &str) -> Need {
    let reads = is_safe(method) || path == ASKING;
    match path {
        path if OPEN.contains(&path) => Need::Nothing,
        TAKING if !reads => Need::Role(Role::Source),
        path if OPERATORS.contains(&path) || !reads => Need::Role(Role::Operator),
        path if NAMES.contains(&path) => Need::Names,
        _ => Need::Details,
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Who makes a request, and what she may see: for handlers, and for whoever makes pages.
#[derive(Debug, Clone)]
pub struct Visitor {
    pub(super) caller: Caller,
    /// The secret of her cookie, if that is how we know her.
    pub(super) session: Option<Arc<str>>,
    pub(super) sees_names: bool,
    pub(super) sees_details: bool,
    pub(super) can_sign_in: bool,
    /// Who is at the other end of the connection: she, or a proxy.
    pub(super) peer: Option<IpAddr>,
    /// Where she is.
    pub(super) address: Option<IpAddr>,
    pub(super) revoked: Option<watch::Receiver<()>>,
}

impl Default for Visitor {
    /// A stranger.
    fn default() -> Self {
        Self {
            caller: Caller::Stranger,
            session: None,
            sees_names: false,
            sees_details: false,
            can_sign_in: false,
            peer: None,
            address: None,
            revoked: None,
        }
    }
}

impl Visitor {
    /// Returns who it is, if we know.
    pub(in crate::export) fn identity(&self) -> Option<&Identity> {
        self.caller.identity()
    }

    /// Returns who it is, if she may do what this role may.
    pub(in crate::export) fn require(&self, role: Role) -> Result<&Identity, ApiError> {
        self.caller.require(role)
    }

    /// Returns whether she may do what this role may: for buttons and links.
    pub(in crate::export) fn is(&self, role: Role) -> bool {
        self.identity().is_some_and(|identity| identity.role.may(role))
    }

    /// Returns whether a stranger could sign in.
    pub(in crate::export) fn can_sign_in(&self) -> bool {
        self.can_sign_in
    }

    /// Returns whether she sees names and states.
    pub fn sees_names(&self) -> bool {
        self.sees_names
    }

    /// Returns whether she sees more than names and states.
    pub fn sees_details(&self) -> bool {
        self.sees_details
    }

    /// Returns the hidden field for forms; nothing for whoever has no session.
    pub(in crate::export) fn form_field(&self) -> Html {
        let field = self.session.as_deref().map(|secret| {
            let token = escape(&form_token(secret));
            format!(r#"<input type="hidden" name="{FORM_FIELD}" value="{token}">"#)
        });
        Html::of_escaped(field.unwrap_or_default())
    }

    /// Returns what the top of a page says of her.
    pub(in crate::export) fn on_page(&self) -> kit::page::Visitor {
        match self.identity() {
            Some(identity) => kit::page::Visitor::Known {
                name: identity.name.clone(),
                role: identity.role.as_str(),
                field: self.session.is_some().then(|| self.form_field()),
            },
            None if self.can_sign_in => kit::page::Visitor::Stranger,
            None => kit::page::Visitor::Anybody,
        }
    }

    /// Returns who is at the other end of the connection.
    pub(in crate::export) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Returns where she comes from, for the audit.
    pub(in crate::export) fn from(&self) -> String {
        self.address.map(|address| format!("from {address}")).unwrap_or_default()
    }

    /// Waits until somebody may have lost a permission: what is told live must be asked for anew.
    pub(in crate::export) async fn revoked(mut self) {
        match &mut self.revoked {
            // It ends with the monitor, and everything with it.
            Some(revoked) => drop(revoked.changed().await),
            None => std::future::pending().await,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Puts the door before every route of a router. Handlers get the [`Visitor`], and the [`Identity`] of whoever is known.
pub(in crate::export) fn guarded(router: Router, reception: Arc<Reception>) -> Router {
    router.layer(from_fn_with_state(reception, guard))
}

async fn guard(State(reception): State<Arc<Reception>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut visitor = reception.visitor(&parts.headers, peer(&parts.extensions));
    let mut body = body;
    if let Some(secret) = visitor.session.clone().filter(|_| !is_safe(&parts.method)) {
        match check_form(&parts.headers, body, &secret).await {
            Ok((whole, Ok(()))) => body = whole,
            Ok((whole, Err(why))) => {
                body = whole;
                (visitor.caller, visitor.session) = (Caller::Refused(why), None);
            }
            Err(error) => return error.into_response(),
        }
    }
    // What is nowhere is nobody's secret.
    let path = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    if let Some(path) = path
        && let Err(error) = admit(&visitor, need(&parts.method, &path), reception.public())
    {
        let can_sign_in = visitor.can_sign_in && visitor.caller == Caller::Stranger;
        return if can_sign_in && parts.method == Method::GET && is_browser(&parts.headers) {
            let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
            let next: String = form_urlencoded::byte_serialize(target.as_bytes()).collect();
            Redirect::to(&format!("/login?next={next}")).into_response()
        } else {
            error.into_response()
        };
    }
    if let Some(identity) = visitor.identity() {
        parts.extensions.insert(identity.clone());
    }
    parts.extensions.insert(visitor);
    next.run(Request::from_parts(parts, body)).await
}

fn admit(visitor: &Visitor, need: Need, public: Public) -> Result<(), ApiError> {
    let role = match need {
        Need::Nothing => return Ok(()),
        Need::Names if public >= Public::Names => return Ok(()),
        Need::Details if public >= Public::Details => return Ok(()),
        Need::Names | Need::Details => Role::Viewer,
        Need::Role(role) => role,
    };
    visitor.require(role).map(|_identity| ())
}

/// Returns whether a page is wanted.
pub(in crate::export) fn is_browser(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

/// A changing request of a session, and whether one of our own pages has made it; its body is given back whole.
async fn check_form(headers: &HeaderMap, body: Body, secret: &str) -> Result<(Body, Result<(), String>), ApiError> {
    if let Err(why) = Place::check_own_page(headers) {
        return Ok((body, Err(why)));
    }
    if !may_be_form(headers) {
        return Ok((body, Ok(())));
    }
    let whole = to_bytes(body, MAX_FORM_BYTES).await.map_err(|_too_large| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the form is too large").code("too_large")
    })?;
    let in_header = headers.get(FORM_HEADER).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let is_ours = in_header.or_else(|| field(&whole)).is_some_and(|given| is_form_token(secret, &given));
    let verdict = if is_ours { Ok(()) } else { Err("the form is not of this session; load the page again".to_owned()) };
    Ok((Body::from(whole), verdict))
}

/// Another site's form can send these types and no others (HTML, "form submission", `enctype`), or a request without one.
fn may_be_form(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(kind.as_str(), "" | "application/x-www-form-urlencoded" | "multipart/form-data" | "text/plain")
}

fn field(form: &Bytes) -> Option<String> {
    form_urlencoded::parse(form).find(|(name, _)| name == FORM_FIELD).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_nobody_thought_of_is_a_detail_to_read_and_an_operators_to_write() {
        for (method, path, expected) in [
            (Method::GET, "/livez", Need::Nothing),
            (Method::POST, "/login", Need::Nothing),
            (Method::POST, "/incidents/{id}/acknowledge", Need::Nothing),
            (Method::GET, "/", Need::Names),
            (Method::HEAD, "/api/v1/status", Need::Names),
            (Method::POST, "/api/v1/status", Need::Role(Role::Operator)),
            (Method::GET, "/metrics", Need::Details),
            (Method::GET, "/services/{name}", Need::Details),
            (Method::POST, "/api/v1/gate", Need::Details),
            (Method::POST, "/api/v2/alerts", Need::Role(Role::Source)),
            (Method::GET, "/api/v2/alerts", Need::Details),
            (Method::GET, "/api/v1/audit", Need::Role(Role::Operator)),
            (Method::GET, "/new", Need::Details),
            (Method::POST, "/new", Need::Role(Role::Operator)),
            (Method::DELETE, "/new", Need::Role(Role::Operator)),
        ] {
            assert_eq!(need(&method, path), expected, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn a_form_of_a_session_carries_its_token_and_keeps_its_body() {
        let (token, ours) = (form_token("secret"), ("sec-fetch-site", "same-origin"));
        let form = |token: &str| format!("a=b&csrf={token}");
        for (pairs, sent, is_ours) in [
            (vec![ours], form(&token), true),
            (vec![ours, ("content-type", "application/x-www-form-urlencoded; charset=utf-8")], form(&token), true),
            (vec![ours, ("x-csrf-token", token.as_str())], String::new(), true),
            (vec![ours], form("wrong"), false),
            (vec![ours, ("content-type", "text/plain")], String::new(), false),
            (vec![ours, ("content-type", "application/json")], "{}".to_owned(), true),
            (vec![], form(&token), false),
            (vec![("sec-fetch-site", "cross-site")], form(&token), false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &pairs {
                headers.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            let (body, verdict) = check_form(&headers, Body::from(sent.clone()), "secret").await.unwrap();
            assert_eq!(verdict.is_ok(), is_ours, "{pairs:?} {sent}");
            assert_eq!(to_bytes(body, 1024).await.unwrap(), sent.as_bytes());
        }
        let large = Body::from(vec![b'x'; MAX_FORM_BYTES + 1]);
        let headers = [(header::HeaderName::from_static("sec-fetch-site"), HeaderValue::from_static("same-origin"))];
        assert!(check_form(&headers.into_iter().collect(), large, "secret").await.is_err());
    }
}
