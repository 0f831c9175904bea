//! Badges for READMEs and dashboards, as pictures and as shields.io reads them. `overall` is the whole, so a service of
//! that name has no badge of its own.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use kit::http::ApiError;
use kit::page::{Badge, Tone, shields, words};
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::{Past, of_verdict, spoken, today_ms};
use super::shared::Shared;
use super::status::overall;

const OVERALL: &str = "overall";

/// Returns the badges' routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/badges/{file}", get(state))
        .route("/api/v1/badges/{service}/{file}", get(uptime))
        .with_state(shared)
}

/// `GET /api/v1/badges/{service}.svg` and `.json`
#[utoipa::path(get, path = "/api/v1/badges/{file}", tag = "badges",
    params(("file" = String, Path, description = "SERVICE.svg, SERVICE.json (shields.io), overall.svg or overall.json")),
    responses((status = 200, description = "the badge"), (status = 404, description = "no such service")))]
pub(super) async fn state(State(shared): State<Arc<Shared>>, Path(file): Path<String>) -> Response {
    let Some((name, form)) = Form::of_file(&file) else { return no_form(&file) };
    form.answer(if name == OVERALL { Some(whole(&shared)) } else { service(&shared, name) }, name)
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct UptimeQuery {
    /// How many days; 1 to 90, default 30.
    days: Option<usize>,
}

/// `GET /api/v1/badges/{service}/uptime.svg?days=30` and `.json`
#[utoipa::path(get, path = "/api/v1/badges/{service}/{file}", tag = "badges",
    params(("service" = String, Path), ("file" = String, Path, description = "uptime.svg or uptime.json"), UptimeQuery),
    responses((status = 200, description = "the badge"), (status = 404, description = "no such service")))]
pub(super) async fn uptime(
    State(shared): State<Arc<Shared>>,
    Path((service, file)): Path<(String, String)>,
    Query(query): Query<UptimeQuery>,
) -> Response {
    let Some(("uptime", form)) = Form::of_file(&file) else { return no_form(&file) };
    let days = query.days.unwrap_or(30).clamp(1, 90);
    let is_known = shared.catalogue.load().service(&service).is_some();
    let badge = is_known.then(|| {
        let past = Past::of(&shared.stores.history.days(&service), today_ms(Timestamp::now()));
        let share = past.availability(days);
        // The usual steps of objectives: three nines, two nines.
        let tone = match share {
            None => Tone::Blind,
            Some(share) if share >= 0.999 => Tone::Good,
            Some(share) if share >= 0.99 => Tone::Warn,
            Some(_) => Tone::Bad,
        };
        let message = share.map_or_else(|| "no data".to_owned(), words::share);
        Badge { label: format!("{service} {days} d"), message, tone }
    });
    form.answer(badge, &service)
}

fn whole(shared: &Shared) -> Badge {
    let catalogue = shared.catalogue.load();
    let (word, _) = overall(&shared.board(), &catalogue);
    let tone = match word {
        "up" => Tone::Good,
        "degraded" => Tone::Warn,
        "down" => Tone::Bad,
        _ => Tone::Blind,
    };
    Badge { label: "status".to_owned(), message: word.to_owned(), tone }
}

fn service(shared: &Shared, name: &str) -> Option<Badge> {
    let verdict = shared.board().service(name)?.verdict;
    Some(Badge { label: name.to_owned(), message: spoken(verdict.as_str()), tone: of_verdict(verdict) })
}

/// As what a badge is wanted.
#[derive(Debug, Clone, Copy)]
enum Form {
    Picture,
    Shields,
}

impl Form {
    fn of_file(file: &str) -> Option<(&str, Self)> {
        let picture = file.strip_suffix(".svg").map(|name| (name, Self::Picture));
        picture.or_else(|| file.strip_suffix(".json").map(|name| (name, Self::Shields)))
    }

    fn answer(self, badge: Option<Badge>, name: &str) -> Response {
        // A README's proxy must not keep yesterday's state.
        let fresh = (header::CACHE_CONTROL, "no-cache, max-age=0");
        let status = if badge.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        match (self, badge) {
            (Self::Picture, badge) => {
                let missing = || Badge { label: name.to_owned(), message: "not found".to_owned(), tone: Tone::Off };
                let headers =
                    [fresh, (header::CONTENT_TYPE, "image/svg+xml"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
                (status, headers, badge.unwrap_or_else(missing).to_svg().to_string()).into_response()
            }
            (Self::Shields, Some(badge)) => ([fresh], Json(shields(&badge))).into_response(),
            (Self::Shields, None) => {
                ApiError::not_found(format!("there is no service {name:?}")).code("no_service").into_response()
            }
        }
    }
}

fn no_form(file: &str) -> Response {
    let message = format!("there is no badge {file:?}; ask for .svg or .json");
    ApiError::not_found(message).code("no_badge").into_response()
}
