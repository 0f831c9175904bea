//! `/api/v1`: letters for people and programs, and what may be done with them. Who reads payloads or does something shows a
//! token; what is done has a reason, a key of its own, and a line in the audit.

use std::sync::{Arc, OnceLock};

use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use kit::http::{Access, ApiError, Caller, Identity, Place, Public, Role, peer};
use kit::secrets::redact_line;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ledger::{Act, Acted, Actor, Filter, Ledger, LedgerError, LetterState, Listed};
use crate::policy::Class;
use crate::settings::Settings;

/// Letters of a page: unless told otherwise, and at most.
const PAGE: (usize, usize) = (50, 500);
/// Longest reason and longest key, in bytes.
const LONGEST: (usize, usize) = (1000, 128);

/// What routes need.
#[derive(Clone)]
pub(crate) struct Api {
    settings: Arc<Settings>,
    access: Arc<Access>,
    ledger: Arc<OnceLock<Ledger>>,
}

impl Api {
    /// The ledger comes when it is open.
    pub(crate) fn new(settings: Arc<Settings>, ledger: Arc<OnceLock<Ledger>>) -> Self {
        let place = Place::new(
            Place::own_names(settings.listen),
            &settings.access.hosts,
            None,
            settings.access.trusted_proxies.clone(),
        );
        let access = Arc::new(Access { credentials: settings.access.credentials.clone(), place });
        Self { settings, access, ledger }
    }

    pub(crate) fn routes(self) -> Router {
        let acts = Router::new()
            .route("/api/v1/letters/{id}/{act}", post(act))
            .route("/api/v1/audit", get(audit))
            .layer(from_fn_with_state(self.clone(), operators));
        let reads = Router::new()
            .route("/api/v1/letters", get(letters))
            .route("/api/v1/letters/{id}", get(letter))
            .layer(from_fn_with_state(self.clone(), readers));
        acts.merge(reads).with_state(self)
    }

    fn ledger(&self) -> Result<&Ledger, ApiError> {
        self.ledger.get().ok_or_else(|| unavailable("the ledger is not open yet"))
    }

    fn caller(&self, request: &Request) -> Caller {
        self.access.caller(request.headers(), peer(request.extensions()))
    }
}

async fn operators(State(api): State<Api>, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let caller = api.caller(&request);
    let identity = caller.require(Role::Operator)?.clone();
    request.extensions_mut().insert(identity);
    Ok(next.run(request).await)
}

/// Everybody, where a configuration says nothing else and this daemon is asked by its own machine.
async fn readers(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    let caller = api.caller(&request);
    // Also what everybody may read is not for a page of another site.
    if api.settings.access.public < Public::Details || matches!(caller, Caller::Refused(_)) {
        caller.require(Role::Viewer)?;
    }
    Ok(next.run(request).await)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    source: Option<String>,
    queue: Option<String>,
    state: Option<String>,
    class: Option<String>,
    fingerprint: Option<String>,
    before: Option<i64>,
    limit: Option<usize>,
}

