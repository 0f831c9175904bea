//! `/api/v1/queues` and `/api/v1/breakers`: what is at work, what holds it back, and a person's word on that.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, actor, conflict, problem};
use crate::engine::Standing;

/// A breaker, as it is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    source: String,
    queue: String,
    name: String,
    state: String,
    reason: String,
}

pub(super) async fn queues(State(api): State<Api>) -> Json<Value> {
    let sources: Vec<Standing> = api.working.all().iter().map(|engine| engine.standing()).collect();
    Json(json!({ "acts": !sources.is_empty(), "sources": sources }))
}

pub(super) async fn breakers(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let actor = actor(&identity, &headers, &wanted.reason)?;
    let Wanted { source, queue, name, state, .. } = &wanted;
    let is_open = match state.as_str() {
        "open" => true,
        "closed" => false,
        other => return Err(ApiError::bad_request(format!("state is {other:?}; write open or closed"))),
    };
    let engines = api.working.all();
    if engines.is_empty() {
        return Err(conflict("another dlq-processor acts; ask that one".to_owned()));
    }
    let engine = engines.iter().find(|engine| engine.name() == source);
    let engine = engine.ok_or_else(|| ApiError::not_found(format!("no source {source:?}")))?;
    let what = format!("breaker.{state}");
    let of = format!("{source}/{queue}/{name}");
    let is_noted = api.ledger()?.note(&what, &of, actor, Timestamp::now().as_millisecond()).await.map_err(problem)?;
    if !is_noted {
        return Err(conflict("this Idempotency-Key was used for something else".to_owned()));
    }
    engine.set_breaker(queue, name, is_open);
    Ok(Json(json!({ "source": engine.standing() })))
}

/// Has this ledger act where a later one did: whoever asks knows that it is gone.
pub(super) async fn adopt(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(super::Because { reason }): Json<super::Because>,
) -> Result<Json<Value>, ApiError> {
    let actor = actor(&identity, &headers, &reason)?;
    let mut latest = 0;
    for engine in api.working.all() {
        latest = latest.max(engine.latest_epoch().await.map_err(|why| conflict(format!("{}: {why}", engine.name())))?);
    }
    let ledger = api.ledger()?;
    let is_noted = ledger.note("adopt", "ledger", actor, Timestamp::now().as_millisecond()).await.map_err(problem)?;
    if !is_noted {
        return Err(conflict("this Idempotency-Key was used for something else".to_owned()));
    }
    ledger.pass(latest).await.map_err(problem)?;
    Ok(Json(json!({ "epoch": latest + 1 })))
}
