//! Incidents, silences, maintenance and deliveries over HTTP: what is wrong, who was told, and what people do about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use kit::clock::{elapsed, later};
use kit::config::{parse_duration, suggest};
use kit::http::{ApiError, Identity};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::shared::Shared;
use crate::alert::{Delivery, DeliveryState, Event, Incident, Matcher, OnceWindow, Silence};
use crate::record::{AuditRow, DeliveryQuery, IncidentQuery, StoreError};

/// Longest comment or note that is kept, in characters.
const MAX_COMMENT_CHARS: usize = 500;
/// Longest silence or window: a year; what is to be quiet for longer is not to be watched.
const MAX_LENGTH: Duration = Duration::from_secs(366 * 86_400);
/// Matchers of one silence, at most.
const MAX_MATCHERS: usize = 32;

/// Returns the routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/incidents", get(list))
        .route("/api/v1/incidents/{id}", get(show))
        .route("/api/v1/silences", get(silences))
        .route("/api/v1/maintenance", get(maintenance))
        .route("/api/v1/deliveries", get(deliveries))
        .route("/api/v1/channels", get(channels))
        .route("/api/v1/drill", get(last_drill))
        .route("/api/v1/route-test", get(route_test))
        .route("/api/v1/incidents/{id}/acknowledge", post(acknowledge))
        .route("/api/v1/incidents/{id}/close", post(close))
        .route("/api/v1/silences", post(silence))
        .route("/api/v1/silences/{id}", delete(end_silence))
        .route("/api/v1/maintenance", post(begin_maintenance))
        .route("/api/v1/maintenance/{id}", delete(end_maintenance))
        .route("/api/v1/deliveries/{incident}/{event}/{channel}/retry", post(retry))
        .route("/api/v1/channels/{name}/test", post(test_channel))
        .route("/api/v1/drill", post(drill))
        .route("/api/v1/audit", get(audit))
        .with_state(shared)
}

/// Which incidents.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct ListQuery {
    /// Only open ones.
    #[serde(default)]
    open: bool,
    /// Only about this service.
    service: Option<String>,
    /// Only those that opened before this time (RFC 3339): for the next page.
    #[param(value_type = Option<String>)]
    before: Option<Timestamp>,
    /// At most so many; 1 to 1000, default 100.
    limit: Option<u32>,
}

/// `GET /api/v1/incidents`
#[utoipa::path(get, path = "/api/v1/incidents", params(ListQuery), tag = "alerts",
    responses((status = 200, description = "incidents, newest first")))]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<Incident>>, ApiError> {
    if query.open {
        let mut open: Vec<Incident> = shared.alerts.desk().open().cloned().collect();
        open.retain(|incident| query.service.is_none() || incident.service == query.service);
        open.sort_by_key(|incident| std::cmp::Reverse(incident.opened));
        return Ok(Json(open));
    }
    let wanted = IncidentQuery {
        service: query.service,
        before_ms: query.before.map(Timestamp::as_millisecond),
        limit: query.limit.unwrap_or(100).clamp(1, 1000),
        ..IncidentQuery::default()
    };
    let bodies = shared.stores.state.store().incidents(&wanted).await.map_err(unreadable)?;
    Ok(Json(parse(&bodies)))
}

/// One incident, its timeline and who was told.
#[derive(Debug, Serialize)]
pub(super) struct IncidentAnswer {
    #[serde(flatten)]
    pub(super) incident: Incident,
    pub(super) events: Vec<Event>,
    pub(super) deliveries: Vec<Delivery>,
}

/// `GET /api/v1/incidents/{id}`
#[utoipa::path(get, path = "/api/v1/incidents/{id}", params(("id" = String, Path)), tag = "alerts",
    responses((status = 200, description = "the incident, its timeline and its deliveries"), (status = 404, description = "no such incident")))]
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<Uuid>,
) -> Result<Json<IncidentAnswer>, ApiError> {
    find(&shared, id).await?.map(Json).ok_or_else(|| no_incident(id))
}

