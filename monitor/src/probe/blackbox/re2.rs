//! Regular expressions as Go writes them (RE2 syntax), for the `regex` crate, which differs in a few places: there `{` that
//! begins no repetition is a mistake, `\d \w \s \b` know all of Unicode, `[` within a class begins another, `--` subtracts,
//! `\Q…\E` and `\C` are unknown, and bytes that are not UTF-8 match neither `.` nor `[^x]`. Source: github.com/google/re2/wiki/Syntax and the documentation of `regex`.

use std::borrow::Cow;
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use kit::config::Cursor;
use regex::bytes::{Regex, RegexBuilder};

/// Compiled expressions may take this much memory each, in bytes. Go takes 128 MiB (`maxSize` in regexp/syntax/parse.go),
/// for states that are larger than ours; repetitions end at 1000 there.
const MAX_REGEX_BYTES: usize = 32 * 1024 * 1024;

/// Returns whether an expression matches, as Go matches what is not UTF-8.
pub(super) fn is_match(regex: &Regex, input: &[u8]) -> bool {
    regex.is_match(&readable(input))
}

/// Returns the input with U+FFFD for each byte that is not UTF-8, as which Go reads it.
pub(super) fn readable(input: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(input).is_ok() {
        return Cow::Borrowed(input);
    }
    let mut out = Vec::with_capacity(input.len().saturating_add(1024));
    for chunk in input.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        out.extend(chunk.invalid().iter().flat_map(|_| "\u{FFFD}".bytes()));
    }
    Cow::Owned(out)
}

/// Compiles an expression; unanchored, as everywhere in blackbox_exporter.
pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Regex> {
    let text = cursor.text()?;
    match RegexBuilder::new(&translate(&text)).size_limit(MAX_REGEX_BYTES).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or("it does not parse").trim().trim_start_matches("error: ");
            cursor.mistake(format!("{} is not a regular expression: {last}", cursor.node().shown()));
            None
        }
    }
}

/// Compiles a list of them; none of the list if one is wrong.
pub(super) fn decode_list(cursor: Option<Cursor<'_>>) -> Option<Vec<Regex>> {
    let items = cursor.map(|cursor| cursor.items()).unwrap_or_default();
    let decoded: Vec<Option<Regex>> = items.iter().map(decode).collect();
    decoded.into_iter().collect()
}

fn translate(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut rest, &mut out, false),
            '[' => class(&mut rest, &mut out),
            '{' if !is_repetition(rest.clone()) => out.push_str("\\{"),
            '{' => {
                out.push('{');
                out.extend(std::iter::from_fn(|| rest.next_if(|c| *c != '}')));
                out.extend(rest.next());
            }
            '}' => out.push_str("\\}"),
            c => out.push(c),
        }
    }
    out
}

/// `{2}`, `{2,}` and `{2,3}` repeat; everything else is what it looks like.
fn is_repetition(rest: Peekable<Chars<'_>>) -> bool {
    let inside: String = rest.clone().take_while(|c| *c != '}').collect();
    let is_closed = rest.into_iter().any(|c| c == '}');
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let (low, high) = inside.split_once(',').unwrap_or((&inside, ""));
    is_closed && is_number(low) && (high.is_empty() || is_number(high))
}

fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String, in_class: bool) {
    let Some(c) = rest.next() else {
        out.push('\\');
        return;
    };
    match c {
        'Q' => quote(rest, out),
        // One of its own means nothing.
        'E' => {}
        'C' => out.push_str("(?s-u:.)"),
        'd' => out.push_str(if in_class { "0-9" } else { "[0-9]" }),
        'w' => out.push_str(if in_class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
        's' => out.push_str(if in_class { "\\t\\n\\x0C\\r " } else { "[\\t\\n\\x0C\\r ]" }),
        'D' => out.push_str("[^0-9]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'S' => out.push_str("[^\\t\\n\\x0C\\r ]"),
        'x' | 'p' | 'P' => {
            out.extend(['\\', c]);
            if rest.next_if_eq(&'{').is_some() {
                out.push('{');
                out.extend(std::iter::from_fn(|| rest.next_if(|c| *c != '}')));
                out.extend(rest.next());
            }
        }
        'b' | 'B' => {
            let _infallible = write!(out, "(?-u:\\{c})");
        }
        // Octal digits of RE2.
        '0'..='7' => {
            let mut digits = c.to_string();
            while digits.len() < 3 {
                match rest.next_if(|c| ('0'..='7').contains(c)) {
                    Some(digit) => digits.push(digit),
                    None => break,
                }
            }
            let _infallible = write!(out, "\\x{{{:x}}}", u32::from_str_radix(&digits, 8).unwrap_or(0));
        }
        c => {
            out.push('\\');
            out.push(c);
        }
    }
}

fn quote(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut quoted = String::new();
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            break;
        }
        quoted.push(c);
    }
    out.push_str(&regex::escape(&quoted));
}

