//! Whose an e-mail address is: shown by following a link that was sent there.

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

use super::events::{Happened, about, note};
use super::links::{self, Purpose, may_have_mail};
use super::lockout::Who;
use super::routes::Auth;
use super::tries::count;
use super::users::{self, User};
use super::who::{Asker, Caller};
use crate::mail::Errand;
use crate::problem::Problem;

/// The body with what was in the link.
#[derive(Debug, Deserialize)]
pub(super) struct Followed {
    token: SecretString,
}

/// `POST /auth/verify-email`
pub(super) async fn verify(
    State(auth): State<Arc<Auth>>,
    asker: Asker,
    Json(body): Json<Followed>,
) -> Result<Json<Value>, ApiError> {
    let verifying = async {
        let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
        let user = links::take(&mut transaction, Purpose::VerifyEmail, body.token.expose_secret(), now).await?;
        if let Some(user) = &user {
            users::set_verified(&mut transaction, &user.id, now).await?;
            note(&mut transaction, Happened::EmailVerified, about(user, asker), now).await?;
        }
        transaction.commit().await?;
        Ok::<_, Problem>(user.is_some())
    };
    if verifying.await? { Ok(Json(json!({ "message": "the e-mail address is confirmed" }))) } else { Err(bad_link()) }
}

/// Answers a token that is none, was used, or has run out, in the same words.
pub(super) fn bad_link() -> ApiError {
    ApiError::bad_request("the link is over or was used; ask for a new one").code("bad_token")
}

/// `POST /auth/verify-email/resend`
pub(super) async fn resend(State(auth): State<Arc<Auth>>, caller: Caller) -> Result<Response, ApiError> {
    auth.mail.need()?;
    if caller.user.email_verified != 0 {
        let text = "the e-mail address is confirmed already";
        return Err(ApiError::new(StatusCode::CONFLICT, text).code("already_verified"));
    }
    auth.send_verification(&caller.user).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "message": "a link is on its way to your e-mail address" })))
        .into_response())
}

impl Auth {
    /// Sends a link to the user's address, unless that was done too often.
    pub(super) async fn send_verification(&self, user: &User) -> Result<(), ApiError> {
        count(self, Who::Verifying(&user.email)).await?;
        self.mail.put(&Errand::VerifyEmail { user: user.id.clone() }).await.map_err(ApiError::from)
    }

    /// Sends a mail whose want fails nothing: that is logged and counted.
    pub(super) async fn tell(&self, user: &User, errand: impl FnOnce(String) -> Errand) {
        if self.mail.need().is_ok() && may_have_mail(user) {
            let _logged_and_counted = self.mail.put(&errand(user.id.clone())).await;
        }
    }
}