/// Reads all there is of an incident; none if there is no such incident.
pub(super) async fn find(shared: &Shared, id: Uuid) -> Result<Option<IncidentAnswer>, ApiError> {
    let Some(incident) = shared.alerts.incident(id).await.map_err(unreadable)? else { return Ok(None) };
    let store = shared.stores.state.store();
    let events = parse(&store.events(id).await.map_err(unreadable)?);
    let deliveries = parse(&store.deliveries(&DeliveryQuery::Of(id)).await.map_err(unreadable)?);
    Ok(Some(IncidentAnswer { incident, events, deliveries }))
}

fn no_incident(id: Uuid) -> ApiError {
    ApiError::not_found(format!("there is no open incident {id}")).code("no_incident")
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn unreadable(error: StoreError) -> ApiError {
    ApiError::internal(&error)
}

/// Something was changed, but the disk does not take it.
pub(super) fn not_durable(message: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).code("not_durable")
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(bodies: &[String]) -> Vec<T> {
    bodies.iter().filter_map(|body| serde_json::from_str(body).ok()).collect()
}

/// A row of the audit, for what is done now.
pub(super) fn audit_row(who: &Identity, action: &str, target: impl ToString, detail: &str) -> AuditRow {
    AuditRow::new(&who.name, action, target, detail)
}

/// What a person says when she takes an incident.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct Note {
    /// For whoever looks next; may be empty.
    #[serde(default)]
    note: String,
}

/// `POST /api/v1/incidents/{id}/acknowledge`
#[utoipa::path(post, path = "/api/v1/incidents/{id}/acknowledge", params(("id" = String, Path)), tag = "alerts",
    request_body = Note,
    responses((status = 204, description = "taken, and on the disk"), (status = 404, description = "no such open incident"),
        (status = 503, description = "taken, but not written down")))]
pub(super) async fn acknowledge(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
    body: Option<Json<Note>>,
) -> Result<StatusCode, ApiError> {
    let note = short(&body.unwrap_or_default().0.note)?;
    let row = audit_row(&who, "incident.acknowledge", id, &note);
    let is_open = shared.alerts.acknowledge(id, &who.name, &note, row).await.map_err(not_durable)?;
    if is_open { Ok(StatusCode::NO_CONTENT) } else { Err(no_incident(id)) }
}

/// `POST /api/v1/incidents/{id}/close`
#[utoipa::path(post, path = "/api/v1/incidents/{id}/close", params(("id" = String, Path)), tag = "alerts",
    responses((status = 204, description = "closed; it opens anew if it still holds"), (status = 404, description = "no such open incident")))]
pub(super) async fn close(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    let row = audit_row(&who, "incident.close", id, "");
    let was_open = shared.alerts.close(id, &who.name, row).await.map_err(not_durable)?;
    if was_open { Ok(StatusCode::NO_CONTENT) } else { Err(no_incident(id)) }
}

/// `GET /api/v1/silences`
#[utoipa::path(get, path = "/api/v1/silences", tag = "alerts", responses((status = 200, description = "silences that are not over")))]
pub(super) async fn silences(State(shared): State<Arc<Shared>>) -> Json<Vec<Silence>> {
    let now = Timestamp::now();
    Json(shared.alerts.suppression().silences.into_iter().filter(|silence| silence.until > now).collect())
}

/// A new silence.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewSilence {
    /// Such as `service=web`; all must fit.
    #[schema(value_type = Vec<String>)]
    matchers: Vec<String>,
    /// Its length, such as `2h`; or give `until`.
    r#for: Option<String>,
    /// Its end, RFC 3339.
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// Its begin, RFC 3339; now if it is not given.
    #[schema(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// Why.
    #[serde(default)]
    comment: String,
}

/// `POST /api/v1/silences`
#[utoipa::path(post, path = "/api/v1/silences", tag = "alerts", request_body = NewSilence,
    responses((status = 201, description = "in force, and on the disk; with its id"), (status = 400, description = "what is wrong with it")))]
