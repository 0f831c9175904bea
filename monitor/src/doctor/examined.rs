//! What a running monitor knows of its last examination: which findings, of which of them nobody can say whether they
//! still hold, and what was left out. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::finding::{Finding, RuleText, Severity};

/// Findings that are kept, the worst first; the rest is counted. Nobody mends more in one go.
const MAX_FINDINGS: usize = 500;
/// What could not be looked into and is told, at most.
const MAX_NOT_CHECKED: usize = 100;

const UNREADABLE: RuleText = RuleText {
    id: "file-unreadable",
    severity: Severity::Error,
    title: "a file that a running monitor is to examine cannot be read",
    why: "What is wrong in it is not seen; what is listed of it is what was found the last time.",
};
const FAILED: RuleText = RuleText {
    id: "examination-failed",
    severity: Severity::Warning,
    title: "an examination by a running monitor took too long or broke",
    why: "What is wrong there is not seen; what is listed of it is what was found the last time.",
};

/// What is said of examinations themselves.
pub(super) const TEXTS: [RuleText; 2] = [UNREADABLE, FAILED];

/// Returns whether findings of a rule may be left out: not those that say that nobody has looked.
pub fn can_be_ignored(rule: &str) -> bool {
    !TEXTS.iter().any(|text| text.id == rule)
}

/// A finding as a running monitor keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was found.
    pub finding: Finding,
    /// The line it is about, without secrets.
    pub source: Option<String>,
    /// Nobody could look again since: it may be mended.
    pub stale: bool,
}

/// What one look at a project, at the units or at ourselves came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// What was found.
    pub findings: Vec<Found>,
    /// What could not be looked into, and why.
    pub not_checked: Vec<String>,
    /// The files that were read.
    pub files: BTreeSet<String>,
}

/// What was looked at, by its name for people, and what that came to.
pub type Look = (String, Result<Looked, Finding>);

/// What is known of the last examination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// When everything was examined last; none if it never was.
    pub at: Option<Timestamp>,
    /// Since when there are errors.
    pub errors_since: Option<Timestamp>,
    /// The findings, worst first.
    pub findings: Vec<Found>,
    /// Findings beyond those.
    pub left_out: usize,
    /// What could not be looked into, and why.
    pub not_checked: Vec<String>,
    /// What each look found when it last succeeded.
    good: BTreeMap<String, Looked>,
}

impl Examined {
    /// Returns what is known after these looks, which are all there are.
    #[must_use]
    pub fn after(&self, looks: Vec<Look>, now: Timestamp) -> Self {
        let mut next = Self { at: Some(now), ..Self::default() };
        for (name, look) in looks {
            let good = match look {
                Ok(looked) => {
                    next.findings.extend(looked.findings.iter().cloned());
                    Some(looked)
                }
                Err(failure) => {
                    next.findings.push(Found { finding: failure, source: None, stale: false });
                    let before = self.good.get(&name).cloned();
                    let old = before.iter().flat_map(|looked| looked.findings.iter().cloned());
                    next.findings.extend(old.map(|found| Found { stale: true, ..found }));
                    before
                }
            };
            if let Some(looked) = good {
                next.not_checked.extend(looked.not_checked.iter().cloned());
                next.good.insert(name, looked);
            }
        }
        next.findings.sort_by(|left, right| order(left).cmp(&order(right)));
        next.findings.dedup();
        next.left_out = next.findings.len().saturating_sub(MAX_FINDINGS);
        next.findings.truncate(MAX_FINDINGS);
        next.not_checked.truncate(MAX_NOT_CHECKED);
        let has_errors = next.errors().next().is_some();
        next.errors_since = has_errors.then(|| self.errors_since.unwrap_or(now));
        next
    }

    /// Returns the findings that cannot stay as they are.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().map(|found| &found.finding).filter(|finding| finding.severity == Severity::Error)
    }

    /// Returns the files that were read.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.good.values().flat_map(|looked| looked.files.iter().map(String::as_str))
    }
}

fn order(found: &Found) -> (std::cmp::Reverse<Severity>, &str, u64, u64, &str, &str) {
    let Finding { severity, file, line, column, rule, message, .. } = &found.finding;
    (std::cmp::Reverse(*severity), file, *line, *column, rule, message)
}

