//! `/login` and `/logout`: a person shows her token once, and gets a cookie for it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use kit::http::{ApiError, Role};
use kit::page::Tone;
use serde::Deserialize;

use super::{Head, Moment, frame};
use crate::export::access::{Reception, Refusal};

/// The same for every token that is not right, whatever is wrong with it.
const NOT_KNOWN: &str = "This token is not known here.";
/// For whoever has such a token to hand.
const OF_A_PROGRAM: &str = "This token lets a program post alerts; nobody can sign in with it.";

pub(super) fn router(reception: Arc<Reception>) -> Router {
    Router::new().route("/login", get(show).post(sign_in)).route("/logout", post(sign_out)).with_state(reception)
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    wrong: &'a str,
    next: &'a str,
    /// Who has signed in already.
    name: Option<&'a str>,
    /// Whether anybody could.
    has_tokens: bool,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default)]
    next: String,
}

async fn show(State(reception): State<Arc<Reception>>, Query(wanted): Query<Wanted>, moment: Moment) -> Response {
    page(&reception, StatusCode::OK, "", &wanted.next, &moment)
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

async fn sign_in(
    State(reception): State<Arc<Reception>>,
    moment: Moment,
    headers: HeaderMap,
    Form(shown): Form<Shown>,
) -> Response {
    match reception.sign_in(&shown.token, &headers, moment.visitor.peer()) {
        Ok(cookie) => with_cookie(Redirect::to(own_path(&shown.next)), &cookie),
        Err(Refusal::Place(why)) => ApiError::forbidden(why).into_response(),
        Err(Refusal::Unknown) => page(&reception, StatusCode::UNAUTHORIZED, NOT_KNOWN, &shown.next, &moment),
        Err(Refusal::Program) => page(&reception, StatusCode::FORBIDDEN, OF_A_PROGRAM, &shown.next, &moment),
        Err(Refusal::TooMany(wait)) => {
            let secs = wait.as_secs() + 1;
            let said = format!("Too many tries from here. Wait {secs} s.");
            let mut response = page(&reception, StatusCode::TOO_MANY_REQUESTS, &said, &shown.next, &moment);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
            response
        }
    }
}

async fn sign_out(State(reception): State<Arc<Reception>>, moment: Moment) -> Result<Response, ApiError> {
    let who = moment.visitor.require(Role::Viewer)?;
    let cookie = reception.sign_out(who, &moment.visitor).await;
    Ok(with_cookie(Redirect::to("/"), &cookie))
}

fn with_cookie(redirect: Redirect, cookie: &str) -> Response {
    let mut response = redirect.into_response();
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// A path of ours, and nowhere else: browsers take `//host` and `/\host` for another site (WHATWG URL, "relative slash
/// state").
fn own_path(next: &str) -> &str {
    let is_own = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if is_own && next.is_ascii() { next } else { "/" }
}

fn page(reception: &Reception, status: StatusCode, wrong: &str, next: &str, moment: &Moment) -> Response {
    let name = moment.visitor.identity().map(|identity| identity.name.as_str());
    let has_tokens = !reception.access().credentials.is_empty();
    let view = Login { wrong, next: own_path(next), name, has_tokens };
    let head = Head { status, path: "/login", title: "sign in".to_owned(), tone: Tone::Off };
    let page = frame(head, view.render(), moment).map(|mut page| {
        page.events = None;
        page
    });
    page.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_our_own_pages_only() {
        for (next, expected) in [
            ("/audit?limit=3", "/audit?limit=3"),
            ("", "/"),
            ("//evil.example/", "/"),
            ("/\\evil.example/", "/"),
            ("/\t/evil.example/", "/"),
            ("https://evil.example/", "/"),
            ("/ä", "/"),
        ] {
            assert_eq!(own_path(next), expected, "{next:?}");
        }
    }
}
