//! The status page: server-rendered, whole without a script, fresh over live events with one.
//!
//! It shows targets, addresses and process ids to whoever may see details; to others names, states and human text.

mod acknowledge;
mod action;
mod alerting;
mod audit;
mod check;
mod findings;
mod headline;
mod healing;
mod incident;
mod incidents;
mod login;
mod overview;
mod past;
mod refused;
mod service;
mod state;
mod telling;
mod workload;

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::clock::{Stamp, elapsed};
use kit::config::suggest;
use kit::http::{ApiError, Role};
use kit::page::{Html, Link, Page, Tone, words};
use serde::Deserialize;
use uuid::Uuid;

pub(super) use past::{Past, today_ms};
pub(super) use refused::with_refusals;
pub(super) use state::{of_verdict, spoken};

use self::findings::Findings;
use super::access::{Reception, Visitor, is_browser};
use super::alerts::incidents::find;
use super::findings::FindingsQuery;
use super::program::Program;
use super::shared::Shared;

/// Returns the pages' routes.
pub(super) fn router(shared: Arc<Shared>, reception: Arc<Reception>) -> Router {
    let pages = Router::new()
        .route("/", get(get_overview))
        .route("/services", get(async || Redirect::permanent("/")))
        .route("/services/{name}", get(get_service))
        .route("/incidents", get(get_incidents))
        .route("/incidents/{id}", get(get_incident))
        .route("/alerts", get(get_alerts))
        .route("/findings", get(get_findings))
        .route("/audit", get(audit::show))
        .with_state(shared.clone());
    let forms = login::router(reception.clone())
        .merge(action::router(shared.clone()))
        .merge(acknowledge::router(shared.clone(), reception));
    kit::page::with_assets(pages.merge(forms).layer(from_fn_with_state(shared, findings::counted)))
}

async fn get_overview(State(shared): State<Arc<Shared>>, moment: Moment) -> Response {
    let (view, tone, title) = overview::view(&shared, &moment).await;
    frame(Head { status: StatusCode::OK, path: "/", title, tone }, view.render(), &moment).into_response()
}

#[derive(Debug, Deserialize)]
struct ServiceQuery {
    back: Option<String>,
}

async fn get_service(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<ServiceQuery>,
    moment: Moment,
    headers: HeaderMap,
) -> Response {
    let range = check::Range::of_query(query.back.as_deref());
    match service::view(&shared, &name, range, &moment).await {
        Some((view, tone, title)) => {
            frame(Head { status: StatusCode::OK, path: "/services", title, tone }, view.render(), &moment)
                .into_response()
        }
        None => no_service(&shared, &name, &headers, &moment),
    }
}

async fn get_incidents(
    State(shared): State<Arc<Shared>>,
    Query(wanted): Query<incidents::Wanted>,
    moment: Moment,
) -> Response {
    let (view, tone, title) = incidents::view(&shared, wanted, &moment).await;
    frame(Head { status: StatusCode::OK, path: "/incidents", title, tone }, view.render(), &moment).into_response()
}

async fn get_incident(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    moment: Moment,
    headers: HeaderMap,
) -> Response {
    let answer = match id.parse::<Uuid>() {
        Ok(id) => find(&shared, id).await,
        Err(_no_id) => Ok(None),
    };
    match answer {
        Ok(Some(answer)) => {
            let (view, tone, title) = incident::view(&shared, answer, &moment);
            frame(Head { status: StatusCode::OK, path: "", title, tone }, view.render(), &moment).into_response()
        }
        Ok(None) if is_browser(&headers) => no_incident(&moment),
        Ok(None) => ApiError::not_found(format!("there is no incident {id:?}")).code("no_incident").into_response(),
        Err(error) => error.into_response(),
    }
}

#[derive(Template)]
#[template(path = "no_incident.html")]
struct NoIncident {
    mark: Html,
}

fn no_incident(moment: &Moment) -> Response {
    let head =
        Head { status: StatusCode::NOT_FOUND, path: "", title: "no such incident".to_owned(), tone: Tone::Blind };
    frame(head, NoIncident { mark: Tone::Blind.mark() }.render(), moment).into_response()
}

async fn get_alerts(State(shared): State<Arc<Shared>>, moment: Moment) -> Response {
    let (view, tone, title) = alerting::view(&shared, &moment).await;
    frame(Head { status: StatusCode::OK, path: "/alerts", title, tone }, view.render(), &moment).into_response()
}

async fn get_findings(
    State(shared): State<Arc<Shared>>,
    Query(wanted): Query<FindingsQuery>,
    moment: Moment,
) -> Response {
    let (view, tone, title) = findings::view(&shared, wanted, &moment);
    frame(Head { status: StatusCode::OK, path: "/findings", title, tone }, view.render(), &moment).into_response()
}

#[derive(Template)]
#[template(path = "not_found.html")]
struct NotFound<'a> {
    name: &'a str,
    near: &'a str,
    mark: Html,
}

fn no_service(shared: &Shared, name: &str, headers: &HeaderMap, moment: &Moment) -> Response {
    if !is_browser(headers) {
        return ApiError::not_found(format!("there is no service {name:?}")).code("no_service").into_response();
    }
    let catalogue = shared.catalogue.load();
    let near = suggest(name, catalogue.services.iter().map(|card| &*card.name));
    let near = near.split('"').nth(1).unwrap_or_default();
    let view = NotFound { name, near, mark: Tone::Blind.mark() };
    let title = "no such service".to_owned();
    let head = Head { status: StatusCode::NOT_FOUND, path: "", title, tone: Tone::Blind };
    frame(head, view.render(), moment).into_response()
}

