//! What operators do with the forms of the pages: silence, close, try again, end. The door has seen to it that an
//! operator sent them, from a page of ours (`access::guard`).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Redirect;
use axum::routing::post;
use axum::{Extension, Form, Router};
use kit::http::{ApiError, Identity};
use serde::Deserialize;
use uuid::Uuid;

use crate::alert::{Incident, Matcher, Silence};
use crate::export::alerts::answers::{audit_row, bad, not_durable, short};
use crate::export::alerts::quiet::{keep_silence, span};
use crate::export::healing::set_pause;
use crate::export::shared::Shared;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/incidents/{id}/silence", post(silence))
        .route("/incidents/{id}/close", post(close))
        .route("/deliveries/{incident}/{event}/{channel}/retry", post(retry))
        .route("/services/{name}/healing/pause", post(pause_healing))
        .route("/services/{name}/healing/resume", post(resume_healing))
        .route("/silences/{id}/end", post(end_silence))
        .route("/maintenance/{id}/end", post(end_window))
        .with_state(shared)
}

#[derive(Debug, Deserialize)]
struct Asked {
    /// How long, such as `1h`.
    r#for: String,
    #[serde(default)]
    comment: String,
}

/// Silences what an incident is about.
async fn silence(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
    Form(asked): Form<Asked>,
) -> Result<Redirect, ApiError> {
    let found = shared.alerts.incident(id).await.map_err(|error| ApiError::internal(&error))?;
    let incident =
        found.ok_or_else(|| ApiError::not_found(format!("there is no incident {id}")).code("no_incident"))?;
    let (from, until) = span(None, None, Some(&asked.r#for))?;
    let matchers = matchers(&incident);
    if matchers.is_empty() {
        return Err(bad("nothing names what this incident is about"));
    }
    let comment = short(&asked.comment)?;
    let silence = Silence { id: Uuid::now_v7(), matchers, from, until, by: who.name.clone(), comment };
    keep_silence(&shared, &who, silence).await?;
    Ok(to_incident(id))
}

/// Its service, or for what is about none whatever else names it; never how urgent it is, which may change.
fn matchers(incident: &Incident) -> Vec<Matcher> {
    if let Some(service) = &incident.service {
        return vec![Matcher::equal("service", service)];
    }
    let labels = incident.labels.iter().filter(|(label, _)| *label != "severity");
    let matchers = labels.map(|(label, value)| Matcher::equal(label, value));
    // One that could not be read back would be lost at the next start.
    matchers.filter(|matcher| Matcher::parse(&matcher.to_string()).is_ok()).collect()
}

/// Closes an incident; one that is over already is as wanted.
async fn close(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
) -> Result<Redirect, ApiError> {
    let row = audit_row(&who, "incident.close", id, "");
    shared.alerts.close(id, &who.name, row).await.map_err(not_durable)?;
    Ok(to_incident(id))
}

/// Tries a dead letter again; one that was revived already is as wanted.
async fn retry(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<(Uuid, u32, String)>,
) -> Result<Redirect, ApiError> {
    let row = audit_row(&who, "delivery.retry", format!("{}.{}.{}", id.0, id.1, id.2), "");
    shared.alerts.revive(&id, row).await.map_err(|error| ApiError::internal(&error))?;
    Ok(to_incident(id.0))
}

/// Heals a service no more for a while.
async fn pause_healing(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
    Form(asked): Form<Asked>,
) -> Result<Redirect, ApiError> {
    let length = Some(asked.r#for.as_str()).filter(|length| !length.is_empty());
    set_pause(&shared, &who, Some(&name), Some((length, &asked.comment))).await?;
    Ok(to_service(&name))
}

/// Heals a service again, and starts it if it was held.
async fn resume_healing(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Redirect, ApiError> {
    set_pause(&shared, &who, Some(&name), None).await?;
    Ok(to_service(&name))
}

async fn end_silence(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
) -> Result<Redirect, ApiError> {
    let row = audit_row(&who, "silence.end", id, "");
    shared.alerts.end_silence(id, row).await.map_err(not_durable)?;
    Ok(Redirect::to("/alerts"))
}

async fn end_window(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Identity>,
    Path(id): Path<Uuid>,
) -> Result<Redirect, ApiError> {
    let row = audit_row(&who, "maintenance.end", id, "");
    shared.alerts.end_window(id, row).await.map_err(not_durable)?;
    Ok(Redirect::to("/alerts"))
}

/// A service's name is of lower-case letters, digits and dashes: it was found.
fn to_service(name: &str) -> Redirect {
    Redirect::to(&format!("/services/{name}#healing"))
}

fn to_incident(id: Uuid) -> Redirect {
    Redirect::to(&format!("/incidents/{id}"))
}
