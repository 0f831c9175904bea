//! How people turn their second factor on and off.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::ApiError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ending::to_the_end;
use super::events::{Happened, about, note};
use super::routes::Auth;
use super::second_factor::{self, Enabled, Proof};
use super::tries::{Tried, begin_own, confirm};
use super::users;
use super::who::{Admin, Asker, Caller};
use crate::mail::Errand;
use crate::problem::Problem;

/// `GET /auth/totp`: whether it is on, and how many recovery codes are left.
pub(super) async fn state(State(auth): State<Arc<Auth>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let reading = async |transaction: &mut Transaction| second_factor::codes_left(transaction, &caller.user.id).await;
    let left = auth.store.read(reading).await?;
    Ok(Json(json!({ "enabled": left.is_some(), "recovery_codes_left": left.unwrap_or(0) })))
}

/// The body that asks for a secret.
#[derive(Debug, Deserialize)]
pub(super) struct SetUp {
    current_password: SecretString,
}

/// `POST /auth/totp/setup`: a secret for the app, which proves nothing before it is enabled.
pub(super) async fn set_up(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    caller: Caller,
    Json(body): Json<SetUp>,
) -> Result<Response, ApiError> {
    let place = auth.passwords.place()?;
    let (tried, _last) = confirm(&auth, &place, &caller, asker, body.current_password).await?;
    let shown = auth.second_factors.make(&caller.user.id, &caller.user.email);
    let keeping = async {
        let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
        tried.forgive_within(&mut transaction).await?;
        let is_kept = second_factor::keep(&mut transaction, &caller.user.id, &shown.sealed, now).await?;
        transaction.commit().await?;
        Ok::<_, Problem>(is_kept)
    };
    if !keeping.await? {
        return Err(is_on());
    }
    let body = json!({
        "secret": shown.secret.expose_secret(),
        "otpauth_url": shown.url.expose_secret(),
        "message": "add the secret to an authenticator app, and send its code to POST /auth/totp/enable",
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn is_on() -> ApiError {
    let text = "the second factor is on; turn it off first, with POST /auth/totp/disable";
    ApiError::new(StatusCode::CONFLICT, text).code("second_factor_enabled")
}

/// The body that turns it on.
#[derive(Debug, Deserialize)]
pub(super) struct Enable {
    code: SecretString,
}

/// `POST /auth/totp/enable`: from now on a login needs it; the recovery codes are shown once.
pub(super) async fn enable(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    caller: Caller,
    Json(body): Json<Enable>,
) -> Result<Response, ApiError> {
    let (tried, last) = begin_own(&auth, &caller, asker).await?;
    let whose = caller.clone();
    let enabling = |auth: Arc<Auth>| async move { take_enable(&auth, &whose, asker, body.code.expose_secret()).await };
    let codes = match to_the_end(&auth, enabling).await? {
        Enabled::Now(codes) => codes,
        Enabled::Wrong => {
            tried.fail(&auth, Happened::SecondFactorFailed, &last).await?;
            return Err(second_factor::wrong());
        }
        Enabled::Before => {
            tried.take_back(&auth).await?;
            return Err(is_on());
        }
        Enabled::NoSecret => {
            tried.take_back(&auth).await?;
            let text = "there is no secret yet; ask for one with POST /auth/totp/setup";
            return Err(ApiError::new(StatusCode::CONFLICT, text).code("no_second_factor"));
        }
    };
    let message = "the second factor is on; keep the recovery codes, each is good once if the app is lost";
    let body = json!({ "message": message, "recovery_codes": codes });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

async fn take_enable(auth: &Auth, caller: &Caller, asker: Asker, code: &str) -> Result<Enabled, Problem> {
    let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
    let enabled = second_factor::enable(&mut transaction, &auth.second_factors, &caller.user.id, code, now).await?;
    let Enabled::Now(_) = enabled else {
        transaction.rollback().await?;
        return Ok(enabled);
    };
    Tried::own(caller, asker).forgive_within(&mut transaction).await?;
    note(&mut transaction, Happened::TotpEnabled, about(&caller.user, asker), now).await?;
    transaction.commit().await?;
    auth.tell(&caller.user, |user| Errand::TotpEnabled { user }).await;
    Ok(enabled)
}

/// The body that turns it off.
#[derive(Debug, Deserialize)]
pub(super) struct Disable {
    current_password: SecretString,
    code: SecretString,
}

/// `POST /auth/totp/disable`: whoever has only the password, or only the app, cannot.
pub(super) async fn disable(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    caller: Caller,
    Json(body): Json<Disable>,
) -> Result<Json<Value>, ApiError> {
    let place = auth.passwords.place()?;
    let (tried, last) = confirm(&auth, &place, &caller, asker, body.current_password).await?;
    let whose = caller.clone();
    let disabling =
        |auth: Arc<Auth>| async move { take_disable(&auth, &whose, asker, body.code.expose_secret()).await };
    match to_the_end(&auth, disabling).await? {
        Proof::Code | Proof::RecoveryCode => Ok(Json(json!({ "message": "the second factor is off" }))),
        Proof::NotAsked => {
            tried.take_back(&auth).await?;
            Err(none_to_turn_off())
        }
        Proof::Missing | Proof::Wrong => {
            tried.fail(&auth, Happened::SecondFactorFailed, &last).await?;
            Err(second_factor::wrong())
        }
    }
}

fn none_to_turn_off() -> ApiError {
    ApiError::not_found("there is no second factor to turn off").code("no_second_factor")
}

async fn take_disable(auth: &Auth, caller: &Caller, asker: Asker, code: &str) -> Result<Proof, Problem> {
    let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
    let user = &caller.user.id;
    let proof = second_factor::prove(&mut transaction, &auth.second_factors, user, Some(code), now).await?;
    if !matches!(proof, Proof::Code | Proof::RecoveryCode) {
        transaction.rollback().await?;
        return Ok(proof);
    }
    second_factor::remove(&mut transaction, user).await?;
    Tried::own(caller, asker).forgive_within(&mut transaction).await?;
    note(&mut transaction, Happened::TotpDisabled, about(&caller.user, asker), now).await?;
    transaction.commit().await?;
    auth.tell(&caller.user, |user| Errand::TotpDisabled { user }).await;
    Ok(proof)
}

/// `DELETE /auth/users/{id}/totp`: for who has lost both app and recovery codes, by whoever administers.
pub(super) async fn remove(
    State(auth): State<Arc<Auth>>,
    admin: Admin,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    if !to_the_end(&auth, |auth| async move { take_away(&auth, &id, &admin).await }).await? {
        return Err(none_to_turn_off());
    }
    Ok(Json(json!({ "message": "the second factor was removed" })))
}

async fn take_away(auth: &Auth, id: &str, admin: &Admin) -> Result<bool, Problem> {
    let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
    let Some(user) = users::by_id(&mut transaction, id).await? else {
        transaction.rollback().await?;
        return Ok(false);
    };
    if !second_factor::remove(&mut transaction, id).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    note(&mut transaction, Happened::TotpDisabled, admin.about(&user), now).await?;
    transaction.commit().await?;
    auth.tell(&user, |user| Errand::TotpDisabled { user }).await;
    Ok(true)
}
