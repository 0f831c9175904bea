//! `/api/v1/plans`: what is to be done with many letters. A plan does nothing when it is made; it is applied by its id.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::edits::obstacle;
use super::letters::shown;
use super::{Api, Because, actor, check_to, conflict, problem};
use crate::ledger::{Act, Draft, Filter, Plan, Step, Stepped};
use crate::settings::read_rate;
use crate::texts::Id;

/// Plans of a list, at most.
const MOST: i64 = 100;
/// What may be done with many letters.
const ACTS: [Act; 3] = [Act::Redrive, Act::Park, Act::Discard];

/// A filter as an object: serde takes lists of values as well, and one of nothings would be all letters.
fn of_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Filter, D::Error> {
    let object = Map::deserialize(deserializer)?;
    Filter::deserialize(Value::Object(object)).map_err(D::Error::custom)
}

/// A plan as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default, deserialize_with = "of_object")]
    filter: Filter,
    act: String,
    rate: Option<String>,
    stop_on_failures: Option<String>,
    max: Option<i64>,
    to: Option<String>,
    reason: String,
}

pub(super) async fn make(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<Response, ApiError> {
    let actor = actor(&identity, &headers, &wanted.reason)?;
    wanted.filter.check().map_err(ApiError::bad_request)?;
    check_to(wanted.to.as_deref())?;
    let act = ACTS.into_iter().find(|act| act.word() == wanted.act);
    let words = ACTS.map(Act::word).join(", ");
    let act = act.ok_or_else(|| ApiError::bad_request(format!("act is {:?}; write one of {words}", wanted.act)))?;
    let draft = Draft {
        filter: wanted.filter,
        act,
        rate_milli: wanted.rate.as_deref().map(rate_milli).transpose()?,
        stop_percent: wanted.stop_on_failures.as_deref().map(percent).transpose()?,
        max_letters: wanted.max,
        to_queue: wanted.to,
    };
    if let Some(max) = draft.max_letters.filter(|max| *max < 1) {
        return Err(ApiError::bad_request(format!("max is {max}; write how many letters there may be, 1 or more")));
    }
    if draft.to_queue.is_some() && act != Act::Redrive {
        return Err(ApiError::bad_request(format!("to is for redrive; {} puts nothing anywhere", act.word())));
    }
    let now_ms = Timestamp::now().as_millisecond();
    let made = api.ledger()?.make_plan(&draft, actor, now_ms).await.map_err(problem)?;
    let plan = made.ok_or_else(|| conflict("this Idempotency-Key was used for something else".to_owned()))?;
    Ok((StatusCode::CREATED, Json(described(&api, plan).await?)).into_response())
}

fn rate_milli(text: &str) -> Result<i64, ApiError> {
    let rate = read_rate(text).ok_or_else(|| ApiError::bad_request(format!("rate is {text:?}; write it like 20/s")))?;
    #[expect(clippy::cast_possible_truncation, reason = "at most 100,000 a second")]
    let rate_milli = (rate * 1000.0).round() as i64;
    Ok(rate_milli)
}

fn percent(text: &str) -> Result<i64, ApiError> {
    let percent = text.strip_suffix('%').and_then(|text| text.trim().parse::<i64>().ok());
    let wrong = || ApiError::bad_request(format!("stop_on_failures is {text:?}; write it like 50%"));
    percent.filter(|percent| (1..=100).contains(percent)).ok_or_else(wrong)
}

pub(super) async fn plans(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let plans = api.ledger()?.plans(MOST).await.map_err(problem)?;
    Ok(Json(json!({ "plans": plans.iter().map(|plan| shown_plan(&api, plan)).collect::<Vec<_>>() })))
}

pub(super) async fn plan(State(api): State<Api>, Path(id): Path<Id>) -> Result<Json<Value>, ApiError> {
    let plan = api.ledger()?.plan(&id).await.map_err(problem)?.ok_or_else(no_plan)?;
    Ok(Json(described(&api, plan).await?))
}

pub(super) async fn step(
    State(api): State<Api>,
    Path((id, word)): Path<(Id, String)>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Json(Because { reason }): Json<Because>,
) -> Result<Json<Value>, ApiError> {
    let step = Step::ALL.into_iter().find(|step| step.word() == word).ok_or_else(|| {
        let words = Step::ALL.map(Step::word).join(", ");
        ApiError::not_found(format!("nothing called {word:?} can be done with a plan; write one of {words}"))
    })?;
    let actor = actor(&identity, &headers, &reason)?;
    let ledger = api.ledger()?;
    if matches!(step, Step::Apply | Step::Resume) {
        let plan = ledger.plan(&id).await.map_err(problem)?.ok_or_else(no_plan)?;
        if let Some((status, message)) = obstacle_of(&api, &plan).await? {
            return Err(ApiError::new(status, message));
        }
    }
    match ledger.step(&id, step, actor, Timestamp::now().as_millisecond()).await.map_err(problem)? {
        Stepped::Done => {
            let plan = ledger.plan(&id).await.map_err(problem)?.ok_or_else(no_plan)?;
            Ok(Json(described(&api, plan).await?))
        }
        Stepped::Unknown => Err(no_plan()),
        Stepped::Not(state) => Err(conflict(format!("a plan that is {state} cannot be asked to {word}"))),
        Stepped::Busy(queue) => {
            Err(conflict(format!("another plan is under way in {queue}; wait for it, or pause it")))
        }
        Stepped::KeyTaken => Err(conflict("this Idempotency-Key was used for something else".to_owned())),
    }
}

/// Says why a plan could not be carried out now, if so.
async fn obstacle_of(api: &Api, plan: &Plan) -> Result<Option<(StatusCode, String)>, ApiError> {
    if plan.act != Act::Redrive.word() {
        return Ok(None);
    }
    let places = api.ledger()?.plan_places(plan.number).await.map_err(problem)?;
    let obstacle = |(source, queue): &(String, String)| {
        if !api.settings.of_queue(queue).acts {
            let message = format!("nothing is redriven in {queue}: give it mode: act in the configuration");
            return Some((StatusCode::CONFLICT, message));
        }
        plan.to_queue.as_deref().and_then(|to| obstacle(api, [source, queue], Some(to)))
    };
    Ok(places.iter().find_map(obstacle))
}

async fn described(api: &Api, plan: Plan) -> Result<Value, ApiError> {
    let ledger = api.ledger()?;
    let progress = ledger.progress(plan.number).await.map_err(problem)?;
    let queues = ledger.plan_queues(plan.number).await.map_err(problem)?;
    let mut samples = Vec::new();
    for id in ledger.samples(plan.number).await.map_err(problem)? {
        samples.extend(ledger.letter(&id).await.map_err(problem)?.map(shown));
    }
    let obstacle = match &*plan.state {
        "dry" | "paused" | "stopped" => obstacle_of(api, &plan).await?.map(|(_, message)| message),
        _ => None,
    };
    Ok(json!({
        "plan": shown_plan(api, &plan), "progress": progress, "queues": queues, "samples": samples, "obstacle": obstacle,
    }))
}

/// The filter as JSON rather than as text of it.
fn shown_plan(api: &Api, plan: &Plan) -> Value {
    let mut shown = json!(plan);
    if let Some(filter) = shown.get_mut("filter") {
        *filter = api.settings.redaction.of_filter(&plan.filter);
    }
    shown
}

fn no_plan() -> ApiError {
    ApiError::not_found("no such plan")
}
