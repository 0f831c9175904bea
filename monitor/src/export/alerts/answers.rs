//! What the answers about alerts share: the audit, what was wrong, rows that are read back.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use kit::http::{ApiError, Identity};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::export::shared::Shared;
use crate::record::{AuditRow, StoreError};

/// Longest comment or note that is kept, in characters.
const MAX_COMMENT_CHARS: usize = 500;

/// Which rows of the audit.
#[derive(Debug, Deserialize, IntoParams)]
pub(in crate::export) struct AuditQuery {
    /// At most so many; 1 to 1000, default 100.
    limit: Option<u32>,
}

/// `GET /api/v1/audit`
#[utoipa::path(get, path = "/api/v1/audit", params(AuditQuery), tag = "alerts",
    responses((status = 200, description = "who did what, newest first")))]
pub(in crate::export) async fn audit(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Vec<AuditRow>>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    shared.stores.state.store().audit(limit).await.map(Json).map_err(unreadable)
}

/// Something was changed, but the disk does not take it.
pub(in crate::export) fn not_durable(message: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).code("not_durable")
}

/// A row of the audit, for what is done now.
pub(in crate::export) fn audit_row(who: &Identity, action: &str, target: impl ToString, detail: &str) -> AuditRow {
    AuditRow::new(&who.name, action, target, detail)
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
pub(in crate::export) fn unreadable(error: StoreError) -> ApiError {
    ApiError::internal(&error)
}

pub(in crate::export) fn bad(message: impl Into<String>) -> ApiError {
    ApiError::bad_request(message).code("bad_request")
}

pub(in crate::export) fn short(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if text.chars().count() > MAX_COMMENT_CHARS {
        return Err(bad(format!("the text is longer than {MAX_COMMENT_CHARS} characters")));
    }
    Ok(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}
