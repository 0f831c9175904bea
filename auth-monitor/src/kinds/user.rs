//! The account that somebody set up to sign in with.

use kit::config::Fields;
use secrecy::{ExposeSecret, SecretString};

use crate::account::Credentials;

/// Decodes `user: { email, password }`; without it, or with both empty, there is none. The outer `None` is a mistake.
pub(super) fn decode(fields: &Fields<'_>) -> Option<Option<Credentials>> {
    let Some(cursor) = fields.get("user") else { return Some(None) };
    let mistakes = cursor.mistakes_so_far();
    let inner = cursor.fields()?;
    let email = inner.get("email").and_then(|c| c.text()).unwrap_or_default();
    let password = inner.secret("password", "password_file").unwrap_or_else(|| SecretString::from(""));
    inner.end();
    if cursor.mistakes_so_far() > mistakes {
        return None;
    }
    match (email.is_empty(), password.expose_secret().is_empty()) {
        (true, true) => Some(None),
        (false, false) => Some(Some(Credentials { email, password })),
        _ => {
            cursor.mistake("a user has an email and a password; set both, or none for an account of the check's own");
            None
        }
    }
}