pub(super) async fn silence(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Json(new): Json<NewSilence>,
) -> Result<impl IntoResponse, ApiError> {
    let (from, until) = span(new.from, new.until, new.r#for.as_deref())?;
    if new.matchers.is_empty() || new.matchers.len() > MAX_MATCHERS {
        return Err(bad(format!("a silence has 1 to {MAX_MATCHERS} matchers, such as service=web")));
    }
    let matchers: Result<Vec<Matcher>, String> = new.matchers.iter().map(|text| Matcher::parse(text)).collect();
    let silence = Silence {
        id: Uuid::now_v7(),
        matchers: matchers.map_err(bad)?,
        from,
        until,
        by: who.name.clone(),
        comment: short(&new.comment)?,
    };
    keep_silence(&shared, &who, silence.clone()).await?;
    Ok((StatusCode::CREATED, Json(silence)))
}

/// Lets a silence be in force, with a row in the audit.
pub(super) async fn keep_silence(shared: &Shared, who: &Identity, silence: Silence) -> Result<(), ApiError> {
    let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
    let detail = format!("{} until {}: {}", matchers.join(", "), silence.until, silence.comment);
    let row = audit_row(who, "silence.create", silence.id, &detail);
    shared.alerts.silence(silence, row).await.map_err(not_durable)
}

/// `DELETE /api/v1/silences/{id}`
#[utoipa::path(delete, path = "/api/v1/silences/{id}", params(("id" = String, Path)), tag = "alerts",
    responses((status = 204, description = "over"), (status = 404, description = "no such silence")))]
pub(super) async fn end_silence(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    let row = audit_row(&who, "silence.end", id, "");
    match shared.alerts.end_silence(id, row).await.map_err(not_durable)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found(format!("there is no silence {id}")).code("no_silence")),
    }
}

/// A maintenance window as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct WindowAnswer {
    /// Its id, if it was made by hand and can be ended.
    id: Option<Uuid>,
    name: String,
    /// Empty means all.
    services: Vec<String>,
    by: String,
    /// Until when it is open, if it is.
    open_until: Option<Timestamp>,
    /// When it opens next.
    next: Option<Timestamp>,
}

/// `GET /api/v1/maintenance`
#[utoipa::path(get, path = "/api/v1/maintenance", tag = "alerts",
    responses((status = 200, description = "windows, open and to come")))]
pub(super) async fn maintenance(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let now = Timestamp::now();
    let windows = shared.alerts.suppression().windows.into_iter().map(|window| WindowAnswer {
        id: window.id,
        open_until: window.open_until(now),
        next: window.next(now),
        name: window.name,
        services: window.services,
        by: window.by,
    });
    Json(windows.filter(|window| window.open_until.is_some() || window.next.is_some()).collect::<Vec<_>>())
}

/// A new maintenance window.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewWindow {
    /// What it is called.
    name: String,
    /// The services; empty means all.
    #[serde(default)]
    services: Vec<String>,
    /// Its length, such as `2h`; or give `until`.
    r#for: Option<String>,
    /// Its end, RFC 3339.
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// Its begin, RFC 3339; now if it is not given.
    #[schema(value_type = Option<String>)]
    from: Option<Timestamp>,
}

/// `POST /api/v1/maintenance`
#[utoipa::path(post, path = "/api/v1/maintenance", tag = "alerts", request_body = NewWindow,
    responses((status = 201, description = "in force, and on the disk; with its id"), (status = 400, description = "what is wrong with it")))]
pub(super) async fn begin_maintenance(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Json(new): Json<NewWindow>,
) -> Result<impl IntoResponse, ApiError> {
    let (from, until) = span(new.from, new.until, new.r#for.as_deref())?;
    let name = short(&new.name)?;
    if name.is_empty() {
        return Err(bad("a window needs a name"));
    }
    let catalogue = shared.catalogue.load();
    if let Some(unknown) = new.services.iter().find(|service| catalogue.service(service).is_none()) {
        let near = suggest(unknown, catalogue.services.iter().map(|card| &*card.name));
        return Err(bad(format!("{unknown:?} is not a service{near}")));
    }
    let window = OnceWindow { id: Uuid::now_v7(), name, from, until, services: new.services, by: who.name.clone() };
    let detail = format!("{:?} for {} until {until}", window.name, window.services.join(", "));
    let row = audit_row(&who, "maintenance.create", window.id, &detail);
    shared.alerts.add_window(window.clone(), row).await.map_err(not_durable)?;
    Ok((StatusCode::CREATED, Json(window)))
}

/// `DELETE /api/v1/maintenance/{id}`
#[utoipa::path(delete, path = "/api/v1/maintenance/{id}", params(("id" = String, Path)), tag = "alerts",
    responses((status = 204, description = "over"), (status = 404, description = "no such window made by hand")))]