/// Within brackets `[`, `&&`, `--` and `~~` mean nothing to RE2.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    // Whether a range can begin with what was before, which must be one character.
    let (mut is_first, mut is_one) = (true, false);
    while let Some(c) = rest.next() {
        let was_one = std::mem::replace(&mut is_one, true);
        match c {
            ']' if is_first => out.push_str("\\]"),
            ']' => {
                out.push(']');
                return;
            }
            '[' if rest.peek() == Some(&':') => {
                // `[:alpha:]` is the same in both.
                out.push('[');
                out.extend(std::iter::from_fn(|| rest.next_if(|c| *c != ']')));
                out.extend(rest.next());
                is_one = false;
            }
            '-' if was_one && rest.peek().is_some_and(|next| *next != ']') => {
                out.push('-');
                is_one = false;
                match rest.next_if(|next| "[&~-".contains(*next)) {
                    Some(end) => out.extend(['\\', end]),
                    None if rest.next_if_eq(&'\\').is_some() => escape(rest, out, true),
                    None => out.extend(rest.next()),
                }
            }
            '[' | '&' | '~' | '-' => out.extend(['\\', c]),
            '\\' => {
                is_one = !rest.peek().is_some_and(|class| "dDsSwWpP".contains(*class));
                escape(rest, out, true);
            }
            c => out.push(c),
        }
        is_first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, input: &str) -> bool {
        matches_bytes(text, input.as_bytes())
    }

    fn matches_bytes(text: &str, input: &[u8]) -> bool {
        let regex = RegexBuilder::new(&translate(text)).size_limit(MAX_REGEX_BYTES).build();
        is_match(&regex.unwrap_or_else(|error| panic!("{text}: {error}")), input)
    }

    #[test]
    fn what_is_not_utf8_is_a_character_like_any_other() {
        let input = b"\xff\xfeabc";
        for (text, expected) in [
            ("^..abc$", true),
            ("^[^x][^x]abc$", true),
            (r"^\D\Wabc$", true),
            ("^.abc$", false),
            (r"^\x{FFFD}{2}abc$", true),
            ("abc", true),
        ] {
            assert_eq!(matches_bytes(text, input), expected, "{text}");
        }
        assert!(!matches("^..$", "ü"));
        assert!(matches_bytes("^..$", b"\xc3\xc3"));
        assert_eq!(*readable(b"a\xe2\x82z"), *"a\u{FFFD}\u{FFFD}z".as_bytes());
    }

    #[test]
    fn repetitions_may_be_as_long_as_in_go() {
        assert!(matches("^a{0,1000}b{0,1000}c{0,1000}.{0,1000}$", "aabbccdd"));
        assert!(matches(r"^[^\x{80}]{1000}$", &"x".repeat(1000)));
    }

    #[test]
    fn what_go_accepts_means_the_same_here() {
        for (text, yes, no) in [
            (r#"{"status":"ok"}"#, r#"x {"status":"ok"} y"#, "status"),
            (r#""a": {2}"#, r#""a":  "#, r#""a": "#),
            ("^a{2,3}$", "aaa", "aaaa"),
            ("a{,2}", "a{,2}", "aa"),
            ("x}", "x}", "x"),
            (r"\Qa.b\E.", "a.bc", "axbc"),
            (r"^\w+$", "abc_9", "grün"),
            (r"^\d$", "7", "٣"),
            (r"^[\w-]+$", "a-b", "a b"),
            (r"[[]x", "[x", "x"),
            (r"^[^]a]$", "b", "]"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[[:alpha:]\d]+$", "ab1", "-"),
            (r"\bcat\b", "a cat.", "concat"),
            (r"^\101$", "A", "B"),
            ("(?i)^server: NGINX", "Server: nginx", "server: apache"),
            (r"^\x41\.$", "A.", "Ab"),
            ("(?P<name>a)(?:b)", "ab", "a"),
            ("^SSH-2.0-", "SSH-2.0-OpenSSH", "HTTP"),
            ("ü.$", "grün", "grun"),
            (r"^\p{L}+$", "Größe", "1"),
            (r"^\pL\PL$", "a1", "ab"),
            (r"^\p{Greek}$", "λ", "l"),
            (r"^[\p{Greek}\d]+$", "λ1", "l"),
            (r"^\x{1F600}$", "😀", "x"),
            (r"^[\x{1F600}-\x{1F64F}]$", "😀", "x"),
            ("abc[+--]def", "abc,def", "abc.def"),
            ("^[--/]$", ".", ","),
            (r"^[\w--]$", "-", "+"),
            ("^[a-]$", "-", "b"),
            (r"^[a\-z]$", "-", "b"),
            ("^[a-c-e]$", "-", "d"),
            ("^[!-~]$", "a", "é"),
        ] {
            assert!(matches(text, yes), "{text} on {yes} ({})", translate(text));
            assert!(!matches(text, no), "{text} on {no} ({})", translate(text));
        }
    }

    #[test]
    fn no_text_breaks_the_translation() {
        for text in ["\\", "[", "[^", "{", "\\Q", "a\\", "[\\", "[[:", "{1", "}"] {
            let _any = translate(text);
        }
    }
}
