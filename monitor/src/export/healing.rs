//! Healing as people see and steer it: what was done, why something is left alone, and who paused it until when.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use kit::config::suggest;
use kit::http::{ApiError, Identity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alerts::answers::{audit_row, bad, not_durable, short};
use super::alerts::quiet::span;
use super::shared::{Ask, Shared};
use crate::heal::{self, Heal, Patient, Pause, Ward};
use crate::judge::Phase;
use crate::record::StateBatch;
use crate::supervise::{Command, Rest, Who};

/// Heals of a service that its status carries; the list of all has more.
const LATEST: usize = 5;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/healing", get(list))
        .route("/api/v1/healing/pause", post(pause))
        .route("/api/v1/healing/resume", post(resume))
        .with_state(shared)
}

/// How a service stands with healing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HealingStatus {
    /// What keeps data may be restarted too.
    pub stateful: bool,
    /// What loops is stopped and held.
    pub quarantine: bool,
    /// Who paused it, if it is paused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused: Option<PauseStatus>,
    /// The name of what keeps us from restarting it though something is wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<String>,
    /// That in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold_why: Option<String>,
    /// The latest heals, newest first.
    pub heals: Vec<HealStatus>,
}

/// A pause.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PauseStatus {
    /// Since when, RFC 3339.
    pub since: String,
    /// Until when; without it until somebody resumes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<String>,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

/// One heal.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HealStatus {
    /// When it was decided, RFC 3339.
    pub at: String,
    /// restart, start or quarantine.
    pub action: String,
    /// The name of the trouble.
    pub trouble: String,
    /// What was wrong, in words.
    pub why: String,
    /// pending, worked, failed, relapsed or refused.
    pub result: String,
    /// Why it was refused, with what to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refusal: Option<String>,
}

impl HealingStatus {
    /// Returns how a service stands; none if it does not ask to be healed. A replica shares the pause of `whole`.
    pub(super) fn of(ward: &Ward, service: &str, whole: &str, now: Timestamp) -> Option<Self> {
        let patient = ward.patient(service)?;
        let settings = patient.settings?;
        Some(Self {
            stateful: settings.stateful,
            quarantine: settings.quarantine,
            paused: patient.record.pause(now).or_else(|| ward.pause_of(whole, now)).map(PauseStatus::of),
            hold: patient.hold.as_ref().map(|hold| hold.name().to_owned()),
            hold_why: patient.hold.as_ref().map(ToString::to_string),
            heals: latest(patient),
        })
    }
}

impl PauseStatus {
    fn of(pause: &Pause) -> Self {
        Self {
            since: pause.at.to_string(),
            until: pause.until.map(|until| until.to_string()),
            by: pause.by.clone(),
            why: pause.why.clone(),
        }
    }
}

fn latest(patient: &Patient) -> Vec<HealStatus> {
    let status = |heal: &Heal| HealStatus {
        at: heal.at.to_string(),
        action: heal.action.as_str().to_owned(),
        trouble: heal.trouble.clone(),
        why: heal.why.clone(),
        result: heal.result.as_str().to_owned(),
        refusal: heal.refusal.clone(),
    };
    patient.record.heals.iter().rev().take(LATEST).map(status).collect()
}

/// Everything about healing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HealingAnswer {
    /// Who paused all of it.
    paused: Option<PauseStatus>,
    /// Heals that ended in each way since this monitor started.
    totals: std::collections::BTreeMap<&'static str, u64>,
    /// Every service that asks to be healed.
    services: Vec<ServiceHealing>,
}

/// One service.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServiceHealing {
    service: String,
    #[serde(flatten)]
    healing: HealingStatus,
}

/// `GET /api/v1/healing`
#[utoipa::path(get, path = "/api/v1/healing", tag = "healing", responses((status = 200, body = HealingAnswer)))]
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<HealingAnswer> {
    let now = Timestamp::now();
    let board = shared.board();
    let ward = shared.ward();
    let services = ward.patients().filter_map(|(service, _)| {
        let whole = board.service(service).map_or(service, |entry| entry.whole());
        Some(ServiceHealing { service: service.to_string(), healing: HealingStatus::of(&ward, service, whole, now)? })
    });
    Json(HealingAnswer {
        paused: ward.pause(now).map(PauseStatus::of),
        totals: ward.totals().map(|(result, count)| (result.as_str(), count)).collect(),
        services: services.collect(),
    })
}

