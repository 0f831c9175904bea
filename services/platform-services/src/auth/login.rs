//! Signing in, and all that keeps a session going.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kit::http::ApiError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::credentials::{self, Login};
use super::events::{Happened, about, note};
use super::password::Verified;
use super::routes::Auth;
use super::second_factor::{self, Proof};
use super::session::{self, Refreshed, Session};
use super::sessions;
use super::tries::{Begun, Tried, refuse};
use super::users::{self, User};
use super::who::{Agent, Asker, Caller};
use crate::problem::Problem;

/// `POST /auth/login`
pub(super) async fn login(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    Agent(agent): Agent,
    Json(login): Json<Login>,
) -> Result<Response, ApiError> {
    // First: what we cannot look at is nobody's failed try.
    let place = auth.passwords.place()?;
    let email = credentials::email(&login.email);
    let tried = Tried { email: email.as_deref(), asker };
    let (user, last) = match tried.begin(&auth).await? {
        Begun::Locked(wait) => return Err(refuse(wait)),
        Begun::May { user, last } => (user, last),
    };
    let stored = user.as_ref().map(|user| &*user.password_hash);
    let verified = auth.passwords.verify(&place, login.password.clone(), stored).await?;
    let Some(user) = user.filter(|_| verified != Verified::Wrong) else {
        tried.fail(&auth, Happened::LoginFailed, &last).await?;
        return Err(bad_credentials());
    };
    if user.is_active == 0 {
        tried.forgive(&auth).await?;
        return Err(ApiError::new(StatusCode::FORBIDDEN, "the account is not active").code("inactive"));
    }
    if !auth.may_sign_in(&user) {
        tried.forgive(&auth).await?;
        // Not more often than to anybody.
        let _best_effort = auth.send_verification(&user).await;
        let text = "the e-mail address is not confirmed; follow the link that was sent to it";
        return Err(ApiError::new(StatusCode::FORBIDDEN, text).code("email_not_verified"));
    }
    let again = match verified {
        Verified::Outdated => Some(auth.passwords.hash(&place, login.password).await?),
        Verified::Right | Verified::Wrong => None,
    };
    let (now, code) = (Timestamp::now(), login.code.as_ref().map(ExposeSecret::expose_secret));
    match begin_session(&auth, &user, again.as_deref(), code, tried, agent.as_deref(), now).await? {
        Began::Session(session) => Ok(grant(&auth, &user, &session, now)?),
        // The password was changed, or the account deleted, while it was looked at.
        Began::Gone => Err(bad_credentials()),
        Began::Unproven(Proof::Missing) => {
            tried.take_back(&auth).await?;
            let text = "the password is right; send a code of the second factor too, or a recovery code, as code";
            Err(ApiError::unauthorized(text).code("second_factor_required"))
        }
        Began::Unproven(_) => {
            tried.fail(&auth, Happened::SecondFactorFailed, &last).await?;
            Err(second_factor::wrong())
        }
    }
}

fn bad_credentials() -> ApiError {
    ApiError::unauthorized("e-mail address or password is wrong").code("bad_credentials")
}

/// Whether a session began.
enum Began {
    Session(Session),
    /// The account is no longer as it was when its password was verified.
    Gone,
    /// Its second factor is not proved.
    Unproven(Proof),
}

/// Begins a session for the user as it was when its password was verified.
async fn begin_session(
    auth: &Auth,
    user: &User,
    again: Option<&str>,
    code: Option<&str>,
    tried: Tried<'_>,
    agent: Option<&str>,
    now: Timestamp,
) -> Result<Began, Problem> {
    let mut transaction = auth.store.begin().await?;
    if !users::hold(&mut transaction, user).await? {
        transaction.rollback().await?;
        return Ok(Began::Gone);
    }
    let proof = second_factor::prove(&mut transaction, &auth.second_factors, &user.id, code, now).await?;
    if matches!(proof, Proof::Missing | Proof::Wrong) {
        transaction.rollback().await?;
        return Ok(Began::Unproven(proof));
    }
    if let Some(hash) = again {
        users::set_hash(&mut transaction, user, hash, now).await?;
    }
    tried.forgive_within(&mut transaction).await?;
    let session = session::begin(&mut transaction, user, auth.refresh_life, now).await?;
    sessions::seen(&mut transaction, &session.id, tried.asker, agent, now).await?;
    if let Proof::RecoveryCode = proof {
        note(&mut transaction, Happened::RecoveryCodeUsed, about(user, tried.asker), now).await?;
    }
    note(&mut transaction, Happened::LoggedIn, about(user, tried.asker), now).await?;
    transaction.commit().await?;
    Ok(Began::Session(session))
}

/// Answers with tokens, which nobody may keep but the client (RFC 6749 section 5.1).
fn grant(auth: &Auth, user: &User, session: &Session, now: Timestamp) -> Result<Response, ApiError> {
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(tokens_of(auth, user, session, now)?)).into_response())
}

/// Returns the tokens of a session, as clients read them.
pub(super) fn tokens_of(auth: &Auth, user: &User, session: &Session, now: Timestamp) -> Result<Value, ApiError> {
    Ok(json!({
        "access_token": auth.tokens.make(user, session, now)?,
        "refresh_token": session.refresh.expose_secret(),
        "token_type": "bearer",
        "expires_in": auth.tokens.life_secs(session, now),
        "user": user.shown(),
    }))
}

/// The body of a refresh.
#[derive(Debug, Deserialize)]
pub(super) struct Refresh {
    refresh_token: SecretString,
}

/// `POST /auth/refresh`
pub(super) async fn refresh(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    Agent(agent): Agent,
    Json(body): Json<Refresh>,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    match take_refresh(&auth, body.refresh_token.expose_secret(), asker, agent.as_deref(), now).await? {
        Refreshed::Good(user, session) => grant(&auth, &user, &session, now),
        Refreshed::Unknown | Refreshed::Reused(_) => {
            Err(ApiError::unauthorized("the refresh token is not valid; sign in again").code("bad_refresh_token"))
        }
    }
}

async fn take_refresh(
    auth: &Auth,
    token: &str,
    asker: Asker,
    agent: Option<&str>,
    now: Timestamp,
) -> Result<Refreshed, Problem> {
    let was_unused = auth.store.read(async |transaction| session::is_unused(transaction, token).await).await?;
    let mut transaction = auth.store.begin().await?;
    let refreshed = session::refresh(&mut transaction, token, was_unused, auth.refresh_life, now).await?;
    match &refreshed {
        Refreshed::Good(_user, session) => {
            sessions::seen(&mut transaction, &session.id, asker, agent, now).await?;
        }
        Refreshed::Reused(user) => note(&mut transaction, Happened::RefreshReused, about(user, asker), now).await?,
        Refreshed::Unknown => {}
    }
    transaction.commit().await?;
    Ok(refreshed)
}

/// `GET` or `POST /auth/verify`
pub(super) async fn verify(caller: Caller) -> Json<Value> {
    Json(json!({ "valid": true, "user": caller.user.shown() }))
}
