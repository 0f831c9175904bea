//! What a password must be that somebody chooses: long enough, not what others choose too, nor what everybody knows of him.

use std::sync::LazyLock;

use kit::http::ApiError;
use secrecy::{ExposeSecret, SecretString};

use super::credentials::wrong;
use super::password::MAX_BYTES;

/// The passwords that are tried first (OWASP ASVS 4.0.3, 2.1.7), one a line, sorted. The lines before them say where they
/// are from.
static COMMON: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let lines = include_str!("common_passwords.txt").lines();
    lines.skip_while(|line| line.starts_with('#')).collect()
});

/// Checks a password that is to be set, for whoever has this address, first and last name.
///
/// # Errors
/// 400 that says what to send instead.
pub(super) fn check(password: &SecretString, min_chars: usize, whose: [&str; 3]) -> Result<(), ApiError> {
    let password = password.expose_secret();
    if password.chars().count() < min_chars {
        return Err(wrong(&format!("the password has fewer than {min_chars} characters"), "password_too_short"));
    }
    if password.len() > MAX_BYTES {
        return Err(wrong(&format!("the password has more than {MAX_BYTES} bytes"), "password_too_long"));
    }
    if COMMON.binary_search(&&*password.to_lowercase()).is_ok() {
        let text = "many people use this password, so it is tried first; send another, such as some words in a row";
        return Err(wrong(text, "password_too_common"));
    }
    if is_of(password, whose) {
        let text = "this password is your name or your e-mail address; send another, such as some words in a row";
        return Err(wrong(text, "password_is_name"));
    }
    Ok(())
}

/// Returns whether a password is the name or the address, however it is spaced and capitalised.
fn is_of(password: &str, [email, first, last]: [&str; 3]) -> bool {
    let plain = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    let local = email.rsplit_once('@').map_or(email, |(local, _domain)| local);
    let known = [email, local, first, last, &format!("{first}{last}"), &format!("{last}{first}")].map(plain);
    known.contains(&plain(password))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use kit::http::ErrorMessage;

    use super::*;

    fn said(password: &str) -> String {
        let checked = check(&password.into(), 8, ["ada.noel@example.com", "Ada", "King Noel"]);
        let told = |error: ApiError| error.into_response().extensions().get::<ErrorMessage>().unwrap().0.clone();
        checked.map_or_else(told, |()| "good".to_owned())
    }

    #[test]
    fn a_password_is_refused_with_what_to_send_instead() {
        for (password, expected) in [
            ("correct horse battery", "good"),
            ("pässwört", "good"),
            ("🐎🔋📎✅🐎🔋📎✅", "good"),
            (&"ö".repeat(64), "good"),
            ("Ada King Noel 7", "good"),
            ("1234567", "the password has fewer than 8 characters"),
            (&"x".repeat(129), "the password has more than 128 bytes"),
            (
                "12345678",
                "many people use this password, so it is tried first; send another, such as some words in a row",
            ),
            (
                "PassWord1",
                "many people use this password, so it is tried first; send another, such as some words in a row",
            ),
            (
                "ADA.NOEL@example.com",
                "this password is your name or your e-mail address; send another, such as some words in a row",
            ),
            (
                "ada.noel",
                "this password is your name or your e-mail address; send another, such as some words in a row",
            ),
            (
                "Ada Kingnoel",
                "this password is your name or your e-mail address; send another, such as some words in a row",
            ),
            (
                "kingnoel",
                "this password is your name or your e-mail address; send another, such as some words in a row",
            ),
        ] {
            assert_eq!(said(password), expected, "{password}");
        }
    }

    #[test]
    fn the_list_is_sorted_whole_and_fits_the_shortest_password() {
        assert_eq!(COMMON.len(), 10_000);
        assert!(COMMON.is_sorted());
        assert!(COMMON.iter().all(|password| password.len() >= 8 && *password == password.to_lowercase()));
    }
}