/// Whom to heal no more for a while.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPause {
    /// The service; without it all are meant.
    service: Option<String>,
    /// How long, such as `2h`; without it until somebody resumes it.
    r#for: Option<String>,
    /// Why.
    #[serde(default)]
    why: String,
}

/// `POST /api/v1/healing/pause`
#[utoipa::path(post, path = "/api/v1/healing/pause", tag = "healing", request_body = NewPause,
    responses((status = 204, description = "paused, and on the disk"), (status = 400, description = "what is wrong with it")))]
pub(super) async fn pause(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Json(new): Json<NewPause>,
) -> Result<impl IntoResponse, ApiError> {
    set_pause(&shared, &who, new.service.as_deref(), Some((new.r#for.as_deref(), &new.why))).await
}

/// Whom to heal again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resumed {
    /// The service; without it the pause of all is meant.
    service: Option<String>,
}

/// `POST /api/v1/healing/resume`
#[utoipa::path(post, path = "/api/v1/healing/resume", tag = "healing", request_body = Resumed,
    responses((status = 204, description = "resumed; what was held in quarantine is started"), (status = 400, description = "no such service")))]
pub(super) async fn resume(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Json(resumed): Json<Resumed>,
) -> Result<impl IntoResponse, ApiError> {
    set_pause(&shared, &who, resumed.service.as_deref(), None).await
}

/// Pauses for as long and for what is said, or resumes, with a row in the audit. It is on the disk before it is answered.
pub(super) async fn set_pause(
    shared: &Shared,
    who: &Identity,
    service: Option<&str>,
    paused: Option<(Option<&str>, &str)>,
) -> Result<axum::http::StatusCode, ApiError> {
    let meant = service.map(|name| meant(shared, name)).transpose()?;
    let pause = match paused {
        None => None,
        Some((length, why)) => {
            let until = length.map(|length| span(None, None, Some(length))).transpose()?.map(|(_, until)| until);
            Some(Pause { at: Timestamp::now(), until, by: who.name.clone(), why: short(why)? })
        }
    };
    let action = if pause.is_some() { "healing.pause" } else { "healing.resume" };
    let detail = pause.as_ref().map(|pause| match pause.until {
        Some(until) => format!("until {until}: {}", pause.why),
        None => pause.why.clone(),
    });
    let row = audit_row(who, action, service.unwrap_or("all"), &detail.unwrap_or_default());
    let document = serde_json::to_string(&pause).map_err(|error| ApiError::internal(&error))?;
    let mut batch: StateBatch = row.into();
    let is_resumed = pause.is_none();
    let writing = {
        let mut ward = shared.ward();
        match &meant {
            None => {
                batch.documents.insert((heal::PAUSES, heal::EVERYBODY.to_owned()), Some(document));
                ward.set_pause(None, pause);
            }
            Some(names) => {
                for name in names {
                    batch.documents.insert((heal::PAUSES, name.to_string()), Some(document.clone()));
                    ward.set_pause(Some(name), pause.clone());
                }
            }
        }
        // In the same breath, so that of two who ask at once the last one's word is kept too.
        shared.stores.state.put_durably(batch)
    };
    writing.await.map_err(|error| not_durable(error.to_string()))?;
    for service in meant.into_iter().flatten().filter(|service| is_resumed && is_held(shared, service)) {
        shared.ask_surely(Ask::Order(service, Command::Start(Who::Announced))).await?;
    }
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Returns whom a name means: the service, or its replicas. Each must ask to be healed.
fn meant(shared: &Shared, name: &str) -> Result<Vec<Arc<str>>, ApiError> {
    let replicas = shared.board().replicas_of(name);
    let ward = shared.ward();
    let names = if replicas.is_empty() { vec![name.into()] } else { replicas };
    if names.iter().any(|name| ward.patient(name).is_none_or(|patient| patient.settings.is_none())) {
        let near = suggest(name, ward.patients().map(|(known, _)| &**known));
        return Err(bad(format!("{name:?} is not a service that asks to be healed{near}")));
    }
    // What is said of the service holds for replicas that come later too.
    Ok(if names.iter().any(|known| **known == *name) {
        names
    } else {
        [name.into()].into_iter().chain(names).collect()
    })
}

/// Returns whether a service was stopped by us, and has to be started by somebody.
fn is_held(shared: &Shared, service: &str) -> bool {
    let board = shared.board();
    let workload = board.service(service).and_then(|service| service.workload.as_ref());
    workload.is_some_and(|workload| workload.phase == Phase::Resting(Rest::Quarantined))
}
