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
    let mut engines = api.working.all();
    if engines.is_empty() {
        return Err(conflict("another dlq-processor acts; ask that one".to_owned()));
    }
    engines.retain(|engine| source.as_deref().is_none_or(|source| engine.name() == source));
    if engines.is_empty() {
        return Err(ApiError::not_found(format!("no source {:?}", source.unwrap_or_default())));
    }
    let last = engines.iter().map(|engine| engine.asked_to_look()).max().unwrap_or_default();
    let look = number(look, last, u64::try_from(now_ms).unwrap_or_default())
        .ok_or_else(|| ApiError::bad_request("look is none that was asked for; leave it out"))?;
    let is_new = engines.iter().any(|engine| engine.asked_to_look() < look);
    let of = source.as_deref().unwrap_or("all sources");
    if is_new && !api.ledger()?.note("reconcile", of, actor, now_ms).await.map_err(problem)? {
        return Err(conflict("this Idempotency-Key was used for something else".to_owned()));
    }
    engines.iter().for_each(|engine| engine.ask_to_look(look));
    let sources = join_all(engines.iter().map(|engine| looked(engine, look, until))).await;
    let is_done = sources.iter().all(|source| source.is_done);
    let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(json!({ "look": look, "is_done": is_done, "sources": sources }))).into_response())
}

async fn looked(engine: &Arc<Engine>, look: u64, until: Instant) -> Looked {
    let looking = timeout_at(until, engine.has_looked(look)).await;
    Looked {
        source: engine.name().to_owned(),
        is_done: looking.is_ok(),
        trouble: engine.state().err().or_else(|| engine.waits()),
        found: engine.looked(),
        orphans: engine.orphans(look),
    }
}

/// Returns the number of a look: a later one has a larger number, also after a start, and where the clock was set back since the
/// last one. None if it is to be one that was asked for, and is not.
fn number(wanted: Option<u64>, last: u64, now: u64) -> Option<u64> {
    match wanted {
        None => Some(now.max(last.saturating_add(1))),
        Some(look) => Some(look).filter(|look| (1..=now.max(last)).contains(look)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_look_has_a_larger_number_whatever_the_clock_says() {
        for (wanted, last, now, expected) in [
            (None, 0, 1_000, Some(1_000)),
            (None, 999, 1_000, Some(1_000)),
            (None, 1_000, 1_000, Some(1_001)),
            // The clock was set back.
            (None, 5_000, 1_000, Some(5_001)),
            (Some(5_000), 5_000, 1_000, Some(5_000)),
            (Some(5_001), 5_000, 1_000, None),
            // It was asked for before a start.
            (Some(900), 0, 1_000, Some(900)),
            (Some(1_001), 0, 1_000, None),
            (Some(0), 0, 1_000, None),
        ] {
            assert_eq!(number(wanted, last, now), expected, "{wanted:?} {last} {now}");
        }
    }
}