pub(super) async fn end_maintenance(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    let row = audit_row(&who, "maintenance.end", id, "");
    match shared.alerts.end_window(id, row).await.map_err(not_durable)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found(format!("there is no window {id} made by hand")).code("no_window")),
    }
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct DeliveriesQuery {
    /// held, due, sent, dead, suppressed or cancelled; default dead.
    state: Option<String>,
    /// At most so many; 1 to 1000, default 100.
    limit: Option<u32>,
}

/// `GET /api/v1/deliveries`
#[utoipa::path(get, path = "/api/v1/deliveries", params(DeliveriesQuery), tag = "alerts",
    responses((status = 200, description = "deliveries in that state, newest first")))]
pub(super) async fn deliveries(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<Vec<Delivery>>, ApiError> {
    let word = query.state.unwrap_or_else(|| "dead".to_owned());
    let state = DeliveryState::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
        bad(format!("state is {word:?}; write {}", DeliveryState::ALL.map(DeliveryState::as_str).join(", ")))
    })?;
    let wanted = DeliveryQuery::In(state.as_str(), query.limit.unwrap_or(100).clamp(1, 1000));
    let bodies = shared.stores.state.store().deliveries(&wanted).await.map_err(unreadable)?;
    Ok(Json(parse(&bodies)))
}

/// `POST /api/v1/deliveries/{incident}/{event}/{channel}/retry`
#[utoipa::path(post, path = "/api/v1/deliveries/{incident}/{event}/{channel}/retry", tag = "alerts",
    params(("incident" = String, Path), ("event" = u32, Path), ("channel" = String, Path)),
    responses((status = 204, description = "due again"), (status = 404, description = "no such dead letter")))]
pub(super) async fn retry(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<(Uuid, u32, String)>,
) -> Result<StatusCode, ApiError> {
    let target = format!("{}.{}.{}", id.0, id.1, id.2);
    let row = audit_row(&who, "delivery.retry", &target, "");
    match shared.alerts.revive(&id, row).await.map_err(unreadable)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found(format!("there is no dead letter {target}")).code("no_dead_letter")),
    }
}

/// A channel as it stands.
#[derive(Debug, Serialize)]
pub(super) struct ChannelAnswer {
    pub(super) name: String,
    pub(super) kind: &'static str,
    /// Whom it tells, without secrets.
    pub(super) target: String,
    /// Messages that wait.
    pub(super) waiting: usize,
    /// What it said to the oldest of them, if it was tried.
    pub(super) said: Option<String>,
}

/// `GET /api/v1/channels`
#[utoipa::path(get, path = "/api/v1/channels", tag = "alerts", responses((status = 200, description = "channels, and what waits for them")))]
pub(super) async fn channels(State(shared): State<Arc<Shared>>) -> Json<Vec<ChannelAnswer>> {
    Json(channel_answers(&shared))
}

pub(super) fn channel_answers(shared: &Shared) -> Vec<ChannelAnswer> {
    let settings = shared.alerts.settings();
    let outbox = shared.alerts.outbox();
    let answer = |channel: &crate::alert::ChannelSettings| {
        let waiting: Vec<&Delivery> = outbox.waiting(&channel.name).collect();
        let said = waiting.iter().find(|delivery| delivery.tries > 0).map(|delivery| delivery.said.clone());
        let (name, target) = (channel.name.to_string(), channel.channel.target());
        ChannelAnswer { name, kind: channel.kind, target, waiting: waiting.len(), said }
    };
    settings.channels.iter().map(answer).collect()
}

