//! A regular expression that words of failures are looked through with.

use std::fmt;
use std::time::{Duration, Instant};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::LedgerError;

/// Longest one, in bytes.
const LONGEST: usize = 1000;
/// What one may take when it is made, in bytes: repetitions of repetitions take more.
const MOST_BYTES: usize = 1 << 20;
/// How long one part of a search may take, but for the text that it is at then: that has 8 KiB at most.
const WITHIN: Duration = Duration::from_secs(2);

/// A regular expression as the crate `regex` has it, whatever is small or capital. Each takes time in proportion to what it is
/// looked for in (docs.rs/regex, "Untrusted input").
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression(Regex);

impl Expression {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(format!("a regular expression has 1 to {LONGEST} bytes, this one has {}", text.len()));
        }
        let made = RegexBuilder::new(text).case_insensitive(true).size_limit(MOST_BYTES).build();
        // The last line of the parser says what it is, those before where.
        let why = |error: regex::Error| error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        made.map(Self).map_err(|error| format!("{text:?} is no regular expression: {}", why(error)))
    }

    /// Returns it as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is found in a text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// Returns those of some things in whose texts it is found.
    ///
    /// # Errors
    /// [`LedgerError::TooSlow`].
    pub(super) fn find<T>(&self, all: Vec<T>, text: fn(&T) -> &String) -> Result<Vec<T>, LedgerError> {
        let (began, mut found) = (Instant::now(), Vec::new());
        for one in all {
            if began.elapsed() > WITHIN {
                return Err(LedgerError::TooSlow);
            }
            if self.is_in(text(&one)) {
                found.push(one);
            }
        }
        Ok(found)
    }
}

impl TryFrom<String> for Expression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.as_str().to_owned()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_for_whatever_is_small_or_capital_and_told_when_it_is_none() {
        let expression = Expression::parse(r"timeout after \d+ ?ms$").unwrap();
        assert!(expression.is_in("Timeout after 30ms") && !expression.is_in("timeout after a while"));
        let json = serde_json::to_string(&expression).unwrap();
        assert_eq!(serde_json::from_str::<Expression>(&json).unwrap(), expression);
        for (wrong, why) in [("a(b", "unclosed group"), ("(?:a{1000}){1000}", "size limit"), ("", "1 to 1000 bytes")] {
            let said = serde_json::from_value::<Expression>(wrong.into()).unwrap_err().to_string();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
