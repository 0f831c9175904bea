//! The mails of sign-in: to whom they go, and what they say.

use jiff::Timestamp;
use kit::db::Transaction;
use kit::queue::JobId;

use super::links::{self, Purpose, may_have_mail};
use super::routes::Auth;
use super::users::{self, User};
use crate::mail::{Errand, Letter, Writer};
use crate::problem::Problem;

const NOT_YOU: &str =
    "If it was not you, ask for a new password at once: on the page to sign in, choose that you forgot it.";

impl Writer for Auth {
    async fn write(&self, errand: &Errand, job: JobId) -> Result<Option<Letter>, Problem> {
        let (mut transaction, now) = (self.store.begin().await?, Timestamp::now());
        let user = addressee(&mut transaction, errand).await?.filter(may_have_mail);
        let letter = match user {
            Some(user) => self.letter(&mut transaction, &user, errand, job, now).await?,
            None => None,
        };
        transaction.commit().await?;
        Ok(letter)
    }
}

async fn addressee(transaction: &mut Transaction, errand: &Errand) -> Result<Option<User>, sqlx::Error> {
    match errand {
        Errand::ResetPassword { email } => users::by_email(transaction, email).await,
        Errand::VerifyEmail { user }
        | Errand::PasswordChanged { user }
        | Errand::TotpEnabled { user }
        | Errand::TotpDisabled { user } => users::by_id(transaction, user).await,
    }
}

impl Auth {
    async fn letter(
        &self,
        transaction: &mut Transaction,
        user: &User,
        errand: &Errand,
        job: JobId,
        now: Timestamp,
    ) -> Result<Option<Letter>, sqlx::Error> {
        let (purpose, place) = (purpose_of(errand), self.links.place());
        if purpose == Some(Purpose::VerifyEmail) && user.email_verified != 0 {
            return Ok(None);
        }
        let (subject, about, otherwise) = words(errand, place);
        let mut letter = Letter { to: user.email.clone(), subject, about, link: None, otherwise };
        if let Some(purpose) = purpose {
            let token = self.links.token(purpose, job);
            links::keep(transaction, user, purpose, &token, errand.worth(), now).await?;
            letter.link = Some(self.links.url(purpose, &token));
        }
        Ok(Some(letter))
    }
}

fn purpose_of(errand: &Errand) -> Option<Purpose> {
    match errand {
        Errand::VerifyEmail { .. } => Some(Purpose::VerifyEmail),
        Errand::ResetPassword { .. } => Some(Purpose::ResetPassword),
        Errand::PasswordChanged { .. } | Errand::TotpEnabled { .. } | Errand::TotpDisabled { .. } => None,
    }
}

/// Subject, what it is about, and what to do otherwise.
fn words(errand: &Errand, place: &str) -> (&'static str, String, &'static str) {
    match errand {
        Errand::VerifyEmail { .. } => (
            "Confirm your e-mail address",
            format!(
                "Somebody, most likely you, has an account at {place} with this e-mail address. To confirm that it is yours, follow this link within 24 hours:"
            ),
            "If it was not you, do nothing: the address stays unconfirmed.",
        ),
        Errand::ResetPassword { .. } => (
            "Choose a new password",
            format!(
                "Somebody, most likely you, asked for a new password for your account at {place}. To choose one, follow this link within 30 minutes; it is good once:"
            ),
            "If it was not you, do nothing: your password stays as it is.",
        ),
        Errand::PasswordChanged { .. } => (
            "Your password was changed",
            format!("The password of your account at {place} was changed, and every other session has ended."),
            NOT_YOU,
        ),
        Errand::TotpEnabled { .. } => (
            "Your second factor is on",
            format!("From now on, signing in to your account at {place} needs a code of your authenticator app."),
            NOT_YOU,
        ),
        Errand::TotpDisabled { .. } => (
            "Your second factor is off",
            format!("Signing in to your account at {place} needs no code of an authenticator app any more."),
            NOT_YOU,
        ),
    }
}
