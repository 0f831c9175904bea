//! What a rule is, and what it says.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use kit::config::Place;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::supervise::redact;

/// How sure it is to hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works until something else goes wrong.
    Warning,
    /// It cannot work as written.
    Error,
}

impl Severity {
    /// Returns the word people and machines read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// What a rule says about itself.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RuleText {
    /// Its name, for comments that ignore it and for scripts.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The mistake, in a few words.
    pub title: &'static str,
    /// Why it will bite.
    pub why: &'static str,
}

/// A mistake to look for in a `P`: a compose project, or units.
#[derive(Debug)]
pub struct Rule<P> {
    /// What it says about itself.
    pub text: RuleText,
    /// Finds every place where the mistake is made.
    pub find: fn(&P) -> Vec<Hit>,
}

impl<P> Rule<P> {
    pub(super) const fn error(
        id: &'static str,
        title: &'static str,
        why: &'static str,
        find: fn(&P) -> Vec<Hit>,
    ) -> Self {
        Self { text: RuleText { id, severity: Severity::Error, title, why }, find }
    }

    pub(super) const fn warning(
        id: &'static str,
        title: &'static str,
        why: &'static str,
        find: fn(&P) -> Vec<Hit>,
    ) -> Self {
        Self { text: RuleText { id, severity: Severity::Warning, title, why }, find }
    }
}

/// One place where a rule found its mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Where.
    pub place: Place,
    /// The service or unit.
    pub service: String,
    /// What is wrong there.
    pub message: String,
    /// What to write, to paste.
    pub fix: String,
}

impl Hit {
    pub(super) fn new(place: &Place, service: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: place.clone(), service: service.to_owned(), message: message.into(), fix: fix.into() }
    }
}

/// A mistake that was found, with everything a person needs to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was given.
    pub file: String,
    /// Line from 1; 0 means the whole file.
    pub line: u64,
    /// Column from 1.
    pub column: u64,
    /// The service or unit; empty for the whole file.
    pub service: String,
    /// What is wrong.
    pub message: String,
    /// Why it will bite.
    pub why: &'static str,
    /// What to write, to paste.
    pub fix: String,
}

impl Finding {
    /// Returns what tells it from every other finding, also when lines move: see [`identity`].
    pub fn id(&self) -> String {
        identity(self.rule, &self.file, &self.service, &self.message)
    }

    /// Returns it as it may be told: a secret stays in the file where it stands.
    pub fn without_secrets(mut self) -> Self {
        self.message = redact_lines(&self.message);
        self.fix = redact_lines(&self.fix);
        self
    }

    /// Returns the line that it speaks of as it may be told, if that line was read and holds anything.
    pub fn quote(&self, sources: &BTreeMap<String, String>) -> Option<String> {
        let number = usize::try_from(self.line).ok()?.checked_sub(1)?;
        let line = sources.get(&self.file)?.lines().nth(number)?;
        let quoted = if self.rule == IS_SECRET { before_value(line, self.column) } else { redact(line) };
        Some(quoted.trim().to_owned()).filter(|line| !line.is_empty())
    }
}

/// The rule whose finding stands where a secret does, however little that looks like one.
const IS_SECRET: &str = "secret-in-file";

/// Returns a line until the name at this column, without the value behind it.
fn before_value(line: &str, column: u64) -> String {
    let start = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    let is_end = |(index, c): &(usize, char)| *index >= start && matches!(c, ':' | '=');
    let Some((end, _)) = line.chars().enumerate().find(is_end) else { return "[redacted]".to_owned() };
    format!("{} [redacted]", redact(&line.chars().take(end + 1).collect::<String>()))
}

fn redact_lines(text: &str) -> String {
    text.lines().map(redact).collect::<Vec<_>>().join("\n")
}

/// Returns the name by which a finding is known over restarts and changed lines: half a SHA-256, in hexadecimal.
pub fn identity(rule: &str, file: &str, service: &str, message: &str) -> String {
    // No text holds this character, so that no two lists of parts are the same text.
    let digest = Sha256::digest([rule, file, service, message].join("\0"));
    HEXLOWER.encode(digest.get(..16).unwrap_or_default())
}

/// Everything that was found, and what could not be looked into.
#[derive(Debug, Default, Serialize)]
pub struct Diagnosis {
    /// The mistakes, in the order of files and lines.
    pub findings: Vec<Finding>,
    /// What could not be looked into, and why.
    pub not_checked: Vec<String>,
    /// What is as it should be, where that is worth a word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fine: Vec<String>,
}

