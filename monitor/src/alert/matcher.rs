//! Label matchers, as Alertmanager writes them: `service=web`, `team!=ops`, `service=~"web|api"`, `team!~"x.*"`. Pure.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest label and value of a matcher together, in bytes; however it is written.
const MAX_BYTES: usize = 1024;

/// One condition on a label. A label that is not there counts as empty (Alertmanager manual, "matcher").
#[derive(Debug, Clone)]
pub struct Matcher {
    label: String,
    operator: Operator,
    value: String,
    regex: Option<Regex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::MatchesNot => "!~",
        }
    }
}

impl Matcher {
    /// A label with exactly this value.
    pub fn equal(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), operator: Operator::Equal, value: value.to_owned(), regex: None }
    }

    /// Follows a label's value to a new one; returns whether it asks for exactly that value.
    pub(super) fn follow(&mut self, label: &str, old: &str, new: &str) -> bool {
        let is_it = self.operator == Operator::Equal && self.label == label && self.value == old;
        if is_it {
            new.clone_into(&mut self.value);
        }
        is_it
    }

    /// A label with one of these values.
    ///
    /// # Errors
    /// Values that are together too long.
    pub fn one_of(label: &str, values: &[String]) -> Result<Self, String> {
        match values {
            [only] => Ok(Self::equal(label, only)),
            _ => Self::build(
                label,
                Operator::Matches,
                values.iter().map(|value| regex::escape(value)).collect::<Vec<_>>().join("|"),
            ),
        }
    }

    /// Reads one matcher.
    ///
    /// # Errors
    /// One sentence that says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not a matcher; write label=value, label!=value, label=~\"regex\" or label!~\"regex\"")
        };
        let text = text.trim();
        let end = text.find(['=', '!']).ok_or_else(wrong)?;
        let (label, rest) = text.split_at(end);
        let operators = [
            ("=~", Operator::Matches),
            ("!~", Operator::MatchesNot),
            ("!=", Operator::NotEqual),
            ("=", Operator::Equal),
        ];
        let found = operators.iter().find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
        let (operator, value) = found.ok_or_else(wrong)?;
        let (label, value) = (label.trim(), value.trim());
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
        if label.is_empty() || !label.chars().all(is_name) {
            return Err(wrong());
        }
        let value = match value.strip_prefix('"') {
            Some(rest) => unquote(rest).ok_or_else(wrong)?,
            None => value.to_owned(),
        };
        let bytes = label.len() + value.len();
        if bytes > MAX_BYTES {
            return Err(format!("a matcher of {bytes} bytes; at most {MAX_BYTES}"));
        }
        Self::build(label, operator, value)
    }

    fn build(label: &str, operator: Operator, value: String) -> Result<Self, String> {
        let regex = match operator {
            Operator::Matches | Operator::MatchesNot => Some(compile(&value)?),
            Operator::Equal | Operator::NotEqual => None,
        };
        Ok(Self { label: label.to_owned(), operator, value, regex })
    }

    /// Returns the label it looks at.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns whether these labels fulfil it.
    pub fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        let matches = || self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.operator {
            Operator::Equal => value == self.value,
            Operator::NotEqual => value != self.value,
            Operator::Matches => matches(),
            Operator::MatchesNot => !matches(),
        }
    }
}

/// Regexes match the whole value (Alertmanager anchors them).
fn compile(pattern: &str) -> Result<Regex, String> {
    let anchored = regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build();
    anchored.map_err(|error| {
        let cause = error.to_string();
        format!("{pattern:?} is not a regular expression: {}", cause.lines().last().unwrap_or_default())
    })
}

/// Reads what follows an opening quote; nothing if the closing one is not the end. The escapes are Alertmanager's (`\\`,
/// `\"`, `\n`); a backslash before anything else stands for itself (Alertmanager, `pkg/labels`, `ParseMatcher`).
fn unquote(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                escaped @ ('"' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            plain => value.push(plain),
        }
    }
}

