//! What happened in sign-in, as rows that other services read.

use std::net::IpAddr;

use jiff::Timestamp;
use kit::db::Transaction;
use serde_json::{Value, json};

use super::users::{User, WATCHED};
use super::who::Asker;
use crate::time::written;

/// Events of one answer, at most.
pub(super) const MAX_EVENTS: i64 = 1000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    Registered,
    LoggedIn,
    LoginFailed,
    AccountLocked,
    AddressLocked,
    LoggedOut,
    RefreshReused,
    PasswordChanged,
    Deleted,
    KeyMade,
    KeyRevoked,
    AccountChanged,
    SecondFactorFailed,
    TotpEnabled,
    TotpDisabled,
    RecoveryCodeUsed,
    EmailVerified,
    ResetRequested,
    PasswordReset,
}

impl Happened {
    fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::LoggedIn => "login",
            Self::LoginFailed => "login_failed",
            Self::AccountLocked => "account_locked",
            Self::AddressLocked => "address_locked",
            Self::LoggedOut => "logout",
            Self::RefreshReused => "refresh_reused",
            Self::PasswordChanged => "password_changed",
            Self::Deleted => "deleted",
            Self::KeyMade => "key_made",
            Self::KeyRevoked => "key_revoked",
            Self::AccountChanged => "account_changed",
            Self::SecondFactorFailed => "second_factor_failed",
            Self::TotpEnabled => "totp_enabled",
            Self::TotpDisabled => "totp_disabled",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::EmailVerified => "email_verified",
            Self::ResetRequested => "reset_requested",
            Self::PasswordReset => "password_reset",
        }
    }
}

/// To whom it happened, and where it came from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Subject<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) email: Option<&'a str>,
    pub(super) address: Option<IpAddr>,
    /// Whether it is of the realm of monitors.
    pub(super) is_watched: bool,
    /// Who did it, if it was not the user.
    pub(super) actor: Option<&'a str>,
    /// What was done, in words.
    pub(super) detail: Option<&'a str>,
}

/// Returns what an event about a user is about.
pub(super) fn about(user: &User, asker: Asker) -> Subject<'_> {
    let is_watched = asker.watches || user.realm == WATCHED;
    Subject { user: Some(&user.id), email: Some(&user.email), address: asker.address, is_watched, ..Subject::default() }
}

/// Notes an event, as part of what it is about and as its last step: numbers become visible in their order, so that
/// whoever reads on from one misses none.
pub(super) async fn note(
    transaction: &mut Transaction,
    happened: Happened,
    subject: Subject<'_>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    transaction.lock("platform-services auth_events").await?;
    let address = subject.address.map(|address| address.to_string());
    let sql = "INSERT INTO auth_events (at_ms, kind, user_id, email, address, realm, actor, detail)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let binds = [
        now.as_millisecond().into(),
        happened.as_str().into(),
        subject.user.into(),
        subject.email.into(),
        address.as_deref().into(),
        if subject.is_watched { WATCHED } else { "" }.into(),
        subject.actor.into(),
        subject.detail.into(),
    ];
    transaction.change(sql, &binds).await.map(|_events| ())
}

/// Returns events after the one of this number, oldest first.
pub(super) async fn after(transaction: &mut Transaction, number: i64, limit: i64) -> Result<Vec<Event>, sqlx::Error> {
    let sql = "SELECT number, at_ms, kind, user_id, email, address, realm, actor, detail FROM auth_events
        WHERE number > $1 ORDER BY number LIMIT $2";
    transaction.rows(sql, &[number.into(), limit.clamp(1, MAX_EVENTS).into()]).await
}

/// An event as it is kept.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Event {
    pub(super) number: i64,
    pub(super) at_ms: i64,
    pub(super) kind: String,
    pub(super) user_id: Option<String>,
    pub(super) email: Option<String>,
    pub(super) address: Option<String>,
    pub(super) realm: String,
    pub(super) actor: Option<String>,
    pub(super) detail: Option<String>,
}

impl Event {
    /// As services read it.
    pub(super) fn shown(&self) -> Value {
        json!({
            "number": self.number, "at": written(self.at_ms), "kind": self.kind, "user_id": self.user_id, "email": self.email,
            "address": self.address, "realm": self.realm, "actor": self.actor, "detail": self.detail,
        })
    }
}
