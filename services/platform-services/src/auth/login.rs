//! Signing in, and all that keeps a session going.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kit::http::{ApiError, whole_secs};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::credentials::{self, Login};
use super::events::{Happened, Subject, note};
use super::lockout::{Try, Who, begin_try, forget, take_back};
use super::password::Verified;
use super::routes::Auth;
use super::session::{self, Refreshed, Session};
use super::sessions;
use super::users::{self, User, WATCHED};
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
        Begun::Locked(wait) => return Ok(refuse(wait)),
        Begun::May { user, last } => (user, last),
    };
    let stored = user.as_ref().map(|user| &*user.password_hash);
    let verified = auth.passwords.verify(&place, login.password.clone(), stored).await?;
    let Some(user) = user.filter(|_| verified != Verified::Wrong) else {
        tried.fail(&auth, &last).await?;
        return Err(bad_credentials());
    };
    if user.is_active == 0 {
        tried.forgive(&auth).await?;
        return Err(ApiError::new(StatusCode::FORBIDDEN, "the account is not active").code("inactive"));
    }
    let again = match verified {
        Verified::Outdated => Some(auth.passwords.hash(&place, login.password).await?),
        Verified::Right | Verified::Wrong => None,
    };
    let now = Timestamp::now();
    match begin_session(&auth, &user, again.as_deref(), tried, agent.as_deref(), now).await? {
        Some(session) => Ok(grant(&auth, &user, &session, now)?),
        // The password was changed, or the account deleted, while it was looked at.
        None => Err(bad_credentials()),
    }
}

fn bad_credentials() -> ApiError {
    ApiError::unauthorized("e-mail address or password is wrong").code("bad_credentials")
}

/// A try to prove a password: which account, and from where. What is no e-mail address has no account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried<'a> {
    pub(super) email: Option<&'a str>,
    pub(super) asker: Asker,
}

/// Whether a try may be made.
pub(super) enum Begun {
    /// Not before this has passed.
    Locked(Duration),
    /// With this account, if there is one; should it fail, then what is listed is locked.
    May { user: Option<Box<User>>, last: Vec<Happened> },
}

impl Tried<'_> {
    /// Counts the try as failed, and finds the account.
    pub(super) async fn begin(self, auth: &Auth) -> Result<Begun, Problem> {
        let mut transaction = auth.store.begin().await?;
        let mut last = Vec::new();
        let account = self.email.map(|email| (Who::Account(email), Happened::AccountLocked));
        let address = self.asker.address.map(|address| (Who::Address(address), Happened::AddressLocked));
        for (who, locks) in [account, address].into_iter().flatten() {
            match begin_try(&mut transaction, who).await? {
                // What is refused is not counted, nor noted: it would be noted without end.
                Try::Wait(wait) => {
                    transaction.rollback().await?;
                    return Ok(Begun::Locked(wait));
                }
                Try::Last => last.push(locks),
                Try::May => {}
            }
        }
        let user = match self.email {
            Some(email) => users::by_email(&mut transaction, email).await?,
            None => None,
        };
        // Whoever learns the password of a monitor's account cannot use it.
        let user = user.filter(|user| self.asker.watches || user.realm != WATCHED);
        transaction.commit().await?;
        Ok(Begun::May { user: user.map(Box::new), last })
    }

    /// Notes that it failed, and what is locked now.
    pub(super) async fn fail(self, auth: &Auth, last: &[Happened]) -> Result<(), Problem> {
        let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
        let Asker { address, watches } = self.asker;
        let subject = Subject { email: self.email, address, is_watched: watches, ..Subject::default() };
        note(&mut transaction, Happened::LoginFailed, subject, now).await?;
        for locked in last {
            // A locked address says nothing of the account that was tried last.
            let email = subject.email.filter(|_| *locked == Happened::AccountLocked);
            note(&mut transaction, *locked, Subject { email, ..subject }, now).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Takes it back: it did not fail.
    pub(super) async fn forgive(self, auth: &Auth) -> Result<(), Problem> {
        let mut transaction = auth.store.begin().await?;
        self.forgive_within(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// As [`Self::forgive`], with whatever else is done.
    pub(super) async fn forgive_within(self, transaction: &mut kit::db::Transaction) -> Result<(), sqlx::Error> {
        if let Some(email) = self.email {
            forget(transaction, Who::Account(email)).await?;
        }
        match self.asker.address {
            Some(address) => take_back(transaction, Who::Address(address)).await,
            None => Ok(()),
        }
    }
}

/// Begins a session for the user as it was when its password was verified; none if it is no longer so.
async fn begin_session(
    auth: &Auth,
    user: &User,
    again: Option<&str>,
    tried: Tried<'_>,
    agent: Option<&str>,
    now: Timestamp,
) -> Result<Option<Session>, Problem> {
    let mut transaction = auth.store.begin().await?;
    if !users::hold(&mut transaction, user).await? {
        transaction.rollback().await?;
        return Ok(None);
    }
    if let Some(hash) = again {
        users::set_hash(&mut transaction, user, hash, now).await?;
    }
    tried.forgive_within(&mut transaction).await?;
    let session = session::begin(&mut transaction, user, auth.refresh_life, now).await?;
    sessions::seen(&mut transaction, &session.id, tried.asker, agent, now).await?;
    note(&mut transaction, Happened::LoggedIn, about(user, tried.asker), now).await?;
    transaction.commit().await?;
    Ok(Some(session))
}

/// Returns what an event about a user is about.
pub(super) fn about(user: &User, asker: Asker) -> Subject<'_> {
    let is_watched = asker.watches || user.realm == WATCHED;
    Subject { user: Some(&user.id), email: Some(&user.email), address: asker.address, is_watched, ..Subject::default() }
}

/// Answers a try that must wait.
pub(super) fn refuse(wait: Duration) -> Response {
    let text = format!("too many tries; try again in {} s", whole_secs(wait));
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, text).code("locked").retry_after(wait).into_response()
}

/// Answers with tokens, which nobody may keep but the client (RFC 6749 section 5.1).
fn grant(auth: &Auth, user: &User, session: &Session, now: Timestamp) -> Result<Response, ApiError> {
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(tokens_of(auth, user, session, now)?)).into_response())
}

/// Returns the tokens of a session, as clients read them.
pub(super) fn tokens_of(auth: &Auth, user: &User, session: &Session, now: Timestamp) -> Result<Value, ApiError> {
    Ok(json!({
        "access_token": auth.tokens.make(user, &session.id, now)?,
        "refresh_token": session.refresh.expose_secret(),
        "token_type": "bearer",
        "expires_in": auth.tokens.life().as_secs(),
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
    let mut transaction = auth.store.begin().await?;
    let refreshed = session::refresh(&mut transaction, token, auth.refresh_life, now).await?;
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
