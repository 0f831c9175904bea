//! What people do with their accounts.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kit::http::ApiError;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::credentials::Registration;
use super::ending::to_the_end;
use super::events::{Happened, about, note};
use super::links::{self, Purpose, may_have_mail};
use super::lockout::Who;
use super::login::tokens_of;
use super::new_password;
use super::routes::Auth;
use super::second_factor;
use super::session::{self, Session};
use super::sessions;
use super::tries::{Tried, confirm, count};
use super::users::{self, NewUser, User, WATCHED};
use super::who::{Agent, Asker, Caller};
use crate::mail::Errand;
use crate::problem::Problem;

/// What whoever registers does next, if addresses must be confirmed.
const FOLLOW: &str = "the account was made; to sign in, follow the link that is on its way to the e-mail address";

/// `POST /auth/register`: the account, with tokens as after a login.
pub(super) async fn register(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    Agent(agent): Agent,
    Json(mut registration): Json<Registration>,
) -> Result<Response, ApiError> {
    let (first_name, last_name) = registration.checked(auth.password_min_chars)?;
    let place = auth.passwords.place_for_new()?;
    if let Some(address) = asker.address {
        count(&auth, Who::Registering(address)).await?;
    }
    let hash = auth.passwords.hash(&place, registration.password.clone()).await?;
    let now = Timestamp::now();
    let new = NewUser {
        email: &registration.email,
        password_hash: &hash,
        first_name: &first_name,
        last_name: &last_name,
        tenant_id: registration.tenant_id.as_deref(),
        realm: if asker.watches { WATCHED } else { "" },
        may_join: asker.is_root,
    };
    let Some((user, session)) = insert(&auth, new, asker, agent.as_deref(), now).await? else {
        let taken = ApiError::new(StatusCode::CONFLICT, "there is an account with this e-mail address");
        return Err(taken.code("email_taken"));
    };
    if auth.mail.need().is_ok() && may_have_mail(&user) {
        // The account is made: a mail that is missing is told in the log, and can be asked for again.
        let _best_effort = auth.send_verification(&user).await;
    }
    let mut body = match session {
        Some(session) => tokens_of(&auth, &user, &session, now)?,
        None => json!({ "user": user.shown() }),
    };
    // Clients read the user at the top or below `user`.
    if let (Value::Object(body), Value::Object(user)) = (&mut body, user.shown()) {
        body.extend(user);
        let message = if body.contains_key("access_token") { "the account was made" } else { FOLLOW };
        body.insert("message".to_owned(), message.into());
    }
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

async fn insert(
    auth: &Auth,
    new: NewUser<'_>,
    asker: Asker,
    agent: Option<&str>,
    now: Timestamp,
) -> Result<Option<(User, Option<Session>)>, Problem> {
    let mut transaction = auth.store.begin().await?;
    let Some(user) = users::insert(&mut transaction, new, now).await? else {
        transaction.rollback().await?;
        return Ok(None);
    };
    let mut session = None;
    if auth.may_sign_in(&user) {
        let begun = session.insert(session::begin(&mut transaction, &user, auth.refresh_life, now).await?);
        sessions::seen(&mut transaction, &begun.id, asker, agent, now).await?;
    }
    note(&mut transaction, Happened::Registered, about(&user, asker), now).await?;
    transaction.commit().await?;
    Ok(Some((user, session)))
}

/// The body of a change of password.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    current_password: SecretString,
    new_password: SecretString,
}

/// `POST /auth/change-password`: ends every other session.
pub(super) async fn change_password(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    caller: Caller,
    Json(change): Json<Change>,
) -> Result<Json<Value>, ApiError> {
    new_password::check(&change.new_password, auth.password_min_chars, caller.user.known())?;
    let place = auth.passwords.place()?;
    confirm(&auth, &place, &caller, asker, change.current_password).await?;
    let hash = auth.passwords.hash(&place, change.new_password).await?;
    let is_set = to_the_end(&auth, |auth| async move { set_password(&auth, &caller, &hash, asker).await }).await?;
    if !is_set {
        return Err(ApiError::new(StatusCode::CONFLICT, "the password was changed meanwhile").code("changed_meanwhile"));
    }
    Ok(Json(json!({ "message": "the password was changed; every other session has ended" })))
}

async fn set_password(auth: &Auth, caller: &Caller, hash: &str, asker: Asker) -> Result<bool, Problem> {
    let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
    // First, as whoever follows a link does: otherwise the two could wait for each other.
    links::void(&mut transaction, &caller.user.id, Purpose::ResetPassword, now).await?;
    if !users::set_hash(&mut transaction, &caller.user, hash, now).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    Tried::own(caller, asker).forgive_within(&mut transaction).await?;
    session::end_all(&mut transaction, &caller.user.id, Some(&caller.session), "password_changed", now).await?;
    note(&mut transaction, Happened::PasswordChanged, about(&caller.user, asker), now).await?;
    transaction.commit().await?;
    auth.tell(&caller.user, |user| Errand::PasswordChanged { user }).await;
    Ok(true)
}

/// `DELETE /auth/users/{id}`: oneself, and nobody else.
pub(super) async fn delete(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    if id != caller.user.id {
        return Err(ApiError::forbidden("only one's own account can be deleted"));
    }
    let deleting = async {
        let now = Timestamp::now();
        let mut transaction = auth.store.begin().await?;
        if users::delete(&mut transaction, &id, now).await? {
            session::end_all(&mut transaction, &id, None, "deleted", now).await?;
            second_factor::forget(&mut transaction, &id).await?;
            note(&mut transaction, Happened::Deleted, about(&caller.user, asker), now).await?;
        }
        Ok::<_, Problem>(transaction.commit().await?)
    };
    deleting.await?;
    Ok(Json(json!({ "message": "the account was deleted" })))
}
