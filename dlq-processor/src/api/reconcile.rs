//! `POST /api/v1/reconcile`: has engines look at everything at once, and says what they found. Whoever waits no longer may ask once
//! more for the same look.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::future::join_all;
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{Api, actor, conflict, problem};
use crate::engine::{Engine, LookedAt};
use crate::source::Orphans;

/// How long it is waited for: less than the longest time of a handler.
const WITHIN: Duration = Duration::from_secs(25);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    source: Option<String>,
    look: Option<u64>,
    reason: String,
}

/// What was found in one source.
#[derive(Debug, Serialize)]
struct Looked {
    source: String,
    is_done: bool,
    trouble: Option<String>,
    #[serde(flatten)]
    found: LookedAt,
    orphans: Option<Vec<Orphans>>,
}

pub(super) async fn reconcile(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(Wanted { source, look, reason }): Json<Wanted>,
) -> Result<Response, ApiError> {
    let actor = actor(&identity, &headers, &reason)?;
    let (now_ms, until) = (Timestamp::now().as_millisecond(), Instant::now() + WITHIN);
    // Later looks have larger numbers, also after a start.
    let now = u64::try_from(now_ms).unwrap_or_default();
    let look = look.unwrap_or(now);
    if look > now || look == 0 {
        return Err(ApiError::bad_request("look is none that was asked for; leave it out"));
    }
    let mut engines = api.working.all();
    if engines.is_empty() {
        return Err(conflict("another dlq-processor acts; ask that one".to_owned()));
    }
    engines.retain(|engine| source.as_deref().is_none_or(|source| engine.name() == source));
    if engines.is_empty() {
        return Err(ApiError::not_found(format!("no source {:?}", source.unwrap_or_default())));
    }
    let of = source.as_deref().unwrap_or("all sources");
    if !api.ledger()?.note("reconcile", of, actor, now_ms).await.map_err(problem)? {
        return Err(conflict("this Idempotency-Key was used for something else".to_owned()));
    }
    engines.iter().for_each(|engine| engine.ask_to_look(look));
    let sources = join_all(engines.iter().map(|engine| looked(engine, look, until))).await;
    let is_done = sources.iter().all(|source| source.is_done);
    let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(json!({ "look": look, "is_done": is_done, "sources": sources }))).into_response())
}

async fn looked(engine: &Arc<Engine>, look: u64, until: Instant) -> Looked {
    let looking = timeout_at(until, engine.has_looked(look));
    let (looking, orphans) = tokio::join!(looking, timeout_at(until, engine.orphans()));
    Looked {
        source: engine.name().to_owned(),
        is_done: looking.is_ok(),
        trouble: engine.state().err(),
        found: engine.looked(),
        // Why a source does not answer is its trouble; and who has very many keys is not waited for.
        orphans: orphans.ok().and_then(Result::ok),
    }
}
