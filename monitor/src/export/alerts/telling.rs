//! Who is told: deliveries, channels, routes and drills.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::answers::{audit_row, bad, unreadable};
use crate::alert::{Delivery, DeliveryState, read_rows};
use crate::export::shared::Shared;
use crate::record::DeliveryQuery;

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
pub(in crate::export) struct DeliveriesQuery {
    /// held, due, sent, dead, suppressed or cancelled; default dead.
    state: Option<String>,
    /// At most so many; 1 to 1000, default 100.
    limit: Option<u32>,
}

/// `GET /api/v1/deliveries`
#[utoipa::path(get, path = "/api/v1/deliveries", params(DeliveriesQuery), tag = "alerts",
    responses((status = 200, description = "deliveries in that state, newest first")))]
pub(in crate::export) async fn deliveries(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<Vec<Delivery>>, ApiError> {
    let word = query.state.unwrap_or_else(|| "dead".to_owned());
    let state = DeliveryState::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
        bad(format!("state is {word:?}; write {}", DeliveryState::ALL.map(DeliveryState::as_str).join(", ")))
    })?;
    let wanted = DeliveryQuery::In(state.as_str(), query.limit.unwrap_or(100).clamp(1, 1000));
    let bodies = shared.stores.state.store().deliveries(&wanted).await.map_err(unreadable)?;
    Ok(Json(read_rows(&bodies)))
}

/// `POST /api/v1/deliveries/{incident}/{event}/{channel}/retry`
#[utoipa::path(post, path = "/api/v1/deliveries/{incident}/{event}/{channel}/retry", tag = "alerts",
    params(("incident" = String, Path), ("event" = u32, Path), ("channel" = String, Path)),
    responses((status = 204, description = "due again"), (status = 404, description = "no such dead letter")))]
pub(in crate::export) async fn retry(
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
pub(in crate::export) struct ChannelAnswer {
    pub(in crate::export) name: String,
    pub(in crate::export) kind: &'static str,
    /// Whom it tells, without secrets.
    pub(in crate::export) target: String,
    /// Messages that wait.
    pub(in crate::export) waiting: usize,
    /// What it said to the oldest of them, if it was tried.
    pub(in crate::export) said: Option<String>,
}

/// `GET /api/v1/channels`
#[utoipa::path(get, path = "/api/v1/channels", tag = "alerts", responses((status = 200, description = "channels, and what waits for them")))]
pub(in crate::export) async fn channels(State(shared): State<Arc<Shared>>) -> Json<Vec<ChannelAnswer>> {
    Json(channel_answers(&shared))
}

pub(in crate::export) fn channel_answers(shared: &Shared) -> Vec<ChannelAnswer> {
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
pub(in crate::export) async fn route_test(
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
pub(in crate::export) struct NewDrill {
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
pub(in crate::export) async fn drill(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    body: Option<Json<NewDrill>>,
) -> Result<impl IntoResponse, ApiError> {
    begin_drill(&shared, &who, &body.unwrap_or_default().0.channels)
}

/// `POST /api/v1/channels/{name}/test`
#[utoipa::path(post, path = "/api/v1/channels/{name}/test", tag = "alerts", params(("name" = String, Path)),
    responses((status = 202, description = "a marked message is on its way"), (status = 400, description = "no such channel")))]
pub(in crate::export) async fn test_channel(
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
pub(in crate::export) async fn last_drill(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    Json(shared.alerts.drills())
}
