//! `/api/v1/letters`: letters for people and programs, and what is done with one of them.

use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use kit::http::{ApiError, Identity, Role};
use kit::secrets::redact_line;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::edits::{as_json, check_other};
use super::wanted::Wanted;
use super::{Api, actor, check_to, conflict, problem};
use crate::ledger::{Act, Acted, Actor, Filter, Listed};
use crate::texts::Id;

/// Letters of a page: unless told otherwise, and at most.
const PAGE: (usize, usize) = (50, 500);

/// Which page of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    before: Option<i64>,
    limit: Option<usize>,
}

pub(super) async fn letters(State(api): State<Api>, wanted: Wanted<Page>) -> Result<Json<Value>, ApiError> {
    let Wanted { filter, also: Page { before, limit } } = wanted;
    let filter = Filter { before, ..filter };
    let most = limit.unwrap_or(PAGE.0);
    if !(1..=PAGE.1).contains(&most) {
        return Err(ApiError::bad_request(format!("limit is {most}; write 1 to {}", PAGE.1)));
    }
    let letters = api.ledger()?.letters(&filter, most).await.map_err(problem)?;
    let next = letters.last().filter(|_| letters.len() == most).map(|last| last.number);
    let letters: Vec<Listed> = letters.into_iter().map(shown).collect();
    Ok(Json(json!({ "letters": letters, "next": next })))
}

/// How a letter is to be shown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    #[serde(default)]
    raw: bool,
}

/// With payload and audit for whoever may do something with it. Secrets in it are for administrators who ask for them, and that
/// is written down.
pub(super) async fn letter(
    State(api): State<Api>,
    Path(id): Path<Id>,
    Query(Look { raw }): Query<Look>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let ledger = api.ledger()?;
    let letter = ledger.letter(&id).await.map_err(problem)?.ok_or_else(no_letter)?;
    let caller = api.caller(&request);
    if raw {
        let identity = caller.require(Role::Admin)?;
        let key = Uuid::now_v7().to_string();
        let actor = Actor { who: &identity.name, why: "asked for all that it holds", key: &key };
        ledger.note("read", &id, actor, Timestamp::now().as_millisecond()).await.map_err(problem)?;
    } else if caller.require(Role::Operator).is_err() {
        return Ok(Json(json!({ "letter": shown(letter) })));
    }
    let audit = ledger.audit(Some(&id), PAGE.1).await.map_err(problem)?;
    let data = ledger.payload(&id).await.map_err(problem)?;
    let mut data = serde_json::from_slice(&data).unwrap_or_else(|_no_json| json!(String::from_utf8_lossy(&data)));
    let edit = ledger.edit_of(&id).await.map_err(problem)?;
    let settings = api.settings.clone();
    // To look for secrets in a long text takes a while.
    let shown_data = tokio::task::spawn_blocking(move || {
        let redaction = (!raw).then_some(&settings.redaction);
        if let Some(redaction) = redaction {
            redaction.hide(&mut data);
        }
        (data, edit.map(|edit| as_json(edit, redaction)))
    });
    let (data, edit) = shown_data.await.map_err(|error| ApiError::internal(&error))?;
    Ok(Json(json!({ "letter": shown(letter), "audit": audit, "data": data, "edit": edit })))
}

/// What is done, why, and, if it is redriven into another queue, into which; if it is discarded, whether what it holds goes, too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {
    reason: String,
    to: Option<String>,
    #[serde(default)]
    hard: bool,
}

