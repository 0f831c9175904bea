//! Who a probe says it is: `username` and `password_file` (or `password: ${VARIABLE}`), kept out of everything shown.

use kit::config::Fields;
use secrecy::{ExposeSecret, SecretString};

/// A name and a password, each if it is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    password: Option<SecretString>,
}

impl Login {
    /// Decodes both keys.
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Self> {
        let username = fields.get("username").map(|c| c.text());
        let has_password = fields.has("password") | fields.has("password_file");
        let password = fields.secret("password", "password_file");
        if has_password && password.is_none() {
            return None;
        }
        match username {
            Some(username) => Some(Self { username: Some(username?), password }),
            None => Some(Self { username: None, password }),
        }
    }

    /// As [`Login::decode`]; a name without a password is a mistake.
    pub(super) fn decode_pair(fields: &Fields<'_>) -> Option<Self> {
        let login = Self::decode(fields)?;
        if login.username.is_some() && login.password.is_none() {
            fields.cursor().mistake("\"username\" needs a password; write password_file: /path/to/file");
            return None;
        }
        Some(login)
    }

    /// As [`Login::decode_pair`]; a password without a name is one too.
    pub(super) fn decode_both_or_none(fields: &Fields<'_>) -> Option<Self> {
        Self::decode_pair(fields).filter(|login| login.is_named(fields))
    }

    /// Reports a password without a name.
    pub(super) fn is_named(&self, fields: &Fields<'_>) -> bool {
        let is_named = self.password.is_none() || self.username.is_some();
        if !is_named {
            fields.cursor().mistake("a password needs a name; write username: …");
        }
        is_named
    }

    /// The password, to be sent and nothing else.
    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_ref().map(ExposeSecret::expose_secret)
    }
}
