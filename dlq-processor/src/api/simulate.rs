//! `POST /api/v1/policy/simulate`: what a policy would have done with the letters that there are. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use jiff::Timestamp;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::letters::shown;
use super::policy::{checked, text_of};
use super::{Api, problem};
use crate::ledger::{Filter, Ledger};
use crate::policy::Policy;
use crate::simulation::{MOST, SINCE, Simulation, Taken};
use crate::texts::read_moment;

/// How long it may take: less than the longest time of a handler. What was not come to by then is left out.
const WITHIN: Duration = Duration::from_secs(20);
/// Letters that are read at once.
const PAGE: usize = 500;
/// What is held of letters at once, in bytes, at most: of the longest messages 50,000 would take 400 MiB.
const BYTES: usize = 64 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    since: Option<String>,
}

/// Of the policy that is sent, or, if none is, of the one that decides.
pub(super) async fn simulate(
    State(api): State<Api>,
    Query(Wanted { since }): Query<Wanted>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let until = Instant::now() + WITHIN;
    let since = read_moment(since.as_deref().unwrap_or(SINCE), Timestamp::now());
    let since = since.map_err(|why| ApiError::bad_request(format!("since: {why}")))?;
    let room = api.simulations.take("simulated")?;
    let policy = match text_of(&body)? {
        Some(text) => Arc::new(checked(&api, text).await?),
        None => api.policy(),
    };
    let (letters, is_all) = fetch(api.ledger()?, since, until).await?;
    // Patterns take a while.
    let simulating = move || {
        let _room = room;
        decide(letters, is_all, &policy, until)
    };
    tokio::task::spawn_blocking(simulating).await.map(Json).map_err(|panic| ApiError::internal(&panic))
}

/// Returns letters as people may see them, the last taken in first, and whether these are all.
async fn fetch(ledger: &Ledger, since: Timestamp, until: Instant) -> Result<(Vec<Taken>, bool), ApiError> {
    let (mut letters, mut bytes) = (Vec::<Taken>::new(), 0);
    let mut filter = Filter { failed_after: Some(since), ..Filter::default() };
    while letters.len() < MOST && bytes < BYTES {
        let most = PAGE.min(MOST - letters.len());
        let Ok(page) = timeout_at(until, ledger.letters(&filter, most)).await else { break };
        let page = page.map_err(problem)?;
        let last = page.last().filter(|_| page.len() == most).map(|last| last.number);
        for taken in page.into_iter().map(shown).map(Taken::from) {
            bytes += taken.bytes();
            letters.push(taken);
        }
        if last.is_none() {
            return Ok((letters, true));
        }
        filter.before = last;
    }
    Ok((letters, false))
}

fn decide(letters: Vec<Taken>, is_all: bool, policy: &Policy, until: Instant) -> Value {
    let mut simulation = Simulation::of(&letters);
    let mut letters = letters.into_iter();
    while Instant::now() < until
        && let Some(letter) = letters.next()
    {
        simulation.decide(letter, policy);
    }
    simulation.to_json(is_all && letters.len() == 0)
}
