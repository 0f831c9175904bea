//! What monitors do is answered like anything else, and says nothing of people: it is not kept.

use axum::http::HeaderMap;
use kit::db::Transaction;
use kit::http::PROBE_HEADER;

use crate::auth::is_watched;

/// Returns whether a monitor makes this request.
pub(super) fn is_probe(headers: &HeaderMap) -> bool {
    headers.contains_key(PROBE_HEADER)
}

/// Returns whether somebody is no person, but an account of a monitor.
pub(super) async fn is_watchers(transaction: &mut Transaction, user_id: Option<&str>) -> Result<bool, sqlx::Error> {
    match user_id {
        Some(user_id) => is_watched(transaction, user_id).await,
        None => Ok(false),
    }
}

/// Keeps what was written, or takes it back.
pub(super) async fn end(transaction: Transaction, is_kept: bool) -> Result<(), sqlx::Error> {
    if is_kept { transaction.commit().await } else { transaction.rollback().await }
}
