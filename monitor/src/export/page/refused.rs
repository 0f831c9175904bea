//! Shows as a page why a form was refused: whoever pressed a button is not to read JSON. Programs still get that.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use kit::clock::Stamp;
use kit::http::{ErrorMessage, peer};
use kit::page::{Html, Tone};

use super::{Head, Moment, frame, program_of};
use crate::export::access::{Reception, is_browser};

/// What is said of a form that no page of ours has made.
const NOT_READ: &str = "The form could not be read; load its page again.";
const NOT_SIGNED_IN: &str = "You are not signed in, or not any more.";

#[derive(Template)]
#[template(path = "refused.html")]
struct Refused<'a> {
    heading: &'a str,
    said: &'a str,
    must_sign_in: bool,
    mark: Html,
}

/// Has the refusals of a router's forms shown as pages. It goes around the door, which refuses some of them.
pub(in crate::export) fn with_refusals(router: Router, reception: Arc<Reception>) -> Router {
    router.layer(from_fn_with_state(reception, show))
}

async fn show(State(reception): State<Arc<Reception>>, request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    if is_api || request.method() != Method::POST || !is_browser(request.headers()) {
        return next.run(request).await;
    }
    let visitor = reception.visitor(request.headers(), peer(request.extensions()));
    let program = program_of(request.extensions());
    let response = next.run(request).await;
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if !is_error || is_page(&response) {
        return response;
    }
    page(&response, &Moment { now: Stamp::now(), zone: TimeZone::system(), visitor, program, findings: None })
}

fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/html"))
}

fn page(response: &Response, moment: &Moment) -> Response {
    let status = response.status();
    let must_sign_in = status == StatusCode::UNAUTHORIZED && moment.visitor.can_sign_in();
    let said = match response.extensions().get::<ErrorMessage>() {
        // What it says is for programs: which header to send.
        Some(_) if must_sign_in => NOT_SIGNED_IN,
        Some(ErrorMessage(message)) => message,
        None => NOT_READ,
    };
    let heading = if status.is_client_error() { "That was refused" } else { "That did not work" };
    let view = Refused { heading, said, must_sign_in, mark: Tone::Blind.mark() };
    let head = Head { status, path: "", title: "refused".to_owned(), tone: Tone::Blind };
    frame(head, view.render(), moment).into_response()
}
