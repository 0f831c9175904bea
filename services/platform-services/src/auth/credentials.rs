//! What people send to register and to sign in, checked.

use kit::http::ApiError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::password::MAX_BYTES;

/// Longest address that SMTP carries (RFC 5321 section 4.5.3.1.3, without the brackets).
const MAX_EMAIL_BYTES: usize = 254;
/// Longest part before the @ (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// Longest name, in characters. Ours.
const MAX_NAME_CHARS: usize = 100;

/// The body of a registration.
#[derive(Debug, Deserialize)]
pub(super) struct Registration {
    name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    pub(super) email: String,
    pub(super) password: SecretString,
    confirm_password: Option<SecretString>,
    pub(super) tenant_id: Option<String>,
}

/// The body of a login.
#[derive(Debug, Deserialize)]
pub(super) struct Login {
    pub(super) email: String,
    pub(super) password: SecretString,
}

impl Registration {
    /// Checks everything, and returns first and last name.
    ///
    /// # Errors
    /// 400 that says what to send instead.
    pub(super) fn checked(&mut self, min_chars: usize) -> Result<(String, String), ApiError> {
        self.email = email(&self.email).ok_or_else(|| wrong("email is no e-mail address", "invalid_email"))?;
        check_password(&self.password, min_chars)?;
        if self.confirm_password.as_ref().is_some_and(|again| again.expose_secret() != self.password.expose_secret()) {
            return Err(wrong("password and confirm_password differ", "passwords_differ"));
        }
        let whole = self.name.as_deref().unwrap_or_default().trim();
        let (start, rest) = whole.split_once(' ').unwrap_or((whole, ""));
        let part = |given: &Option<String>, other: &str| given.as_deref().unwrap_or(other).trim().to_owned();
        let (first, last) = (part(&self.first_name, start), part(&self.last_name, rest));
        // Also what is not used, because another field says it.
        for text in [start, rest, &first, &last, self.tenant_id.as_deref().unwrap_or_default()] {
            if text.chars().count() > MAX_NAME_CHARS || text.chars().any(char::is_control) {
                return Err(wrong("names have at most 100 characters and no control characters", "invalid_name"));
            }
        }
        if first.is_empty() {
            return Err(wrong("name, or first_name and last_name, is missing", "name_missing"));
        }
        Ok((first, last))
    }
}

/// Returns the address as it is kept: without white space around it, lower-case; none if it is none.
pub(super) fn email(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let is_plain =
        |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@');
    let has_labels = domain.contains('.') && domain.split('.').all(|label| !label.is_empty());
    let fits = text.len() <= MAX_EMAIL_BYTES && local.len() <= MAX_LOCAL_BYTES;
    (is_plain(local) && is_plain(domain) && has_labels && fits).then(|| text.to_lowercase())
}

/// Checks a password that is to be set.
///
/// # Errors
/// 400 that says how long it must be.
pub(super) fn check_password(password: &SecretString, min_chars: usize) -> Result<(), ApiError> {
    let password = password.expose_secret();
    if password.chars().count() < min_chars {
        return Err(wrong(&format!("the password has fewer than {min_chars} characters"), "password_too_short"));
    }
    if password.len() > MAX_BYTES {
        return Err(wrong(&format!("the password has more than {MAX_BYTES} bytes"), "password_too_long"));
    }
    Ok(())
}

fn wrong(message: &str, code: &'static str) -> ApiError {
    ApiError::bad_request(message).code(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_in_one_spelling() {
        for (text, kept) in [
            (" Ada@Example.COM ", Some("ada@example.com")),
            ("a+b@x.y", Some("a+b@x.y")),
            ("", None),
            ("ada", None),
            ("@example.com", None),
            ("ada@", None),
            ("ada@example", None),
            ("ada@example..com", None),
            ("ada@@example.com", None),
            ("a da@example.com", None),
            ("ada@exam\u{0}ple.com", None),
        ] {
            assert_eq!(email(text).as_deref(), kept, "{text:?}");
        }
        assert_eq!(email(&format!("{}@example.com", "a".repeat(65))), None);
    }

    #[test]
    fn names_come_whole_or_in_two_and_passwords_are_neither_short_nor_endless() {
        let registration = |fields: &str| {
            let body = format!(r#"{{"email": "a@x.y", {fields}}}"#);
            serde_json::from_str::<Registration>(&body).unwrap().checked(8)
        };
        let names = |fields: &str| registration(fields).unwrap();
        assert_eq!(names(r#""password": "12345678", "name": "Ada King Noel""#), ("Ada".into(), "King Noel".into()));
        assert_eq!(
            names(r#""password": "12345678", "first_name": "Ada", "last_name": "Noel""#),
            ("Ada".into(), "Noel".into())
        );
        let long = "x".repeat(129);
        for wrong in [
            r#""password": "1234567", "name": "Ada""#.to_owned(),
            format!(r#""password": "{long}", "name": "Ada""#),
            r#""password": "12345678", "confirm_password": "12345679", "name": "Ada""#.to_owned(),
            r#""password": "12345678""#.to_owned(),
            format!(r#""password": "12345678", "name": "{long}""#),
            r#""password": "12345678", "first_name": "Ada", "name": "\u0084""#.to_owned(),
        ] {
            assert!(registration(&wrong).is_err(), "{wrong}");
        }
    }
}
