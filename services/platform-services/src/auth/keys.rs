//! Keys of services: made by whoever administers, each for some things, shown once, kept as digests, and revocable.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::{API_KEY, ApiError, no_key, shown_key};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::credentials::{MAX_NAME_CHARS, is_name};
use super::events::{Happened, Subject, note};
use super::routes::Auth;
use super::token::{digest, make_secret};
use super::uses::{Used, note_use};
use super::who::Admin;
use crate::problem::Problem;
use crate::time::{DAY_MS, written};

/// Begins every key, so that people and scanners know one when they see it.
pub(super) const PREFIX: &str = "pak_";
/// Keys that are not revoked, at most.
const MAX_KEYS: i64 = 1000;

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// Records, through the gateway.
    Airtable,
    /// Conversations and tools, through the gateway.
    Chat,
    /// Reading what happened in sign-in.
    Events,
    /// Writing and reading analytics.
    Analytics,
    /// Watching: accounts of the monitors' realm.
    Watch,
}

impl Scope {
    const ALL: [Self; 5] = [Self::Airtable, Self::Chat, Self::Events, Self::Analytics, Self::Watch];
}

/// A service that has shown its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceIdentity {
    /// Its id; none for the one key that is good for everything.
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    scopes: BTreeSet<Scope>,
}

impl ServiceIdentity {
    fn root() -> Self {
        Self { id: None, name: "API_KEY".to_owned(), scopes: Scope::ALL.into() }
    }

    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Goes on if its key is for this.
    ///
    /// # Errors
    /// 403 if not.
    pub(crate) fn must(&self, scope: Scope) -> Result<(), ApiError> {
        if self.may(scope) { Ok(()) } else { Err(ApiError::forbidden("the key is for other things")) }
    }
}

/// Returns who shows a key; none if nobody does.
///
/// # Errors
/// 401 if the key is wrong, in the same words whatever is wrong with it.
pub(crate) async fn service(auth: &Auth, headers: &HeaderMap) -> Result<Option<ServiceIdentity>, ApiError> {
    if !headers.contains_key(API_KEY) {
        return Ok(None);
    }
    let key = shown_key(headers).ok_or_else(no_key)?;
    find(auth, key.as_bytes()).await?.map(Some).ok_or_else(no_key)
}

/// As [`service`], for what nobody may do who shows no key.
pub(super) async fn some_service(auth: &Auth, headers: &HeaderMap) -> Result<ServiceIdentity, ApiError> {
    service(auth, headers).await?.ok_or_else(no_key)
}

async fn find(auth: &Auth, key: &[u8]) -> Result<Option<ServiceIdentity>, Problem> {
    if auth.service_key.as_ref().is_some_and(|root| root.is(key)) {
        return Ok(Some(ServiceIdentity::root()));
    }
    if !key.starts_with(PREFIX.as_bytes()) {
        return Ok(None);
    }
    let sql = "SELECT id, name, scopes, used_ms FROM api_keys
        WHERE digest = $1 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $2)";
    let (digest, now) = (digest(key), Timestamp::now());
    let binds = [digest.as_str().into(), now.as_millisecond().into()];
    let found: Option<(String, String, String, Option<i64>)> =
        auth.store.read(async |transaction| transaction.row(sql, &binds).await).await?;
    let Some((id, name, scopes, used_ms)) = found else { return Ok(None) };
    note_use(auth, Used::Key(&id), used_ms, now).await;
    // What a later program wrote, and this one does not know, is good for nothing.
    let scopes: Vec<Value> = serde_json::from_str(&scopes).unwrap_or_default();
    let scopes = scopes.into_iter().filter_map(|scope| serde_json::from_value(scope).ok()).collect();
    Ok(Some(ServiceIdentity { id: Some(id), name, scopes }))
}

/// The body that makes a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    name: String,
    scopes: BTreeSet<Scope>,
    /// Days, from now; for ever if it is missing.
    expires_in_days: Option<u16>,
}

