//! `/incidents/{id}/acknowledge`, where links in messages lead. Looking at it changes nothing, since mail scanners look
//! at every link; only the button acts.
//!
//! Who may press it: an operator who has signed in, or whoever holds the link and says her name. The link carries its own
//! permission, so that it works from a phone behind any proxy; under another host's name, or from another site's page, it
//! does not.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Form, Router};
use kit::http::{ApiError, Identity, Role, Via};
use kit::page::{Html, Tone, words};
use serde::Deserialize;
use uuid::Uuid;

use super::{Head, Moment, When, frame};
use crate::alert::Incident;
use crate::export::access::Reception;
use crate::export::alerts::answers::{audit_row, not_durable, short};
use crate::export::shared::Shared;

/// Longest name that is taken, in characters.
const MAX_NAME_CHARS: usize = 60;

#[derive(Template)]
#[template(path = "acknowledge.html")]
struct Acknowledge<'a> {
    tone: Tone,
    title: &'a str,
    opened: Option<When>,
    /// What is to be known instead of, or before, the form.
    said: String,
    wrong: &'a str,
    form: Option<AskedForm<'a>>,
}

struct AskedForm<'a> {
    token: &'a str,
    /// Who has signed in and may press the button as herself.
    operator: Option<&'a str>,
    name: &'a str,
    note: &'a str,
    field: Html,
}

#[derive(Debug, Default, Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

type Both = (Arc<Shared>, Arc<Reception>);

pub(super) fn router(shared: Arc<Shared>, reception: Arc<Reception>) -> Router {
    Router::new().route("/incidents/{id}/acknowledge", get(show).post(act)).with_state((shared, reception))
}

/// `GET`: shows, and changes nothing.
async fn show(
    State((shared, _)): State<Both>,
    Path(id): Path<Uuid>,
    Query(link): Query<Link>,
    moment: Moment,
) -> Result<Response, ApiError> {
    let asked = Asked { token: link.token, ..Asked::default() };
    if !shared.alerts.is_link_token(id, &asked.token) && !moment.visitor.is(Role::Operator) {
        return no_link(&moment);
    }
    form_or_end(&shared, id, &asked, "", &moment).await
}

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    note: String,
}

/// `POST`: acts.
async fn act(
    State((shared, reception)): State<Both>,
    Path(id): Path<Uuid>,
    moment: Moment,
    headers: HeaderMap,
    Form(asked): Form<Asked>,
) -> Result<Response, ApiError> {
    let has_link = shared.alerts.is_link_token(id, &asked.token);
    let who = match moment.visitor.require(Role::Operator) {
        Ok(operator) => operator.clone(),
        Err(error) if !has_link => return Err(error),
        Err(_not_an_operator) => {
            check_link(&reception, &headers)?;
            match named(&asked.name) {
                Some(who) => who,
                None => return form_or_end(&shared, id, &asked, "Say who you are.", &moment).await,
            }
        }
    };
    let note = short(&asked.note)?;
    let row = audit_row(&who, "incident.acknowledge", id, &note);
    let is_open = shared.alerts.acknowledge(id, &who.name, &note, row).await.map_err(not_durable)?;
    if is_open && moment.hand().field().is_some() {
        return Ok(Redirect::to(&format!("/incidents/{id}")).into_response());
    }
    if is_open {
        let title = shared.alerts.incident(id).await.ok().flatten().map(|incident| incident.title).unwrap_or_default();
        let said =
            format!("It is yours now, {}. Nobody is reminded until it has another cause or gets worse.", who.name);
        return answer(StatusCode::OK, Acknowledge::saying(Tone::Good, &title, said), &moment);
    }
    form_or_end(&shared, id, &asked, "", &moment).await
}

/// A link is pressed on our own page: whoever sends it from elsewhere is somebody else.
fn check_link(reception: &Reception, headers: &HeaderMap) -> Result<(), ApiError> {
    let from = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let checked = match from {
        Some("same-origin") | None => reception.access().place.check_link(headers),
        Some(_) => Err("Sec-Fetch-Site is another site".to_owned()),
    };
    checked.map_err(ApiError::forbidden)
}

/// Whoever holds the link, under the name that she gives; the audit says that it is not checked.
fn named(name: &str) -> Option<Identity> {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let name: Vec<&str> = name.split_whitespace().collect();
    let name = words::clip(&name.join(" "), MAX_NAME_CHARS);
    (!name.is_empty()).then(|| Identity { name: format!("{name} (link)"), role: Role::Viewer, via: Via::Link })
}

async fn form_or_end(
    shared: &Shared,
    id: Uuid,
    asked: &Asked,
    wrong: &str,
    moment: &Moment,
) -> Result<Response, ApiError> {
    let found = shared.alerts.incident(id).await.map_err(|error| ApiError::internal(&error))?;
    let Some(incident) = found else {
        let said = "It is so long over that it is not on record any more. There is nothing left to do.".to_owned();
        return answer(StatusCode::GONE, Acknowledge::saying(Tone::Off, "This incident is over", said), moment);
    };
    if let Some(end) = &incident.resolved {
        let said =
            format!("It is over: {}, {}. There is nothing left to do.", end.how.words(), moment.when(end.at).full);
        return answer(StatusCode::GONE, Acknowledge::saying(Tone::Good, &incident.title, said), moment);
    }
    let visitor = &moment.visitor;
    let operator = visitor.identity().filter(|_| visitor.is(Role::Operator)).map(|who| who.name.as_str());
    let form =
        AskedForm { token: &asked.token, operator, name: &asked.name, note: &asked.note, field: visitor.form_field() };
    let view = Acknowledge {
        tone: Tone::Bad,
        title: &incident.title,
        opened: Some(moment.when(incident.opened)),
        said: taken(&incident, moment),
        wrong,
        form: Some(form),
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    answer(status, view, moment)
}

fn taken(incident: &Incident, moment: &Moment) -> String {
    let say = |by: &str, at| format!("{by} has taken it, {}. You can take it over.", moment.when(at).full);
    incident.acknowledged.as_ref().map(|taken| say(&taken.by, taken.at)).unwrap_or_default()
}

/// Says nothing of what there is.
fn no_link(moment: &Moment) -> Result<Response, ApiError> {
    let said = "Parts of it may be missing: take the whole address from the message, or sign in as an operator.";
    let view = Acknowledge::saying(Tone::Blind, "This link is not right", said.to_owned());
    answer(StatusCode::FORBIDDEN, view, moment)
}

impl<'a> Acknowledge<'a> {
    fn saying(tone: Tone, title: &'a str, said: String) -> Self {
        Self { tone, title, opened: None, said, wrong: "", form: None }
    }
}

fn answer(status: StatusCode, view: Acknowledge<'_>, moment: &Moment) -> Result<Response, ApiError> {
    let head = Head { status, path: "", title: "acknowledge".to_owned(), tone: view.tone };
    let mut page = frame(head, view.render(), moment)?;
    page.events = None;
    let mut response = page.into_response();
    // The address holds the link's token: no search engine of an intranet is to keep it.
    response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_person_typed_and_is_marked_as_such() {
        for (typed, name) in [
            ("ada", Some("ada (link)")),
            ("  Ada\tLovelace\r\n", Some("Ada Lovelace (link)")),
            ("", None),
            (" \u{0} \n", None),
        ] {
            assert_eq!(named(typed).map(|who| who.name).as_deref(), name, "{typed:?}");
        }
        let long = named(&"x".repeat(500)).unwrap().name;
        assert!(long.chars().count() <= MAX_NAME_CHARS + " (link)".len() + 1, "{long}");
    }
}
