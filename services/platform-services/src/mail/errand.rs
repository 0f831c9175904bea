//! What is put into the queue: which mail is to be written, and to whom.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use kit::http::SecretDigest;

/// A mail that is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Errand {
    /// A link that shows whose address it is.
    VerifyEmail {
        /// The account.
        user: String,
    },
    /// A link for a new password, if there is an account with this address: nobody has looked yet.
    ResetPassword {
        /// The address.
        email: String,
    },
    /// Word that there is a new password.
    PasswordChanged {
        /// The account.
        user: String,
    },
    /// Word that a second factor is asked for.
    TotpEnabled {
        /// The account.
        user: String,
    },
    /// Word that none is any more.
    TotpDisabled {
        /// The account.
        user: String,
    },
}

impl Errand {
    /// Every name that [`Self::kind`] returns.
    pub(super) const KINDS: [&str; 5] =
        ["verify_email", "reset_password", "password_changed", "totp_enabled", "totp_disabled"];

    /// Its name in the queue and in metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::VerifyEmail { .. } => "verify_email",
            Self::ResetPassword { .. } => "reset_password",
            Self::PasswordChanged { .. } => "password_changed",
            Self::TotpEnabled { .. } => "totp_enabled",
            Self::TotpDisabled { .. } => "totp_disabled",
        }
    }

    /// While one with the same key waits, no second one is put in. Whoever asks for a link again gets one mail; each word
    /// of something that happened is its own.
    pub(super) fn key(&self) -> String {
        match self {
            Self::VerifyEmail { user } => format!("verify_email {user}"),
            // An address may be longer than a key.
            Self::ResetPassword { email } => format!("reset_password {}", SecretDigest::of(email.as_bytes()).to_hex()),
            other => format!("{} {}", other.kind(), Uuid::now_v7()),
        }
    }

    /// How long it waits before it is looked at: whether there is such an account is found out once the answer to whoever
    /// asked is long gone, so that the work for it does not show in the time of the answer.
    pub(super) fn waits(&self) -> Option<Duration> {
        matches!(self, Self::ResetPassword { .. }).then_some(Duration::from_secs(1))
    }

    /// How long it is worth sending, and its link is good: whoever waits longer has asked again.
    pub(crate) fn worth(&self) -> Duration {
        match self {
            Self::ResetPassword { .. } => Duration::from_secs(30 * 60),
            _ => Duration::from_secs(24 * 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_twice_gets_one_mail_and_what_happens_twice_is_told_twice() {
        let reset = |email: &str| Errand::ResetPassword { email: email.to_owned() }.key();
        assert_eq!(reset("ada@example.com"), reset("ada@example.com"));
        assert_ne!(reset("ada@example.com"), reset("eve@example.com"));
        assert!(reset(&format!("{}@x.y", "a".repeat(240))).len() <= kit::queue::MAX_NAME_BYTES);
        let changed = Errand::PasswordChanged { user: Uuid::nil().to_string() };
        assert_ne!(changed.key(), changed.key());
        let json = serde_json::to_string(&changed).unwrap();
        assert_eq!(serde_json::from_str::<Errand>(&json).unwrap(), changed, "{json}");
    }
}
