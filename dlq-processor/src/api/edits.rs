//! `/api/v1/letters/{id}/edit` and `…/unedit`: what a job is to hold instead; and whether it can be put back as another job.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::Deserialize;
use serde_json::{Value, json};

use super::letters::{no_letter, shown};
use super::{Api, Because, actor, conflict, problem};
use crate::edit::EditError;
use crate::ledger::{Acted, Actor, Edit, Edited};
use crate::redacted::Redaction;
use crate::texts::Id;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    patch: Value,
    reason: String,
}

pub(super) async fn edit(
    State(api): State<Api>,
    Path(id): Path<Id>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(Wanted { patch, reason }): Json<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let actor = actor(&identity, &headers, &reason)?;
    let letter = api.ledger()?.letter(&id).await.map_err(problem)?.ok_or_else(no_letter)?;
    check_other(&api, [&letter.source, &letter.queue], None)?;
    change(&api, &id, Some(&patch), actor).await
}

pub(super) async fn unedit(
    State(api): State<Api>,
    Path(id): Path<Id>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(Because { reason }): Json<Because>,
) -> Result<Json<Value>, ApiError> {
    let actor = actor(&identity, &headers, &reason)?;
    change(&api, &id, None, actor).await
}

async fn change(api: &Api, id: &str, patch: Option<&Value>, actor: Actor<'_>) -> Result<Json<Value>, ApiError> {
    let (ledger, now_ms) = (api.ledger()?, Timestamp::now().as_millisecond());
    match ledger.edit(id, patch, actor, now_ms).await.map_err(problem)? {
        Edited::Acted(Acted::Done | Acted::Before) => {
            let letter = ledger.letter(id).await.map_err(problem)?.map(shown);
            let (edit, redaction) = (ledger.edit_of(id).await.map_err(problem)?, &api.settings.redaction);
            Ok(Json(json!({ "letter": letter, "edit": edit.map(|edit| as_json(edit, Some(redaction))) })))
        }
        Edited::Acted(Acted::Unknown) => Err(no_letter()),
        Edited::Acted(Acted::Not(state)) => {
            let word = if patch.is_some() { "edited" } else { "unedited" };
            Err(conflict(format!("a letter that is {state} cannot be {word}")))
        }
        Edited::Acted(Acted::KeyTaken) => Err(conflict("this Idempotency-Key was used for something else".to_owned())),
        Edited::Refused(EditError::Patch(why)) => Err(ApiError::bad_request(why)),
        Edited::Refused(EditError::Payload(why)) => Err(unprocessable(why)),
    }
}

/// An edit as an operator sees it; whole if nothing is hidden.
pub(super) fn as_json(edit: Edit, redaction: Option<&Redaction>) -> Value {
    let Edit { at_ms, who, why, patch, data } = edit;
    let [mut patch, mut data] = [patch.as_bytes(), &data].map(|text| serde_json::from_slice(text).unwrap_or_default());
    if let Some(redaction) = redaction {
        redaction.hide(&mut data);
        redaction.hide_in_patch(&mut patch);
    }
    json!({ "at_ms": at_ms, "who": who, "why": why, "patch": patch, "data": data })
}

/// Refuses what could not be put back as another job, into the queue `to` if it is given: letters of a source and a queue.
pub(super) fn check_other(api: &Api, of: [&str; 2], to: Option<&str>) -> Result<(), ApiError> {
    obstacle(api, of, to).map_or(Ok(()), |(status, message)| Err(ApiError::new(status, message)))
}

/// Says why they could not be.
pub(super) fn obstacle(api: &Api, [name, queue]: [&str; 2], to: Option<&str>) -> Option<(StatusCode, String)> {
    let (conflict, unprocessable) = (StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY);
    let source = api.settings.sources.iter().find(|source| source.name == name);
    let Some(source) = source.map(|source| &source.source) else {
        return Some((conflict, format!("there is no source {name} in the configuration")));
    };
    if !source.manners(queue).makes_others {
        let why = "they are only put back as they are, where they were";
        return Some((conflict, format!("jobs of {name} cannot be edited, nor put into another queue: {why}")));
    }
    let to = to?;
    if !source.manners(to).keeps_dead {
        return Some((
            unprocessable,
            format!("{to} holds nothing but what is dead; name a queue that somebody works in"),
        ));
    }
    let engines = api.working.all();
    let queues = engines.iter().find(|engine| engine.name() == name).map(|engine| engine.queues());
    if queues.is_some_and(|queues| !queues.is_empty() && !queues.iter().any(|queue| queue == to)) {
        let message = format!("{name} has no queue {to}; `dlq-processor queues` lists those that it has");
        return Some((unprocessable, message));
    }
    (!api.settings.of_queue(to).acts)
        .then(|| (conflict, format!("nothing is redriven in {to}: give it mode: act in the configuration")))
}

fn unprocessable(message: String) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}
