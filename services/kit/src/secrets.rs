//! Secret values that this process knows, so that no text that leaves it shows one: whatever a program prints, a server
//! answers or an error quotes.
//!
//! [`redact`] compares values only. [`redact_line`] also takes out what merely looks like a secret: for lines of logs, where
//! nobody knows what the text is.

mod looks;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{OnceLock, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use secrecy::SecretString;

pub use looks::{is_secret_field, redact_line};

/// Shorter values are not looked for: `admin` or `guest` would blank ordinary words. Eight is the shortest password that
/// NIST SP 800-63B (section 5.1.1.1) allows.
pub const MIN_BYTES: usize = 8;
/// Values that are remembered, at most.
const MAX_VALUES: usize = 10_000;
/// What stands in a secret's place.
pub const SHOWN: &str = "[redacted]";

static KNOWN: RwLock<Known> = RwLock::new(Known { values: BTreeSet::new(), longest: 0, finder: OnceLock::new() });

struct Known {
    values: BTreeSet<String>,
    /// Bytes of the longest of them.
    longest: usize,
    /// Finds any of them; made when it is needed first, since a configuration may hold thousands.
    finder: OnceLock<Option<AhoCorasick>>,
}

impl Known {
    /// Takes in a value, and each long line of one with several (a private key), also as `Debug` and JSON show it. False if
    /// there is no room.
    fn learn(&mut self, value: &str) -> bool {
        let pieces = std::iter::once(value).chain(value.lines()).map(str::trim);
        for piece in pieces.filter(|piece| piece.len() >= MIN_BYTES && !is_plain(piece)) {
            for shape in [piece.to_owned(), piece.escape_debug().to_string()] {
                if self.values.contains(&shape) {
                    continue;
                }
                if self.values.len() >= MAX_VALUES {
                    return false;
                }
                self.longest = self.longest.max(shape.len());
                self.values.insert(shape);
                self.finder = OnceLock::new();
            }
        }
        true
    }

    /// None only if there is more text than a machine has memory.
    fn finder(&self) -> Option<&AhoCorasick> {
        let build = || AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&self.values).ok();
        self.finder.get_or_init(build).as_ref()
    }
}

/// A number or a path is no secret, even in a variable with such a name (`TOKEN_TTL_MS`, `SECRET_DIR`).
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_digit()) || value.starts_with('/') || value.starts_with("-----")
}

/// Makes a secret of a text, and remembers it.
pub fn secret(text: impl Into<String>) -> SecretString {
    let text: String = text.into();
    know([text.as_str()]);
    SecretString::from(text)
}

/// Remembers secret values.
pub fn know<'a>(values: impl IntoIterator<Item = &'a str>) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let has_room = values.into_iter().all(|value| known.learn(value));
    drop(known);
    // Whoever writes this line looks for secrets in it.
    if !has_room {
        tracing::warn!(most = MAX_VALUES, "too many secrets: further ones are not taken out of texts");
    }
}

/// Forgets every value, so that a fuzz target shows each input as a process that has read no other.
#[cfg(fuzzing)]
pub fn forget() {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    *known = Known { values: BTreeSet::new(), longest: 0, finder: OnceLock::new() };
}

/// Remembers the values of variables whose names say that they are secret, such as `STRIPE_API_KEY`.
pub fn know_variables<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) {
    know(variables.into_iter().filter(|(name, _)| is_secret_name(name)).map(|(_, value)| value));
}

/// Returns whether a variable of this name holds a secret.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let says_so = ["passw", "secret", "token", "credential"].iter().any(|word| name.contains(word));
    (says_so || name.ends_with("key")) && !name.ends_with("_file")
}

/// Returns what is shown of the first `most` bytes of a text: every known secret value that begins there is replaced. No more
/// of it is read than these and the longest secret.
pub(crate) fn redact_start(text: &str, most: usize) -> String {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let text = start(text, most.saturating_add(known.longest));
    let (mut shown, mut from) = (String::new(), 0);
    let found = known.finder().into_iter().flat_map(|finder| finder.find_iter(text));
    for found in found.take_while(|found| found.start() < most) {
        shown.push_str(text.get(from..found.start()).unwrap_or_default());
        shown.push_str(SHOWN);
        from = found.end();
    }
    // Nothing, if a secret reaches beyond.
    shown.push_str(start(text, most).get(from..).unwrap_or_default());
    start(&shown, most).to_owned()
}

/// At most so many bytes, and whole characters.
fn start(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// Returns the text with every known secret value replaced.
pub fn redact(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    match known.finder() {
        Some(finder) if finder.is_match(text) => {
            let mut shown = String::with_capacity(text.len());
            finder.replace_all_with(text, &mut shown, |_, _, shown| {
                shown.push_str(SHOWN);
                true
            });
            Cow::Owned(shown)
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_value_goes_and_nothing_else() {
        let held = secret("hunter2hunter2");
        know([
            "hunter2hunter2-and-more",
            "short",
            "86400000",
            r#"tw0"parts\here"#,
            "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----",
        ]);
        let variables =
            [("STRIPE_API_KEY", "sk_live_51H8"), ("GREETING", "good morning"), ("DB_PASSWORD_FILE", "/run/db")];
        know_variables(variables);
        assert_eq!(secrecy::ExposeSecret::expose_secret(&held), "hunter2hunter2");
        for (text, shown) in [
            ("login with hunter2hunter2 failed", "login with [redacted] failed"),
            ("hunter2hunter2-and-more", "[redacted]"),
            ("key=sk_live_51H8, short, 86400000", "key=[redacted], short, 86400000"),
            ("good morning from /run/db", "good morning from /run/db"),
            (r#"{"given":"tw0\"parts\\here"}"#, r#"{"given":"[redacted]"}"#),
            ("line MIIEvQIBADANBg of -----BEGIN KEY-----", "line [redacted] of -----BEGIN KEY-----"),
        ] {
            assert_eq!(redact(text), shown);
        }
        assert!(matches!(redact("nothing in it"), Cow::Borrowed(_)));
    }

    #[test]
    fn of_the_start_of_a_text_no_half_secret_is_shown() {
        let long = "ä-secret-".repeat(20);
        know([long.as_str(), "half-of-it-is-not-shown"]);
        let end = "x".repeat(4 << 10);
        for (text, shown) in [
            (format!("1234 {long}{end}"), "1234 [redacted]"),
            (format!("1234567890 {long}{end}"), "1234567890 [reda"),
            (format!("{long}{long}{long}{end}"), "[redacted]"),
            (format!("1234567890 half-of-it-is-not-shown{end}"), "1234567890 [reda"),
            (format!("1234567890 12345half-of-it-is-not-shown{end}"), "1234567890 12345"),
            (format!("123456789012345ä{end}"), "123456789012345"),
            ("short".to_owned(), "short"),
        ] {
            assert_eq!(redact_start(&text, 16), shown, "{text}");
        }
    }
}