pub(super) async fn act(
    State(api): State<Api>,
    Path((id, word)): Path<(Id, String)>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(Done { reason, to, hard }): Json<Done>,
) -> Result<Response, ApiError> {
    let act = Act::ALL.into_iter().find(|act| act.word() == word);
    let act = act.ok_or_else(|| {
        let words = Act::ALL.map(Act::word).join(", ");
        ApiError::not_found(format!("nothing called {word:?} can be done with a letter; write one of {words}"))
    })?;
    let actor = actor(&identity, &headers, &reason)?;
    check_to(to.as_deref())?;
    let ledger = api.ledger()?;
    if hard {
        return discard_hard(&api, &id, act, &identity, actor).await;
    }
    let is_redrive = matches!(act, Act::Redrive | Act::Release);
    if to.is_some() && !is_redrive {
        return Err(ApiError::bad_request(format!("to is for redrive and release; {word} puts nothing anywhere")));
    }
    if is_redrive {
        let letter = ledger.letter(&id).await.map_err(problem)?.ok_or_else(no_letter)?;
        if let Some(queue) = letter.queues().find(|queue| !api.settings.of_queue(queue).acts) {
            return Err(conflict(format!("nothing is redriven in {queue}: give it mode: act in the configuration")));
        }
        if to.is_some() || letter.edited_at_ms.is_some() {
            check_other(&api, [&letter.source, &letter.queue], to.as_deref())?;
        }
    }
    let now_ms = Timestamp::now().as_millisecond();
    let acted = ledger.act_into(&id, act, to.as_deref(), actor, now_ms).await.map_err(problem)?;
    check_acted(acted, |state| format!("a letter that is {state} cannot be asked to {word}"))?;
    let letter = ledger.letter(&id).await.map_err(problem)?.map(shown);
    Ok(Json(json!({ "letter": letter })).into_response())
}

/// Gives a letter up with all that it holds, and says where that is still to be found.
async fn discard_hard(
    api: &Api,
    id: &str,
    act: Act,
    Identity { name, role, .. }: &Identity,
    actor: Actor<'_>,
) -> Result<Response, ApiError> {
    if act != Act::Discard {
        return Err(ApiError::bad_request(format!("hard is for discard; {} removes nothing", act.word())));
    }
    if !role.may(Role::Admin) {
        let needed = Role::Admin;
        return Err(ApiError::forbidden(format!("to discard for good needs the role {needed}; {name} is {role}")));
    }
    let ledger = api.ledger()?;
    let acted = ledger.discard_hard(id, actor, Timestamp::now().as_millisecond()).await.map_err(problem)?;
    check_acted(acted, |state| format!("what a letter holds that is {state} cannot be removed"))?;
    let letter = ledger.letter(id).await.map_err(problem)?.map(shown);
    let cold = letter.as_ref().and_then(|letter| letter.cold.as_deref());
    let note = cold.map(|file| format!("{file} still has what it held: whoever minds that file deletes its line"));
    Ok(Json(json!({ "letter": letter, "note": note })).into_response())
}

fn check_acted(acted: Acted, not: impl FnOnce(&str) -> String) -> Result<(), ApiError> {
    match acted {
        Acted::Done | Acted::Before => Ok(()),
        Acted::Unknown => Err(no_letter()),
        Acted::Not(state) => Err(conflict(not(&state))),
        Acted::KeyTaken => Err(conflict("this Idempotency-Key was used for something else".to_owned())),
    }
}

pub(super) async fn audit(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let audit = api.ledger()?.audit(None, PAGE.1).await.map_err(problem)?;
    Ok(Json(json!({ "audit": audit })))
}

/// Words of a failure may hold what nobody should see. Of a stack trace the first line says what it is.
pub(super) fn shown(letter: Listed) -> Listed {
    let stack = letter.stack.as_deref().and_then(|stack| stack.lines().next()).map(redact_line);
    Listed { message: redact_line(&letter.message), stack, ..letter }
}

/// How many letters there are, by state and class.
pub(super) async fn numbers(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let numbers = api.ledger()?.numbers().await.map_err(problem)?;
    Ok(Json(json!({ "numbers": numbers })))
}

/// Kinds of failures, the last seen first.
pub(super) async fn fingerprints(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let mut alike = api.ledger()?.alike(PAGE.1).await.map_err(problem)?;
    alike.iter_mut().for_each(|alike| alike.message = redact_line(&alike.message));
    Ok(Json(json!({ "fingerprints": alike })))
}

pub(super) fn no_letter() -> ApiError {
    ApiError::not_found("no such letter")
}
