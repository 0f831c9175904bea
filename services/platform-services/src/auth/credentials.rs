//! What people send to register and to sign in, checked.

use kit::http::ApiError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::new_password;

/// Longest address that SMTP carries (RFC 5321 section 4.5.3.1.3, without the brackets).
const MAX_EMAIL_BYTES: usize = 254;
/// Longest part before the @ (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// Longest name, in characters. Ours.
pub(super) const MAX_NAME_CHARS: usize = 100;

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
    /// Of the second factor, or a recovery code.
    pub(super) code: Option<SecretString>,
}

impl Registration {
    /// Checks everything, and returns first and last name.
    ///
    /// # Errors
    /// 400 that says what to send instead.
    pub(super) fn checked(&mut self, min_chars: usize) -> Result<(String, String), ApiError> {
        self.email = email(&self.email).ok_or_else(|| wrong("email is no e-mail address", "invalid_email"))?;
        if self.confirm_password.as_ref().is_some_and(|again| again.expose_secret() != self.password.expose_secret()) {
            return Err(wrong("password and confirm_password differ", "passwords_differ"));
        }
        let tenant = self.tenant_id.take().map(|tenant| tenant.trim().to_owned());
        self.tenant_id = tenant.filter(|tenant| !tenant.is_empty());
        check_name(self.tenant_id.as_deref().unwrap_or_default())?;
        // Also what is not used, because another field says it.
        for word in self.name.as_deref().unwrap_or_default().splitn(2, ' ') {
            check_name(word.trim())?;
        }
        let (first, last) = names(self.name.as_deref(), self.first_name.as_deref(), self.last_name.as_deref())?;
        new_password::check(&self.password, min_chars, [&self.email, &first, &last])?;
        Ok((first, last))
    }
}

/// Returns first and last name, of one that came whole or in two parts.
///
/// # Errors
/// 400 that says what to send instead.
pub(super) fn names(
    whole: Option<&str>,
    first: Option<&str>,
    last: Option<&str>,
) -> Result<(String, String), ApiError> {
    let whole = whole.unwrap_or_default().trim();
    let (head, tail) = whole.split_once(' ').unwrap_or((whole, ""));
    let (first, last) = (first.unwrap_or(head).trim().to_owned(), last.unwrap_or(tail).trim().to_owned());
    check_name(&first)?;
    check_name(&last)?;
    if first.is_empty() {
        return Err(wrong("name, or first_name and last_name, is missing", "name_missing"));
    }
    Ok((first, last))
}

/// Returns whether a text can be a name.
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn check_name(text: &str) -> Result<(), ApiError> {
    if !text.is_empty() && !is_name(text) {
        return Err(wrong("names have at most 100 characters and no control characters", "invalid_name"));
    }
    Ok(())
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

pub(super) fn wrong(message: &str, code: &'static str) -> ApiError {
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
    fn names_come_whole_or_in_two_and_what_is_wrong_is_refused() {
        let registration = |fields: &str| {
            let body = format!(r#"{{"email": "a@x.y", {fields}}}"#);
            serde_json::from_str::<Registration>(&body).unwrap().checked(8)
        };
        let names = |fields: &str| registration(fields).unwrap();
        assert_eq!(
            names(r#""password": "correct horse", "name": "Ada King Noel""#),
            ("Ada".into(), "King Noel".into())
        );
        assert_eq!(
            names(r#""password": "correct horse", "first_name": "Ada", "last_name": "Noel""#),
            ("Ada".into(), "Noel".into())
        );
        let long = "x".repeat(129);
        for wrong in [
            r#""password": "horse", "name": "Ada""#.to_owned(),
            r#""password": "correct horse", "confirm_password": "correct hearse", "name": "Ada""#.to_owned(),
            r#""password": "correct horse""#.to_owned(),
            format!(r#""password": "correct horse", "name": "{long}""#),
            r#""password": "correct horse", "first_name": "Ada", "name": "\u0084""#.to_owned(),
        ] {
            assert!(registration(&wrong).is_err(), "{wrong}");
        }
    }
}
