//! A new password for who has forgotten his: by a link that is sent to the account's address.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kit::http::ApiError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::credentials;
use super::ending::to_the_end;
use super::events::{Happened, about, note};
use super::links::{self, Purpose};
use super::lockout::{Who, forget};
use super::new_password;
use super::routes::Auth;
use super::session;
use super::tries::count;
use super::users::{self, User};
use super::verification::bad_link;
use super::who::Asker;
use crate::mail::Errand;
use crate::problem::Problem;

/// The body that asks for a link.
#[derive(Debug, Deserialize)]
pub(super) struct Forgotten {
    email: String,
}

/// `POST /auth/forgot-password`. Whether there is such an account is looked up when the mail is written, so that neither the
/// answer nor its time tells.
pub(super) async fn forgot(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    Json(body): Json<Forgotten>,
) -> Result<Response, ApiError> {
    auth.mail.need()?;
    let wrong = || ApiError::bad_request("email is no e-mail address").code("invalid_email");
    let email = credentials::email(&body.email).ok_or_else(wrong)?;
    if let Some(address) = asker.address {
        count(&auth, Who::Forgetting(address)).await?;
    }
    count(&auth, Who::Resetting(&email)).await?;
    note_request(&auth, &email, asker).await?;
    auth.mail.put(&Errand::ResetPassword { email }).await?;
    let text = "if there is an account with this e-mail address, a link to choose a new password is on its way to it";
    Ok((StatusCode::ACCEPTED, Json(json!({ "message": text }))).into_response())
}

async fn note_request(auth: &Auth, email: &str, asker: Asker) -> Result<(), Problem> {
    let mut transaction = auth.store.begin().await?;
    note(&mut transaction, Happened::ResetRequested, asker.about(Some(email)), Timestamp::now()).await?;
    Ok(transaction.commit().await?)
}

/// The body with what was in the link.
#[derive(Debug, Deserialize)]
pub(super) struct Reset {
    token: SecretString,
    new_password: SecretString,
}

/// `POST /auth/reset-password`: ends every session, and the lock of the account.
pub(super) async fn reset(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    Json(body): Json<Reset>,
) -> Result<Json<Value>, ApiError> {
    let Reset { token, new_password } = body;
    // Before a hash is made: that costs.
    let user = look_up(&auth, &token).await?.ok_or_else(bad_link)?;
    new_password::check(&new_password, auth.password_min_chars, user.known())?;
    let place = auth.passwords.place()?;
    let hash = auth.passwords.hash(&place, new_password).await?;
    let is_set = to_the_end(&auth, |auth| async move { take(&auth, &token, &hash, asker).await }).await?;
    if !is_set {
        return Err(bad_link());
    }
    Ok(Json(json!({ "message": "the password was changed; sign in with it" })))
}

async fn look_up(auth: &Auth, token: &SecretString) -> Result<Option<User>, Problem> {
    let (purpose, now) = (Purpose::ResetPassword, Timestamp::now());
    auth.store.read(async |transaction| links::find(transaction, purpose, token.expose_secret(), now).await).await
}

async fn take(auth: &Auth, token: &SecretString, hash: &str, asker: Asker) -> Result<bool, Problem> {
    let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
    let Some(user) = links::take(&mut transaction, Purpose::ResetPassword, token.expose_secret(), now).await? else {
        transaction.rollback().await?;
        return Ok(false);
    };
    if !users::set_hash(&mut transaction, &user, hash, now).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    // Whoever follows a link has the mails of its address.
    users::set_verified(&mut transaction, &user.id, now).await?;
    session::end_all(&mut transaction, &user.id, None, "password_reset", now).await?;
    forget(&mut transaction, Who::Account(&user.email)).await?;
    note(&mut transaction, Happened::PasswordReset, about(&user, asker), now).await?;
    transaction.commit().await?;
    auth.tell(&user, |user| Errand::PasswordChanged { user }).await;
    Ok(true)
}
