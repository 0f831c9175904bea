//! What happened in sign-in, for other services.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::events::{self, Event};
use super::keys::{self, Scope};
use super::routes::Auth;

/// Which events.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// After the event of this number; from the first if it is missing.
    after: Option<i64>,
    limit: Option<i64>,
}

/// `GET /auth/events?after=`: for whoever has the service key.
pub(super) async fn events(
    State(auth): State<Arc<Auth>>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, ApiError> {
    keys::some_service(&auth, &headers).await?.must(Scope::Events)?;
    let (after, limit) = (wanted.after.unwrap_or(0), wanted.limit.unwrap_or(events::MAX_EVENTS));
    let events = auth.store.read(async |transaction| events::after(transaction, after, limit).await).await?;
    let events: Vec<Value> = events.iter().map(Event::shown).collect();
    Ok(Json(json!({ "events": events })))
}