/// Returns the finding that a file cannot be read; the loaders' words begin with its place.
pub(super) fn unreadable(words: &str, file: &str) -> Finding {
    let (place, message) = words.split_once(": ").unwrap_or(("", words));
    let mut parts = place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
    let (column, line) = (number(), number());
    let (file, line, column) = match (parts.next(), line, column) {
        (Some(file), Some(line), Some(column)) => (file, line, column),
        _ if place.is_empty() => (file, 0, 0),
        _ => (place, 0, 0),
    };
    let fix = "Mend the file, or its name under \"doctor\" in the monitor's configuration.";
    of_text(&UNREADABLE, file, (line, column), message, fix)
}

/// Returns the finding that something could not be examined.
pub(super) fn failed(what: &str, why: &str) -> Finding {
    let fix = "Look whether the disk answers; a restart of the monitor tries anew.";
    of_text(&FAILED, what, (0, 0), why, fix)
}

fn of_text(text: &RuleText, file: &str, (line, column): (u64, u64), message: &str, fix: &str) -> Finding {
    Finding {
        rule: text.id,
        severity: text.severity,
        file: file.to_owned(),
        line,
        column,
        service: String::new(),
        message: message.to_owned(),
        why: text.why,
        fix: fix.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn found(severity: Severity, line: u64) -> Found {
        let text = RuleText { id: "some-rule", severity, title: "", why: "" };
        Found { finding: of_text(&text, "a.yml", (line, 1), "wrong", ""), source: None, stale: false }
    }

    fn good(name: &str, findings: Vec<Found>) -> Look {
        (name.to_owned(), Ok(Looked { findings, ..Looked::default() }))
    }

    /// Lines, with `?` where nobody could look again.
    fn shown(examined: &Examined) -> Vec<String> {
        let shown = |found: &Found| {
            format!("{} {}{}", found.finding.rule, found.finding.line, if found.stale { "?" } else { "" })
        };
        examined.findings.iter().map(shown).collect()
    }

    #[test]
    fn the_worst_comes_first_and_then_the_order_of_the_file() {
        let all = vec![found(Severity::Warning, 1), found(Severity::Error, 9), found(Severity::Error, 3)];
        let examined = Examined::default().after(vec![good("a.yml", all)], at(0));
        assert_eq!(shown(&examined), ["some-rule 3", "some-rule 9", "some-rule 1"]);
        assert_eq!((examined.errors().count(), examined.at), (2, Some(at(0))));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_finding_and_what_was_known_of_it_stays_as_old() {
        let first = Examined::default().after(vec![good("a.yml", vec![found(Severity::Warning, 1)])], at(0));
        assert_eq!(first.errors_since, None);
        let broken = || ("a.yml".to_owned(), Err(unreadable("a.yml:2:7: this is not YAML: x: y", "a.yml")));
        let second = first.after(vec![broken()], at(60));
        assert_eq!(shown(&second), ["file-unreadable 2", "some-rule 1?"]);
        assert_eq!(second.findings[0].finding.message, "this is not YAML: x: y");
        let third = second.after(vec![broken()], at(120));
        assert_eq!((shown(&third), third.errors_since), (shown(&second), Some(at(60))));
        let mended = third.after(vec![good("a.yml", Vec::new())], at(180));
        assert_eq!((shown(&mended), mended.errors_since), (Vec::new(), None));
        assert!(third.after(Vec::new(), at(180)).findings.is_empty(), "it is not examined any more");
    }

    #[test]
    fn a_place_is_read_off_whatever_the_loaders_say() {
        for (words, expected) in [
            ("a.yml:3:1: no", ("a.yml", 3, 1, "no")),
            ("/srv/a.yml: cannot read this file: gone", ("/srv/a.yml", 0, 0, "cannot read this file: gone")),
            ("nothing to say", ("b.yml", 0, 0, "nothing to say")),
        ] {
            let finding = unreadable(words, "b.yml");
            let is = (finding.file.as_str(), finding.line, finding.column, finding.message.as_str());
            assert_eq!(is, expected);
        }
    }

    #[test]
    fn beyond_the_limit_findings_are_counted_and_errors_stay() {
        let mut all: Vec<Found> = (0..700).map(|line| found(Severity::Warning, line)).collect();
        all.push(found(Severity::Error, 900));
        let examined = Examined::default().after(vec![good("a.yml", all)], at(0));
        assert_eq!((examined.findings.len(), examined.left_out, examined.errors().count()), (500, 201, 1));
    }
}