/// `GET /api/v1/route-test?service=web&severity=page`
#[utoipa::path(get, path = "/api/v1/route-test", tag = "alerts", responses((status = 200, description = "whom an incident with these labels would be told now")))]
pub(super) async fn route_test(
    State(shared): State<Arc<Shared>>,
    Query(labels): Query<BTreeMap<String, String>>,
) -> impl IntoResponse {
    let (settings, now) = (shared.alerts.settings(), Timestamp::now());
    let mut labels = labels;
    // A service's own labels are there when it happens for real.
    let own = labels.get("service").and_then(|service| settings.services.get(service.as_str()));
    for (name, value) in own.map(|alerts| alerts.labels.clone()).unwrap_or_default() {
        labels.entry(name).or_insert(value);
    }
    let routes: Vec<String> = settings.routes.taking(&labels).into_iter().map(|(place, _)| place).collect();
    let targets = settings.routes.targets(&labels, None, now);
    let told = targets.iter().map(|target| {
        serde_json::json!({
            "channel": target.channel, "group": target.group, "held_back": target.out_of_hours,
        })
    });
    Json(serde_json::json!({
        "labels": labels,
        "routes": routes,
        "to": told.collect::<Vec<_>>(),
        "suppressed": shared.alerts.suppression().of(&labels, now),
    }))
}

/// What a drill goes through.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct NewDrill {
    /// Only these channels; by default all that routes lead to, escalations included.
    #[serde(default)]
    channels: Vec<String>,
}

/// A drill that has begun: an incident like any other, whose deliveries tell how it goes.
#[derive(Debug, Serialize)]
struct DrillBegun {
    /// Its incident.
    incident: Uuid,
}

/// `POST /api/v1/drill`
#[utoipa::path(post, path = "/api/v1/drill", tag = "alerts", request_body = NewDrill,
    responses((status = 202, description = "begun; its incident's deliveries tell how it goes"), (status = 400, description = "no such channel")))]
pub(super) async fn drill(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    body: Option<Json<NewDrill>>,
) -> Result<impl IntoResponse, ApiError> {
    begin_drill(&shared, &who, &body.unwrap_or_default().0.channels)
}

/// `POST /api/v1/channels/{name}/test`
#[utoipa::path(post, path = "/api/v1/channels/{name}/test", tag = "alerts", params(("name" = String, Path)),
    responses((status = 202, description = "a marked message is on its way"), (status = 400, description = "no such channel")))]
pub(super) async fn test_channel(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    begin_drill(&shared, &who, &[name])
}

fn begin_drill(shared: &Shared, who: &Identity, channels: &[String]) -> Result<impl IntoResponse + use<>, ApiError> {
    let row = audit_row(who, "drill.begin", channels.join(", "), "");
    let incident = shared.alerts.begin_drill(&who.name, channels, row).map_err(bad)?;
    Ok((StatusCode::ACCEPTED, Json(DrillBegun { incident })))
}

/// `GET /api/v1/drill`
#[utoipa::path(get, path = "/api/v1/drill", tag = "alerts",
    responses((status = 200, description = "when the last drill began, when one last got through everywhere, and what the last one came to")))]
pub(super) async fn last_drill(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    Json(shared.alerts.drills())
}

/// Which rows of the audit.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct AuditQuery {
    /// At most so many; 1 to 1000, default 100.
    limit: Option<u32>,
}

/// `GET /api/v1/audit`
#[utoipa::path(get, path = "/api/v1/audit", params(AuditQuery), tag = "alerts",
    responses((status = 200, description = "who did what, newest first")))]
pub(super) async fn audit(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Vec<AuditRow>>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    shared.stores.state.store().audit(limit).await.map(Json).map_err(unreadable)
}

pub(super) fn bad(message: impl Into<String>) -> ApiError {
    ApiError::bad_request(message).code("bad_request")
}

pub(super) fn short(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if text.chars().count() > MAX_COMMENT_CHARS {
        return Err(bad(format!("the text is longer than {MAX_COMMENT_CHARS} characters")));
    }
    Ok(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

pub(super) fn span(
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    length: Option<&str>,
) -> Result<(Timestamp, Timestamp), ApiError> {
    let now = Timestamp::now();
    let from = from.unwrap_or(now);
    let until = match (until, length) {
        (Some(until), None) => until,
        (None, Some(length)) => later(from, parse_duration(length).map_err(bad)?),
        _ => return Err(bad("give either \"until\" or \"for\", such as \"for\": \"2h\"")),
    };
    if until <= now || until <= from {
        return Err(bad("it would be over already"));
    }
    if elapsed(now, until) > MAX_LENGTH {
        return Err(bad("it would last for more than a year"));
    }
    Ok((from, until))
}
