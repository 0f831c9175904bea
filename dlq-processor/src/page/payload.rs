//! What a job held and where its program failed, as text that may be shown: in lines, without secrets, and not without end.

use kit::secrets::redact_line;
use serde_json::Value;

use crate::redacted::Redaction;

/// Longest text, in bytes.
const MOST_BYTES: usize = 64 << 10;
/// Longest payload that is looked at as JSON, in bytes: beyond it indenting costs more than it shows.
const MOST_JSON_BYTES: usize = 1 << 20;
/// Longest stack trace, in bytes.
const MOST_STACK_BYTES: usize = 16 << 10;

/// A text that may be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: String,
    /// What is missing at its end, if anything.
    pub(super) clipped: Option<String>,
}

/// Shows what a job held.
pub(super) fn payload(data: &[u8], redaction: &Redaction) -> Shown {
    if (data.len() <= MOST_JSON_BYTES || redaction.names_places())
        && let Ok(mut value) = serde_json::from_slice::<Value>(data)
    {
        redaction.hide(&mut value);
        let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
        let shown = begin(&pretty, 2 * MOST_BYTES);
        return clipped(shown, MOST_BYTES, data.len(), shown.len() == pretty.len());
    }
    text(data, MOST_BYTES)
}

/// Shows a stack trace.
pub(super) fn stack(stack: &str) -> Shown {
    text(stack.as_bytes(), MOST_STACK_BYTES)
}

fn text(data: &[u8], most: usize) -> Shown {
    // Somewhat more, so that a secret is known for one before its end is cut off.
    let begin = data.get(..most.saturating_mul(2)).unwrap_or(data);
    clipped(&String::from_utf8_lossy(begin), most, data.len(), begin.len() == data.len())
}

/// Shows so much of a text of which `is_all` says whether it is all that there is.
fn clipped(text: &str, most: usize, all_bytes: usize, is_all: bool) -> Shown {
    let text = redact_line(text);
    if is_all && text.len() <= most {
        return Shown { text, clipped: None };
    }
    let clipped = format!("Its beginning, {} KiB; it has {}.", most >> 10, bytes(all_bytes));
    Shown { text: begin(&text, most).to_owned(), clipped: Some(clipped) }
}

/// At most so many bytes, and whole characters.
fn begin(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// Writes a size: `812 bytes`, `65 KiB`, `3 MiB`.
pub(super) fn bytes(bytes: usize) -> String {
    match bytes {
        0..10_240 => super::spoken::count(i64::try_from(bytes).unwrap_or(i64::MAX), "byte"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_holds_no_secret() {
        let data = br#"{"to":"a@b.c","apiKey":{"v":"k-1"},"list":[{"token":"t-1"}],"url":"https://u:hunter2@x/"}"#;
        let Shown { text, clipped } = payload(data, &Redaction::default());
        assert!(text.contains("\"to\": \"a@b.c\"") && text.lines().count() > 6 && clipped.is_none(), "{text}");
        assert!(!["k-1", "t-1", "hunter2"].iter().any(|secret| text.contains(secret)), "{text}");
    }

    #[test]
    fn what_is_no_json_is_text_without_secrets() {
        let Shown { text, .. } = payload(b"password=hunter2hunter2 \xff <b>", &Redaction::default());
        assert!(text.ends_with("\u{fffd} <b>") && !text.contains("hunter2"), "{text}");
        assert_eq!(payload(b"", &Redaction::default()), Shown::default());
    }

    #[test]
    fn what_is_long_is_cut_at_a_character_and_that_is_said() {
        for long in ["ä".repeat(200 << 10), format!("\"{}\"", "ä".repeat(100 << 10)), "x\n".repeat(40 << 10)] {
            let Shown { text, clipped } = payload(long.as_bytes(), &Redaction::default());
            assert!(text.len() <= MOST_BYTES && text.len() > MOST_BYTES - 4, "{}", text.len());
            assert!(clipped.unwrap().starts_with("Its beginning, 64 KiB; it has "));
        }
        assert_eq!(
            [bytes(1), bytes(9_999), bytes(65 << 10), bytes(12 << 20)],
            ["1 byte", "9,999 bytes", "65 KiB", "12 MiB"]
        );
    }
}