/// `POST /auth/keys`
pub(super) async fn make(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Json(new): Json<NewKey>,
) -> Result<Response, ApiError> {
    let name = new.name.trim();
    if !is_name(name) {
        let text = format!("name has 1 to {MAX_NAME_CHARS} characters and no control characters");
        return Err(ApiError::bad_request(text).code("invalid_name"));
    }
    if new.scopes.is_empty() || new.expires_in_days == Some(0) {
        let text = format!("scopes are one or more of {}; expires_in_days is at least 1", names(&Scope::ALL));
        return Err(ApiError::bad_request(text).code("invalid_scopes"));
    }
    let now = Timestamp::now();
    let expires_ms = new.expires_in_days.map(|days| now.as_millisecond() + i64::from(days) * DAY_MS);
    let (id, key) = (Uuid::now_v7().to_string(), SecretString::from(format!("{PREFIX}{}", make_secret())));
    let kept = Kept { id: &id, name, key: &key, scopes: &new.scopes, expires_ms };
    if !insert(&auth, &kept, &admin, now).await? {
        let text = format!("there are {MAX_KEYS} keys; revoke those that nobody uses");
        return Err(ApiError::new(StatusCode::CONFLICT, text).code("too_many_keys"));
    }
    let body = json!({
        "id": id, "name": name, "scopes": new.scopes, "key": key.expose_secret(),
        "expires_at": expires_ms.map(written), "message": "the key is shown this once",
    });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

struct Kept<'a> {
    id: &'a str,
    name: &'a str,
    key: &'a SecretString,
    scopes: &'a BTreeSet<Scope>,
    expires_ms: Option<i64>,
}

async fn insert(auth: &Auth, kept: &Kept<'_>, admin: &Admin, now: Timestamp) -> Result<bool, Problem> {
    let mut transaction = auth.store.begin().await?;
    let count: Option<(i64,)> = transaction.row("SELECT count(*) FROM api_keys WHERE revoked_ms IS NULL", &[]).await?;
    if count.is_some_and(|(count,)| count >= MAX_KEYS) {
        transaction.rollback().await?;
        return Ok(false);
    }
    let sql = "INSERT INTO api_keys (id, name, digest, scopes, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5, $6)";
    let digest = digest(kept.key.expose_secret());
    let scopes = json!(kept.scopes).to_string();
    let binds = [
        kept.id.into(),
        kept.name.into(),
        digest.as_str().into(),
        scopes.as_str().into(),
        now.as_millisecond().into(),
        kept.expires_ms.into(),
    ];
    transaction.change(sql, &binds).await?;
    let detail = format!("{} {} {scopes}", kept.id, kept.name);
    note_key(&mut transaction, Happened::KeyMade, admin, &detail, now).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn note_key(
    transaction: &mut Transaction,
    happened: Happened,
    admin: &Admin,
    detail: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let subject = Subject { detail: Some(detail), ..admin.subject() };
    note(transaction, happened, subject, now).await
}

/// `GET /auth/keys`: those that are not revoked first, and the newest first; without the keys themselves.
pub(super) async fn list(State(auth): State<Arc<Auth>>, _admin: Admin) -> Result<Json<Value>, ApiError> {
    type Row = (String, String, String, i64, Option<i64>, Option<i64>, Option<i64>);
    let sql = "SELECT id, name, scopes, created_ms, expires_ms, revoked_ms, used_ms FROM api_keys
        ORDER BY revoked_ms IS NOT NULL, id DESC LIMIT 2000";
    let rows: Vec<Row> = auth.store.read(async |transaction| transaction.rows(sql, &[]).await).await?;
    let keys: Vec<Value> = rows
        .into_iter()
        .map(|(id, name, scopes, made, expires, revoked, used)| {
            json!({
                "id": id, "name": name, "scopes": serde_json::from_str::<Value>(&scopes).unwrap_or_default(),
                "created_at": written(made), "expires_at": expires.map(written), "revoked_at": revoked.map(written),
                "last_used_at": used.map(written),
            })
        })
        .collect();
    Ok(Json(json!({ "keys": keys })))
}

/// `DELETE /auth/keys/{id}`: it is good for nothing from now on.
pub(super) async fn revoke(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let revoking = async {
        let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
        let sql = "UPDATE api_keys SET revoked_ms = $1 WHERE id = $2 AND revoked_ms IS NULL";
        let revoked = transaction.change(sql, &[now.as_millisecond().into(), id.as_str().into()]).await? == 1;
        if revoked {
            note_key(&mut transaction, Happened::KeyRevoked, &admin, &id, now).await?;
        }
        transaction.commit().await?;
        Ok::<_, Problem>(revoked)
    };
    if revoking.await? {
        return Ok(Json(json!({ "message": "the key was revoked" })));
    }
    Err(ApiError::not_found("there is no such key, or it was revoked before").code("no_such_key"))
}

/// `GET /auth/keys/verify`: whose key a service shows, for those that are shown keys themselves.
pub(super) async fn verify(State(auth): State<Arc<Auth>>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    let found = some_service(&auth, &headers).await?;
    Ok(Json(json!({ "valid": true, "id": found.id, "name": found.name, "scopes": found.scopes })))
}

fn names(scopes: &[Scope]) -> String {
    let names = scopes.iter().map(|scope| json!(scope).as_str().unwrap_or_default().to_owned());
    names.collect::<Vec<_>>().join(", ")
}