/// Writes what [`unquote`] reads.
fn quote(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.label, self.operator.as_str(), quote(&self.value))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.operator, &self.value) == (&other.label, other.operator, &other.value)
    }
}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(matcher: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Matcher::parse(matcher).unwrap().fits(&labels)
    }

    #[test]
    fn they_match_whole_values_and_a_missing_label_is_empty() {
        let labels = [("service", "web-1"), ("team", "a")];
        for (matcher, expected) in [
            ("service=web-1", true),
            ("service=\"web-1\"", true),
            ("service=web", false),
            ("service!=web", true),
            ("service=~web", false),
            ("service=~\"web.*|api\"", true),
            ("service!~\"web.*\"", false),
            ("absent=\"\"", true),
            ("absent=~\".+\"", false),
            ("absent!=x", true),
        ] {
            assert_eq!(fits(matcher, &labels), expected, "{matcher}");
        }
    }

    #[test]
    fn what_is_no_matcher_is_said_and_what_is_one_reads_back() {
        for text in ["", "web", "=x", "a b=c", "x=\"unfinished", "x=\"unfinished\\\"", "x=\"a\" b\"", "x=\""] {
            assert!(Matcher::parse(text).unwrap_err().contains("write label=value"), "{text}");
        }
        assert!(Matcher::parse("x=~\"(\"").unwrap_err().contains("is not a regular expression"));
        for text in ["a=b", "a=~\"x|y\"", "a!=\"say \\\"hi\\\"\""] {
            let matcher = Matcher::parse(text).unwrap();
            assert_eq!(Matcher::parse(&matcher.to_string()).unwrap(), matcher);
        }
        let either = Matcher::one_of("service", &["a.b".to_owned(), "c".to_owned()]).unwrap();
        assert!(either.fits(&[("service".to_owned(), "a.b".to_owned())].into()));
        assert!(!either.fits(&[("service".to_owned(), "axb".to_owned())].into()));
    }

    #[test]
    fn what_a_value_holds_is_written_as_alertmanager_writes_it() {
        for (value, written) in [
            ("", r#"a="""#),
            ("line\nline", r#"a="line\nline""#),
            (r"C:\new", r#"a="C:\\new""#),
            (r#"say "hi""#, r#"a="say \"hi\"""#),
            ("tab\t, bell\u{7} and e\u{301}", "a=\"tab\t, bell\u{7} and e\u{301}\""),
        ] {
            let matcher = Matcher::equal("a", value);
            assert_eq!(matcher.to_string(), written);
            assert_eq!(Matcher::parse(written).unwrap(), matcher, "{written}");
        }
        assert_eq!(Matcher::parse(r#"a=~"\d+""#).unwrap(), Matcher::parse(r"a=~\d+").unwrap());
    }

    #[test]
    fn the_longest_that_is_taken_reads_back_however_much_of_it_is_escaped() {
        let longest = Matcher::parse(&format!("a={}", "\\".repeat(MAX_BYTES - 1))).unwrap();
        assert_eq!(Matcher::parse(&longest.to_string()).unwrap(), longest);
        let longer = Matcher::parse(&format!("a={}", "b".repeat(MAX_BYTES))).unwrap_err();
        assert_eq!(longer, "a matcher of 1025 bytes; at most 1024");
    }

    fn values() -> impl Strategy<Value = String> {
        let special = prop::sample::select(vec!['"', '\\', 'n', '\n', '\t', ' ']);
        let chars = prop::collection::vec(prop_oneof![any::<char>(), special], 0..60);
        chars.prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            label in "[a-zA-Z0-9_.-]{1,9}",
            value in values(),
            operator in prop_oneof![Just("="), Just("!="), Just("=~"), Just("!~")],
        ) {
            let value = if operator.ends_with('~') { regex::escape(&value) } else { value };
            let written = format!("{label}{operator}{}", quote(&value));
            let matcher = Matcher::parse(&written).unwrap();
            prop_assert_eq!(&matcher.value, &value);
            prop_assert_eq!(Matcher::parse(&matcher.to_string()).unwrap(), matcher);
        }
    }
}
