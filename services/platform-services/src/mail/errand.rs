//! What is put into the queue: which mail is to be written, and to whom.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A mail that is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Errand {
    /// A link that shows whose address it is.
    VerifyEmail {
        /// The account.
        user: String,
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
    /// Its name in the queue and in metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::VerifyEmail { .. } => "verify_email",
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
            other => format!("{} {}", other.kind(), Uuid::now_v7()),
        }
    }

    /// How long it is worth sending, and its link is good: whoever waits longer has asked again.
    pub(crate) fn worth(&self) -> Duration {
        Duration::from_secs(24 * 3600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_twice_gets_one_mail_and_what_happens_twice_is_told_twice() {
        let verify = |user: &str| Errand::VerifyEmail { user: user.to_owned() }.key();
        assert_eq!(verify("ada"), verify("ada"));
        assert_ne!(verify("ada"), verify("eve"));
        let changed = Errand::PasswordChanged { user: Uuid::nil().to_string() };
        assert_ne!(changed.key(), changed.key());
        let json = serde_json::to_string(&changed).unwrap();
        assert_eq!(serde_json::from_str::<Errand>(&json).unwrap(), changed, "{json}");
    }
}
