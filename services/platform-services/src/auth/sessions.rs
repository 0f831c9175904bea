//! What people see of their sessions, and how they end them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::ApiError;
use serde_json::{Value, json};

use super::events::{Happened, Subject, about, note};
use super::routes::Auth;
use super::session::{self, LONGEST_MS};
use super::who::{Asker, Caller};
use crate::problem::Problem;
use crate::time::written;

/// A session as it is kept.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: String,
    created_ms: i64,
    used_ms: i64,
    address: Option<String>,
    user_agent: Option<String>,
}

impl Row {
    fn shown(&self, current: &str) -> Value {
        json!({
            "id": self.id, "created_at": written(self.created_ms), "last_used_at": written(self.used_ms),
            "address": self.address, "user_agent": self.user_agent, "current": self.id == current,
        })
    }
}

/// `GET /auth/sessions`: one's own that go on, the newest first, and 100 of them at most.
pub(super) async fn list(State(auth): State<Arc<Auth>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let now_ms = Timestamp::now().as_millisecond();
    let oldest_ms = now_ms.saturating_sub(LONGEST_MS);
    let sql = "SELECT id, created_ms, coalesce(used_ms, created_ms) AS used_ms, address, user_agent FROM sessions
        WHERE user_id = $1 AND ended_ms IS NULL AND created_ms > $2 AND EXISTS
            (SELECT 1 FROM refresh_tokens WHERE session_id = sessions.id AND used_ms IS NULL AND expires_ms > $3)
        ORDER BY created_ms DESC, id DESC LIMIT 100";
    let binds = [caller.user.id.as_str().into(), oldest_ms.into(), now_ms.into()];
    let rows: Vec<Row> = auth.store.read(async |transaction| transaction.rows(sql, &binds).await).await?;
    let sessions: Vec<Value> = rows.iter().map(|row| row.shown(&caller.session)).collect();
    Ok(Json(json!({ "sessions": sessions })))
}

/// `DELETE /auth/sessions/{id}`: one's own, and nobody else's.
pub(super) async fn end(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    if end_own(&auth, &caller, &id, asker).await? {
        return Ok(Json(json!({ "message": "the session has ended" })));
    }
    Err(ApiError::not_found("there is no such session, or it has ended").code("no_such_session"))
}

/// `POST /auth/logout`
pub(super) async fn logout(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    end_own(&auth, &caller, &caller.session, asker).await?;
    Ok(Json(json!({ "message": "signed out" })))
}

async fn end_own(auth: &Auth, caller: &Caller, id: &str, asker: Asker) -> Result<bool, Problem> {
    let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
    let is_own = session::user_of(&mut transaction, id, &caller.user.id, now).await?.is_some();
    let ends = is_own && session::end(&mut transaction, id, "logout", now).await?;
    if ends {
        note(&mut transaction, Happened::LoggedOut, about(&caller.user, asker), now).await?;
    }
    transaction.commit().await?;
    Ok(ends)
}

/// `POST /auth/logout-all`: every session of the caller ends, this one too.
pub(super) async fn logout_all(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let ending = async {
        let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
        session::end_all(&mut transaction, &caller.user.id, None, "logout", now).await?;
        let subject = Subject { detail: Some("every session"), ..about(&caller.user, asker) };
        note(&mut transaction, Happened::LoggedOut, subject, now).await?;
        Ok::<_, Problem>(transaction.commit().await?)
    };
    ending.await?;
    Ok(Json(json!({ "message": "signed out everywhere" })))
}

/// Notes where a session is used from: whenever it gets tokens.
pub(super) async fn seen(
    transaction: &mut Transaction,
    session: &str,
    asker: Asker,
    agent: Option<&str>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let address = asker.address.map(|address| address.to_string());
    let sql = "UPDATE sessions SET used_ms = $1, address = $2, user_agent = $3 WHERE id = $4";
    let binds = [now.as_millisecond().into(), address.as_deref().into(), agent.into(), session.into()];
    transaction.change(sql, &binds).await.map(|_sessions| ())
}
