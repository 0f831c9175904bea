//! What people see of their accounts, and what they call themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::credentials::names;
use super::routes::Auth;
use super::users;
use super::who::Caller;
use crate::problem::Problem;

/// `GET /auth/me` and `/auth/profile`
pub(super) async fn profile(caller: Caller) -> Json<Value> {
    Json(caller.user.shown())
}

/// The body of a change of name: whole, or in two parts, of which what is missing stays.
#[derive(Debug, Deserialize)]
pub(super) struct Rename {
    name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
}

/// `PATCH /auth/profile`
pub(super) async fn rename(
    State(auth): State<Arc<Auth>>,
    caller: Caller,
    Json(rename): Json<Rename>,
) -> Result<Json<Value>, ApiError> {
    let Rename { name, first_name, last_name } = &rename;
    if name.is_none() && first_name.is_none() && last_name.is_none() {
        return Err(ApiError::bad_request("send name, or first_name and last_name").code("nothing_to_change"));
    }
    let stays = |part: &Option<String>, known: String| Some(part.clone().unwrap_or(known)).filter(|_| name.is_none());
    let (first, last) = (stays(first_name, caller.user.first_name), stays(last_name, caller.user.last_name));
    let (first, last) = names(name.as_deref(), first.as_deref(), last.as_deref())?;
    // What stays may be another by now.
    let changed = |part: &Option<String>, new| (name.is_some() || part.is_some()).then_some(new);
    let (first, last) = (changed(first_name, &*first), changed(last_name, &*last));
    let renaming = async {
        let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
        let user = users::rename(&mut transaction, &caller.user.id, first, last, now).await?;
        transaction.commit().await?;
        Ok::<_, Problem>(user)
    };
    let gone = || ApiError::not_found("the account was deleted meanwhile").code("no_such_account");
    Ok(Json(renaming.await?.ok_or_else(gone)?.shown()))
}

/// `GET /tenants/current`: to whom the caller belongs.
pub(super) async fn tenant(caller: Caller) -> Result<Json<Value>, ApiError> {
    let none = || ApiError::not_found("the account belongs to no tenant").code("no_tenant");
    let id = caller.user.tenant_id.ok_or_else(none)?;
    Ok(Json(json!({ "id": id, "tenant_id": id })))
}
