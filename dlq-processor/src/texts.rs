//! Texts that people write into requests: how long they may be, and of what; ids, and times.

use std::ops::Deref;

use jiff::Timestamp;
use kit::config::parse_duration;
use serde::Deserialize;

/// Checks a text of at most so many bytes. PostgreSQL takes no text with a NUL, and nobody means the other control characters.
///
/// # Errors
/// What is wrong with it, after the name of its `field`.
pub(crate) fn check(field: &str, text: &str, most_bytes: usize) -> Result<(), String> {
    if text.len() > most_bytes {
        return Err(format!("{field} is longer than {most_bytes} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{field} has a control character in it, such as the end of a line; leave it out"));
    }
    Ok(())
}

/// An id that somebody asks for.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Id(String);

impl From<String> for Id {
    /// Nothing has an id with a NUL, which PostgreSQL takes for no text: that is the id of nothing.
    fn from(id: String) -> Self {
        Self(if id.contains('\0') { String::new() } else { id })
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Reads a time, or how long before `now` it was.
///
/// # Errors
/// What to write instead.
pub(crate) fn read_moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(ago) = parse_duration(text) {
        let then = now.checked_sub(ago);
        return then.map_err(|_error| format!("{text} ago was before time began"));
    }
    let wrong = |_error| format!("{text:?} is no time; write it like 2026-01-31T12:00:00Z, or like 2h or 7d ago");
    text.parse().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_short_and_has_no_control_characters() {
        for (text, expected) in [
            ("a ü😀", None),
            ("12345678", None),
            ("123456789", Some("to is longer than 8 bytes")),
            ("a\0", Some("to has a control character in it, such as the end of a line; leave it out")),
            ("a\nb", Some("to has a control character in it, such as the end of a line; leave it out")),
        ] {
            assert_eq!(check("to", text, 8).err().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn times_are_written_out_or_as_how_long_ago() {
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("2h", "2026-01-31T10:00:00Z"),
            ("7d", "2026-01-24T12:00:00Z"),
        ] {
            assert_eq!(read_moment(text, now).unwrap().to_string(), expected);
        }
        let wrong = read_moment("yesterday", now).unwrap_err();
        assert!(wrong.contains("write it like 2026-01-31T12:00:00Z, or like 2h or 7d ago"), "{wrong}");
    }
}
