//! What whoever administers does with other people's accounts.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::credentials::is_name;
use super::events::{Happened, Subject, note};
use super::routes::Auth;
use super::session;
use super::users::{self, Change, ROLES, User};
use super::who::Admin;
use crate::problem::Problem;

/// Accounts of one answer, at most.
const MAX_USERS: i64 = 1000;

/// Which accounts.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// After the account of this id; from the first if it is missing.
    after: Option<String>,
    limit: Option<i64>,
    email: Option<String>,
}

/// `GET /auth/users`: accounts in the order they were made.
pub(super) async fn list(
    State(auth): State<Arc<Auth>>,
    _admin: Admin,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let reading = async |transaction: &mut Transaction| match &wanted.email {
        Some(email) => {
            let found = users::by_email(transaction, &email.trim().to_lowercase()).await?;
            Ok(found.into_iter().collect::<Vec<User>>())
        }
        None => {
            let limit = wanted.limit.unwrap_or(100).clamp(1, MAX_USERS);
            users::after(transaction, wanted.after.as_deref().unwrap_or_default(), limit).await
        }
    };
    let users: Vec<Value> = auth.store.read(reading).await?.iter().map(User::shown).collect();
    Ok(Json(json!({ "users": users })))
}

/// `PATCH /auth/users/{id}`: another role or tenant, or an account that may be used again or no more; its sessions end, since their
/// tokens say what was.
pub(super) async fn change(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Path(id): Path<String>,
    Json(mut change): Json<Change>,
) -> Result<Json<Value>, ApiError> {
    if let Some(role) = change.role.as_deref().filter(|role| !ROLES.contains(role)) {
        let text = format!("{role:?} is no role; write one of {}", ROLES.join(", "));
        return Err(ApiError::bad_request(text).code("invalid_role"));
    }
    if change.role.is_none() && change.is_active.is_none() && change.tenant_id.is_none() {
        return Err(ApiError::bad_request("send role, is_active or tenant_id").code("nothing_to_change"));
    }
    if change.tenant_id.as_deref().is_some_and(|tenant| !is_name(tenant) || tenant.trim().is_empty()) {
        let text = "tenant_id has 1 to 100 characters and no control characters";
        return Err(ApiError::bad_request(text).code("invalid_tenant"));
    }
    change.tenant_id = change.tenant_id.map(|tenant| tenant.trim().to_owned());
    let changing = async {
        let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
        let changed = users::change(&mut transaction, &id, &change, now).await?;
        if let Some(user) = &changed {
            session::end_all(&mut transaction, &id, None, "changed", now).await?;
            let state = if user.is_active == 0 { "not active" } else { "active" };
            let tenant = user.tenant_id.as_ref().map(|tenant| format!(", tenant {tenant}")).unwrap_or_default();
            let detail = format!("role {}, {state}{tenant}", user.role);
            let subject = Subject { detail: Some(&detail), ..admin.about(user) };
            note(&mut transaction, Happened::AccountChanged, subject, now).await?;
        }
        transaction.commit().await?;
        Ok::<_, Problem>(changed)
    };
    let none = || ApiError::not_found("there is no account with this id").code("no_such_account");
    changing.await?.map(|user| Json(user.shown())).ok_or_else(none)
}