impl Diagnosis {
    /// Returns it as it may be told, without any secret that stands in a file.
    pub fn without_secrets(self) -> Self {
        let all = |texts: Vec<String>| texts.iter().map(|text| redact_lines(text)).collect();
        Self {
            findings: self.findings.into_iter().map(Finding::without_secrets).collect(),
            not_checked: all(self.not_checked),
            fine: all(self.fine),
        }
    }
}

/// The lines of the files that were read, by the name they were given.
pub(super) type Sources = BTreeMap<String, String>;

/// Asks every rule, and leaves out what a comment tells to ignore.
pub fn diagnose<P>(project: &P, rules: &[&Rule<P>], sources: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for rule in rules {
        findings.extend((rule.find)(project).into_iter().map(|hit| finding_of(&rule.text, hit)));
    }
    findings.retain(|finding| !is_ignored(finding, sources));
    findings.sort_by(|left, right| place_of(left).cmp(&place_of(right)));
    findings.dedup();
    // A line that several services share is one mistake, to be mended once.
    let mut told = BTreeSet::new();
    findings.retain(|finding| {
        let place = (finding.file.clone(), finding.line, finding.column);
        finding.line == 0 || told.insert((place, finding.rule, finding.message.clone()))
    });
    findings
}

fn finding_of(text: &RuleText, hit: Hit) -> Finding {
    Finding {
        rule: text.id,
        severity: text.severity,
        file: hit.place.file.to_string(),
        line: hit.place.line,
        column: hit.place.column,
        service: hit.service,
        message: hit.message,
        why: text.why,
        fix: hit.fix,
    }
}

fn place_of(finding: &Finding) -> (&str, u64, u64, &str) {
    (&finding.file, finding.line, finding.column, finding.rule)
}

/// A comment `# doctor: ignore RULE reason` holds for its own line and, alone on a line, for the next that is no comment.
fn is_ignored(finding: &Finding, sources: &Sources) -> bool {
    let Some(text) = sources.get(&finding.file) else { return false };
    let at = usize::try_from(finding.line).unwrap_or(usize::MAX);
    let before: Vec<&str> = text.lines().take(at).collect();
    let Some((own, above)) = before.split_last() else { return false };
    let comments = above.iter().rev().take_while(|line| line.trim_start().starts_with('#'));
    comments.chain([own]).any(|line| ignores(line, finding.rule))
}

fn ignores(line: &str, rule: &str) -> bool {
    line.split_once("# doctor: ignore ").is_some_and(|(_, rest)| rest.split_whitespace().next() == Some(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_at(line: u64, text: &str) -> usize {
        fn place(line: u64) -> Place {
            Place { file: "c.yml".into(), line, column: 1 }
        }
        let hits: fn(&u64) -> Vec<Hit> = |line| vec![Hit::new(&place(*line), "web", "wrong", "right")];
        let rule = Rule::error("some-rule", "", "", hits);
        let sources = Sources::from([("c.yml".to_owned(), text.to_owned())]);
        diagnose(&line, &[&rule], &sources).len()
    }

    #[test]
    fn a_finding_is_the_same_wherever_it_stands_in_its_file_and_no_other() {
        let at = |line| diagnose(&line, &[&Rule::error("some-rule", "", "", hits)], &Sources::new()).remove(0);
        fn hits(line: &u64) -> Vec<Hit> {
            vec![Hit::new(&Place { file: "c.yml".into(), line: *line, column: 1 }, "web", "wrong", "right")]
        }
        let id = at(3).id();
        assert_eq!((id.len(), &id), (32, &at(9).id()));
        assert_eq!(id, identity("some-rule", "c.yml", "web", "wrong"));
        for other in [
            identity("rule", "c.yml", "web", "wrong"),
            identity("some-rule", "d.yml", "web", "wrong"),
            identity("some-rule", "c.yml", "shop", "wrong"),
            identity("some-rule", "c.yml", "web", "bad"),
            identity("some-rule", "c.ymlweb", "", "wrong"),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_comment_on_the_line_or_above_ignores_one_rule() {
        assert_eq!(found_at(2, "a:\n  b: 1\n"), 1);
        assert_eq!(found_at(2, "a:\n  b: 1 # doctor: ignore some-rule it is meant so\n"), 0);
        assert_eq!(found_at(3, "a:\n  # doctor: ignore some-rule meant so\n  b: 1\n"), 0);
        assert_eq!(found_at(4, "a:\n  # doctor: ignore some-rule so\n  # and more\n  b: 1\n"), 0);
        assert_eq!(found_at(2, "a:\n  b: 1 # doctor: ignore other-rule x\n"), 1);
        assert_eq!(found_at(3, "a: 1 # doctor: ignore some-rule x\nb: 1\nc: 1\n"), 1);
        assert_eq!(found_at(0, "a: 1\n"), 1);
    }
}
