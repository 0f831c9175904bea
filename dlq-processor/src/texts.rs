//! Texts that people write into requests: how long they may be, and of what.

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
}