async fn letters(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<Value>, ApiError> {
    let Wanted { source, queue, state, class, fingerprint, before, limit } = wanted;
    one_of("state", state.as_deref(), LetterState::ALL.map(LetterState::word))?;
    one_of("class", class.as_deref(), Class::ALL.map(Class::word))?;
    let most = limit.unwrap_or(PAGE.0);
    if !(1..=PAGE.1).contains(&most) {
        return Err(ApiError::bad_request(format!("limit is {most}; write 1 to {}", PAGE.1)));
    }
    let filter = Filter { source, queue, state, class, fingerprint, before };
    let letters = api.ledger()?.letters(&filter, most).await.map_err(problem)?;
    let next = letters.last().filter(|_| letters.len() == most).map(|last| last.number);
    let letters: Vec<Listed> = letters.into_iter().map(shown).collect();
    Ok(Json(json!({ "letters": letters, "next": next })))
}

fn one_of<const N: usize>(what: &str, given: Option<&str>, words: [&str; N]) -> Result<(), ApiError> {
    match given {
        Some(given) if !words.contains(&given) => {
            Err(ApiError::bad_request(format!("{what} is {given:?}; write one of {}", words.join(", "))))
        }
        _ => Ok(()),
    }
}

/// With payload and audit for whoever may do something with it.
async fn letter(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Result<Json<Value>, ApiError> {
    let ledger = api.ledger()?;
    let letter = ledger.letter(&id).await.map_err(problem)?.ok_or_else(no_letter)?;
    if api.caller(&request).require(Role::Operator).is_err() {
        return Ok(Json(json!({ "letter": shown(letter) })));
    }
    let audit = ledger.audit(Some(&id), PAGE.1).await.map_err(problem)?;
    let data = ledger.payload(&id).await.map_err(problem)?;
    let data = serde_json::from_slice(&data).unwrap_or_else(|_no_json| json!(String::from_utf8_lossy(&data)));
    Ok(Json(json!({ "letter": shown(letter), "audit": audit, "data": data })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Because {
    reason: String,
}

async fn act(
    State(api): State<Api>,
    Path((id, word)): Path<(String, String)>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(Because { reason }): Json<Because>,
) -> Result<Response, ApiError> {
    let act = Act::ALL.into_iter().find(|act| act.word() == word);
    let act = act.ok_or_else(|| {
        let words = Act::ALL.map(Act::word).join(", ");
        ApiError::not_found(format!("nothing called {word:?} can be done with a letter; write one of {words}"))
    })?;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    if key.is_empty() || key.len() > LONGEST.1 {
        let message =
            format!("the header Idempotency-Key is needed: 1 to {} characters, other ones for each act", LONGEST.1);
        return Err(ApiError::bad_request(message));
    }
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > LONGEST.0 {
        return Err(ApiError::bad_request(format!("reason is needed: 1 to {} characters", LONGEST.0)));
    }
    let ledger = api.ledger()?;
    if matches!(act, Act::Redrive | Act::Release) {
        let letter = ledger.letter(&id).await.map_err(problem)?.ok_or_else(no_letter)?;
        if !api.settings.of_queue(&letter.queue).acts {
            let message = format!("nothing is redriven in {}: give it mode: act in the configuration", letter.queue);
            return Err(conflict(message));
        }
    }
    let actor = Actor { who: &identity.name, why: reason, key };
    let now_ms = Timestamp::now().as_millisecond();
    match ledger.act(&id, act, actor, now_ms).await.map_err(problem)? {
        Acted::Done | Acted::Before => {
            let letter = ledger.letter(&id).await.map_err(problem)?.map(shown);
            Ok(Json(json!({ "letter": letter })).into_response())
        }
        Acted::Unknown => Err(no_letter()),
        Acted::Not(state) => Err(conflict(format!("a letter that is {state} cannot be asked to {word}"))),
        Acted::KeyTaken => Err(conflict("this Idempotency-Key was used for something else".to_owned())),
    }
}

async fn audit(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let audit = api.ledger()?.audit(None, PAGE.1).await.map_err(problem)?;
    Ok(Json(json!({ "audit": audit })))
}

/// Words of a failure may hold what nobody should see.
fn shown(letter: Listed) -> Listed {
    Listed { message: redact_line(&letter.message), ..letter }
}

fn no_letter() -> ApiError {
    ApiError::not_found("no such letter")
}

fn conflict(message: String) -> ApiError {
    ApiError::new(axum::http::StatusCode::CONFLICT, message)
}

fn unavailable(message: &str) -> ApiError {
    ApiError::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, message)
}

fn problem(error: LedgerError) -> ApiError {
    tracing::warn!(error = %kit::chain::Chain(&error), "the ledger");
    unavailable("the ledger does not answer")
}
