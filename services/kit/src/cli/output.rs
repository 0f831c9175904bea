//! Lines for people and pipes: a reader that left (`monitor status | head -1`) is no error.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use serde_json::Value;

/// Prints a line of the result.
pub fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => complain(format_args!("cannot write the result: {error}")),
    }
}

/// Prints a line to standard error; if nobody reads that either, nothing is left to be done.
pub fn complain(line: impl Display) {
    let _closed = writeln!(std::io::stderr(), "{line}");
}

/// Prints an answer as JSON for people.
pub fn print_json(answer: &Value) {
    say(pretty(answer));
}

/// DEL and what ECMA-48 calls C1 may stand in JSON as they are (RFC 8259 section 7), and do something to a terminal.
fn pretty(answer: &Value) -> String {
    let text = serde_json::to_string_pretty(answer).unwrap_or_default();
    let escaped = |char: char| match char {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(char)),
        char => char.to_string(),
    };
    if text.contains(|char| matches!(char, '\u{7f}'..='\u{9f}')) { text.chars().map(escaped).collect() } else { text }
}

/// Returns a field, or null if there is none: for JSON whose form is not ours.
pub fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// Returns a text field, or nothing.
pub fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    at(value, key).as_str().unwrap_or_default()
}

/// Returns a text as a shell takes it for one word (POSIX, Shell Command Language, section 2.2).
pub fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:,=@%+".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_word_for_a_shell_stays_one_word() {
        let words = [
            ("a-1", "a-1"),
            ("mails", "mails"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's mended", r"'it'\''s mended'"),
            ("$(x)", "'$(x)'"),
        ];
        for (text, expected) in words {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn what_would_do_something_to_a_terminal_is_escaped_and_means_the_same() {
        let answer = json!({ "a": "\u{9b}31m\x1b[2J\u{7f}é" });
        let shown = pretty(&answer);
        assert!(shown.contains(r#""\u009b31m\u001b[2J\u007fé""#), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).ok(), Some(answer));
    }
}
