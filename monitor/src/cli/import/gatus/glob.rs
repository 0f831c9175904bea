//! The patterns of Gatus' `pat()`: those of Go's filepath.Match, in texts and patterns whose slashes were taken out.

use regex::Regex;

/// Returns what a pattern means as a regular expression of the whole text, slashes kept; none if it is malformed, when
/// Gatus finds no match.
pub(super) fn regex(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '\\' => out.push_str(&escaped(rest.next()?)),
            '[' => out.push_str(&class(&mut rest)?),
            other => out.push_str(&escaped(other)),
        }
    }
    Some(out)
}

/// True if a text without slashes matches.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let regex = regex(&pattern.replace('/', ""));
    let regex = regex.and_then(|regex| Regex::new(&format!(r"(?s)\A{regex}\z")).ok());
    regex.is_some_and(|regex| regex.is_match(&text.replace('/', "")))
}

/// Returns the text that is wanted somewhere, of a pattern like `*text*`.
pub(super) fn inner(pattern: &str) -> Option<&str> {
    let text = pattern.strip_prefix('*')?.strip_suffix('*')?;
    (!text.is_empty() && !text.contains(['*', '?', '[', '\\'])).then_some(text)
}

fn escaped(c: char) -> String {
    regex::escape(c.encode_utf8(&mut [0; 4]))
}

/// Reads a class behind its `[`.
fn class(rest: &mut std::str::Chars<'_>) -> Option<String> {
    let mut out = "[".to_owned();
    let mut members = 0;
    loop {
        match rest.next()? {
            '^' if members == 0 && out == "[" => out.push('^'),
            ']' if members > 0 => break,
            ']' => return None,
            '-' if members > 0 => out.push('-'),
            '\\' => {
                out.push_str(&escaped(rest.next()?));
                members += 1;
            }
            other => {
                out.push_str(&escaped(other));
                members += 1;
            }
        }
    }
    out.push(']');
    Regex::new(&out).ok().map(|_valid| out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, text, fits) in [
            ("*up*", "it is up now", true),
            ("*up*", "it is\nup", true),
            ("up", "it is up", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            (r"\*", "*", true),
            (r"\*", "x", false),
            ("a/b*", "ab/c", true),
            ("[", "[", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
        assert_eq!(inner("*x y*"), Some("x y"));
        assert_eq!((inner("x*"), inner("**"), inner("*a*b*")), (None, None, None));
    }
}
