//! What makes two failures the same one: queue, job, class and message, without what differs from one job to the next.

use std::fmt;
use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use regex::Regex;
use sha2::{Digest, Sha256};

use super::error_facts::regex;

/// Digits of a fingerprint.
const DIGITS: usize = 16;
/// Longest masked message, in characters: what comes after repeats.
const MAX_CHARS: usize = 512;

/// In this order: what is quoted, UUIDs, long hexadecimal words, numbers.
static VARIES: LazyLock<Regex> = LazyLock::new(|| {
    let quoted = r#""[^"]*"|'[^']*'|`[^`]*`"#;
    let uuid = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
    regex(&format!(r"{quoted}|{uuid}|\b(?:0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*\b|\d+(?:[.:,_-]\d+)*"))
});

/// Names failures that are alike, in 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Returns that of a failure.
    pub fn of(queue: &str, job: &str, class: Option<&str>, message: &str) -> Self {
        let mut digest = Sha256::new();
        for part in [queue, job, class.unwrap_or_default(), &masked(message)] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = HEXLOWER.encode(&digest.finalize());
        Self(digest.chars().take(DIGITS).collect())
    }

    /// Takes one that was written down.
    pub fn known(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns whether a text could be one: what is written elsewhere may be anything.
    pub fn is_one(text: &str) -> bool {
        text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts a dot in place of everything that varies, and one space in place of any white space.
fn masked(message: &str) -> String {
    let message: String = message.chars().take(4 * MAX_CHARS).collect();
    let masked = VARIES.replace_all(&message, "·");
    let words: Vec<&str> = masked.split_whitespace().collect();
    words.join(" ").chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_from_job_to_job_makes_no_other_failure() {
        for (left, right, is_same) in [
            ("user 17 not found", "user 18 not found", true),
            ("key \"a b\" missing", "key \"c\" missing", true),
            ("no row f47ac10b-58cc-4372-a567-0e02b2c3d479", "no row 0e02b2c3-58cc-4372-a567-f47ac10bd479", true),
            ("block 0xdeadbeef1 is bad", "block 0x12 is bad", true),
            ("took 1.5s at 10:00:01", "took  12.25s\nat 11:30:59", true),
            ("connect ECONNREFUSED 10.0.0.1:5432", "connect ECONNREFUSED 10.0.0.2:5433", true),
            ("user not found", "order not found", false),
            ("bad face", "bad cafe", false),
        ] {
            let [left_print, right_print] = [left, right].map(|text| Fingerprint::of("q", "j", Some("Error"), text));
            assert_eq!(left_print == right_print, is_same, "{left} / {right}: {} / {}", masked(left), masked(right));
        }
    }

    #[test]
    fn queue_job_and_class_are_told_apart_also_where_their_texts_join_alike() {
        let all = [("ab", "c", None), ("a", "bc", None), ("ab", "", Some("c")), ("ab", "c", Some("Error"))];
        let mut prints: Vec<Fingerprint> = all.map(|(queue, job, class)| Fingerprint::of(queue, job, class, "")).into();
        prints.sort();
        prints.dedup();
        assert_eq!(prints.len(), all.len());
        assert!(prints.iter().all(|print| Fingerprint::is_one(print.as_str())));
        for none in ["", "ledger/full", "63e74467a7bb017", "63E74467A7BB0170", "63e74467a7bb0170 ", "63e74467a7bb01é"]
        {
            assert!(!Fingerprint::is_one(none), "{none}");
        }
    }
}
