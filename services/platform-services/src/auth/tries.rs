//! A try to prove who one is: counted as failed before it is made, and taken back if it was not.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::{ApiError, whole_secs};
use secrecy::SecretString;

use super::events::{Happened, Subject, note};
use super::lockout::{Try, Who, begin_try, forget, take_back};
use super::password::{Place, Verified};
use super::routes::Auth;
use super::users::{self, User, WATCHED};
use super::who::{Asker, Caller};
use crate::problem::Problem;

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

impl<'a> Tried<'a> {
    /// Of the caller's own account.
    pub(super) fn own(caller: &'a Caller, asker: Asker) -> Self {
        Self { email: Some(&caller.user.email), asker }
    }

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

    /// Notes how it failed, and what is locked now.
    pub(super) async fn fail(self, auth: &Auth, how: Happened, last: &[Happened]) -> Result<(), Problem> {
        let (mut transaction, now) = (auth.store.begin().await?, Timestamp::now());
        let subject = self.asker.about(self.email);
        note(&mut transaction, how, subject, now).await?;
        for locked in last {
            // A locked address says nothing of the account that was tried last.
            let email = subject.email.filter(|_| *locked == Happened::AccountLocked);
            note(&mut transaction, *locked, Subject { email, ..subject }, now).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Takes this one back and leaves those before: it neither failed nor proved everything.
    pub(super) async fn take_back(self, auth: &Auth) -> Result<(), Problem> {
        let mut transaction = auth.store.begin().await?;
        let account = self.email.map(Who::Account);
        for who in [account, self.asker.address.map(Who::Address)].into_iter().flatten() {
            take_back(&mut transaction, who).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Takes it back, and what failed before of the same account: it did not fail.
    pub(super) async fn forgive(self, auth: &Auth) -> Result<(), Problem> {
        let mut transaction = auth.store.begin().await?;
        self.forgive_within(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// As [`Self::forgive`], with whatever else is done.
    pub(super) async fn forgive_within(self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        if let Some(email) = self.email {
            forget(transaction, Who::Account(email)).await?;
        }
        match self.asker.address {
            Some(address) => take_back(transaction, Who::Address(address)).await,
            None => Ok(()),
        }
    }
}

/// Has the caller show the password again: with a token in hand, passwords are tried as at the door. Returns the try, which
/// is still counted, and what is locked should it fail after all.
pub(super) async fn confirm<'a>(
    auth: &Auth,
    place: &Place,
    caller: &'a Caller,
    asker: Asker,
    password: SecretString,
) -> Result<(Tried<'a>, Vec<Happened>), ApiError> {
    let (tried, last) = begin_own(auth, caller, asker).await?;
    let stored = Some(&*caller.user.password_hash);
    if auth.passwords.verify(place, password, stored).await? == Verified::Wrong {
        tried.fail(auth, Happened::LoginFailed, &last).await?;
        return Err(ApiError::unauthorized("current_password is wrong").code("bad_credentials"));
    }
    Ok((tried, last))
}

/// Counts a try of the caller's own account.
pub(super) async fn begin_own<'a>(
    auth: &Auth,
    caller: &'a Caller,
    asker: Asker,
) -> Result<(Tried<'a>, Vec<Happened>), ApiError> {
    let tried = Tried::own(caller, asker);
    match tried.begin(auth).await? {
        Begun::Locked(wait) => Err(refuse(wait)),
        Begun::May { last, .. } => Ok((tried, last)),
    }
}

/// Counts what is not taken back: everybody may do it so often and no more.
///
/// # Errors
/// 429 that says how long to wait.
pub(super) async fn count(auth: &Auth, who: Who<'_>) -> Result<(), ApiError> {
    let counting = async {
        let mut transaction = auth.store.begin().await?;
        let may = begin_try(&mut transaction, who).await?;
        transaction.commit().await?;
        Ok::<_, Problem>(may)
    };
    match counting.await? {
        Try::Wait(wait) => Err(refuse(wait)),
        Try::May | Try::Last => Ok(()),
    }
}

/// Answers a try that must wait.
pub(super) fn refuse(wait: Duration) -> ApiError {
    let text = format!("too many tries; try again in {} s", whole_secs(wait));
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, text).code("locked").retry_after(wait)
}