/// What the frame must know of its page.
struct Head {
    status: StatusCode,
    path: &'static str,
    title: String,
    tone: Tone,
}

/// Puts a view into the frame of every page.
fn frame(head: Head, main: Result<String, askama::Error>, moment: &Moment) -> Result<Page, ApiError> {
    let main = Html::of_escaped(main.map_err(|error| ApiError::internal(&error))?);
    let link = |name, path| Link { name, path, is_here: path == head.path, count: None };
    let mut links = vec![link("Status", "/")];
    if moment.visitor.sees_details() {
        let found = moment.findings.map(|Findings(count, tone)| (count, tone)).filter(|(count, _)| *count > 0);
        let findings = Link { count: found, ..link("Findings", "/findings") };
        links.extend([link("Incidents", "/incidents"), link("Alerts", "/alerts"), findings]);
    }
    links.extend([link("JSON", "/api/v1/status"), link("Metrics", "/metrics")]);
    if moment.visitor.is(Role::Operator) {
        links.push(link("Audit", "/audit"));
    }
    Ok(Page {
        status: head.status,
        program: moment.program.name,
        version: moment.program.version,
        links,
        visitor: moment.visitor.on_page(),
        title: format!("{} – {}", head.title, moment.program.name),
        tone: head.tone,
        is_written_on: moment.hand().field().is_some(),
        events: (head.status == StatusCode::OK).then_some("/api/v1/events"),
        main,
        made: moment.now.wall,
        zone: moment.zone.clone(),
    })
}

/// When and where a page is made, and for whom.
pub(super) struct Moment {
    pub(super) now: Stamp,
    pub(super) zone: TimeZone,
    pub(super) visitor: Visitor,
    /// Whose page it is.
    program: Program,
    /// How much there is to be mended, where that was counted.
    findings: Option<Findings>,
}

impl<S: Sync> FromRequestParts<S> for Moment {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let visitor = Visitor::from_request_parts(parts, state).await?;
        let findings = parts.extensions.get::<Findings>().copied();
        let program = program_of(&parts.extensions);
        Ok(Self { now: Stamp::now(), zone: TimeZone::system(), visitor, program, findings })
    }
}

/// Whose page is asked for: the engine says so with each request.
fn program_of(extensions: &Extensions) -> Program {
    extensions.get().copied().unwrap_or(Program::MONITOR)
}

/// What the person who looks may do beside that.
pub(super) enum Hand {
    /// Nothing, and she could not sign in.
    Still,
    /// She has not signed in.
    Strange,
    /// She has, but may only look.
    Looks,
    /// She may act; every form carries this field.
    Acts(Html),
}

impl Hand {
    /// Returns the hidden field of forms, if she may act.
    pub(super) fn field(&self) -> Option<&Html> {
        match self {
            Self::Acts(field) => Some(field),
            Self::Still | Self::Strange | Self::Looks => None,
        }
    }
}

impl Moment {
    /// Returns what the person who looks may do.
    pub(super) fn hand(&self) -> Hand {
        let field = self.visitor.form_field();
        match self.visitor.identity() {
            // Without a session there is nothing that a form could carry.
            Some(_) if field.as_str().is_empty() => Hand::Still,
            Some(_) if self.visitor.is(Role::Operator) => Hand::Acts(field),
            Some(_) => Hand::Looks,
            None if self.visitor.can_sign_in() => Hand::Strange,
            None => Hand::Still,
        }
    }

    /// How a past time is shown.
    fn when(&self, at: Timestamp) -> When {
        let ago = elapsed(at, self.now.wall);
        When {
            machine: at.to_string(),
            full: words::time(at, &self.zone),
            short: words::short_time(at, &self.zone),
            clock: self.clock(at),
            ago: words::length(Duration::from_secs(ago.as_secs())),
        }
    }

    /// How a time to come is shown.
    fn ahead(&self, at: Timestamp) -> Ahead {
        Ahead { machine: at.to_string(), full: words::time(at, &self.zone), clock: self.clock(at), left: self.left(at) }
    }

    /// Says how far ahead a time is: `in 12 s`.
    fn left(&self, at: Timestamp) -> String {
        match elapsed(self.now.wall, at).as_secs() {
            0 => "now".to_owned(),
            secs => format!("in {}", words::length(Duration::from_secs(secs))),
        }
    }

    /// The day goes without saying if it is today.
    fn clock(&self, at: Timestamp) -> String {
        let day = |at: Timestamp| at.to_zoned(self.zone.clone()).date();
        let clock = words::clock(at, &self.zone);
        if day(at) == day(self.now.wall) { clock } else { format!("{} {clock}", words::day(at, &self.zone)) }
    }
}

/// A time as people and programs read it.
#[derive(Debug, Clone)]
pub(super) struct When {
    machine: String,
    full: String,
    short: String,
    /// To the minute, with the day only if it is another one.
    clock: String,
    ago: String,
}

/// A time to come as people and programs read it.
#[derive(Debug, Clone)]
pub(super) struct Ahead {
    machine: String,
    full: String,
    clock: String,
    left: String,
}
