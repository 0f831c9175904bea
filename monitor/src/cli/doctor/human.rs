//! Findings as people read them: the place, the line itself, why it bites, and what to paste.

use std::collections::BTreeMap;
use std::fmt::Write;

use monitor::doctor::{Diagnosis, Finding, RuleText, Severity};

/// Bold, and the colours of severities (ECMA-48: SGR). Each stands beside its word.
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";
/// As wide as people read without losing the line; a narrower terminal breaks it once more.
const WIDTH: usize = 100;

/// Returns the whole report, with counts in its last line.
pub(super) fn report(diagnosis: &Diagnosis, sources: &BTreeMap<String, String>, colour: bool) -> String {
    let mut text = String::new();
    let mut file = None;
    for finding in &diagnosis.findings {
        if file != Some(&finding.file) {
            let _infallible = writeln!(text, "{}", painted(&finding.file, BOLD, colour));
            file = Some(&finding.file);
        }
        write_finding(&mut text, finding, finding.quote(sources), colour);
    }
    for what in &diagnosis.fine {
        let _infallible = writeln!(text, "ok: {what}");
    }
    for what in &diagnosis.not_checked {
        let _infallible = writeln!(text, "not checked: {what}");
    }
    text.push_str(&summary(&diagnosis.findings));
    text
}

fn write_finding(text: &mut String, finding: &Finding, line: Option<String>, colour: bool) {
    let tint = if finding.severity == Severity::Error { RED } else { YELLOW };
    let place = match finding.line {
        // Its name stands above.
        0 => String::new(),
        line => format!("{}:{line}:{} ", finding.file, finding.column),
    };
    let word = painted(finding.severity.word(), tint, colour);
    let _infallible = writeln!(text, "  {place}{word} {}", painted(finding.rule, BOLD, colour));
    if let Some(line) = line {
        let _infallible = writeln!(text, "      | {line}");
    }
    let is_named = finding.service.is_empty() || finding.message.starts_with(&finding.service);
    let service = if is_named { String::new() } else { format!("{}: ", finding.service) };
    write_wrapped(text, "    ", &format!("{service}{}", finding.message));
    write_wrapped(text, "    why: ", finding.why);
    let _infallible = writeln!(text, "    fix:");
    for line in finding.fix.lines() {
        let _infallible = writeln!(text, "      {line}");
    }
    text.push('\n');
}

/// Writes words in lines of bounded width, the later ones below the first word. What is to be pasted is never broken.
fn write_wrapped(text: &mut String, head: &str, words: &str) {
    let mut line = head.to_owned();
    for word in words.split_whitespace() {
        let is_full = line.chars().count() + 1 + word.chars().count() > WIDTH;
        if is_full && line.len() > head.len() {
            let _infallible = writeln!(text, "{line}");
            line = " ".repeat(head.len());
        }
        if !line.ends_with(' ') {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _infallible = writeln!(text, "{line}");
}

fn painted(text: &str, tint: &str, colour: bool) -> String {
    if colour { format!("{tint}{text}{PLAIN}") } else { text.to_owned() }
}

fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "nothing found".to_owned(),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// Returns every rule as a table that a README can hold too.
pub(super) fn rules(texts: &[RuleText]) -> String {
    let lines = texts.iter().map(|text| format!("| `{}` | {} | {} |", text.id, text.severity.word(), text.title));
    ["| rule | severity | finds |".to_owned(), "|---|---|---|".to_owned()]
        .into_iter()
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, message: &str, why: &'static str) -> Finding {
        Finding {
            rule: "some-rule",
            severity,
            file: "c.yml".to_owned(),
            line: 2,
            column: 3,
            service: "web".to_owned(),
            message: message.to_owned(),
            why,
            fix: format!("command: {}\nport: 1", "word ".repeat(40).trim()),
        }
    }

    #[test]
    fn long_words_are_wrapped_below_their_first_and_what_is_pasted_is_not() {
        let why =
            "It works until something else goes wrong, and then whoever looks reads this line to its very end, twice.";
        let findings = vec![finding(Severity::Warning, &"x".repeat(120), why)];
        let shown = report(&Diagnosis { findings, ..Diagnosis::default() }, &BTreeMap::new(), false);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2], "    web:");
        assert_eq!(lines[3], format!("    {}", "x".repeat(120)));
        assert_eq!(
            lines[4],
            "    why: It works until something else goes wrong, and then whoever looks reads this line to its"
        );
        assert_eq!(lines[5], "         very end, twice.");
        assert_eq!(lines[7].len(), 6 + 9 + 40 * 5 - 1);
        assert_eq!(lines.last(), Some(&"0 errors, 1 warning"));
    }

    #[test]
    fn each_colour_stands_beside_its_word() {
        let findings = vec![finding(Severity::Error, "a", "b"), finding(Severity::Warning, "a", "b")];
        let diagnosis = Diagnosis { findings, ..Diagnosis::default() };
        let shown = report(&diagnosis, &BTreeMap::new(), true);
        assert!(shown.contains("\x1b[31merror\x1b[0m") && shown.contains("\x1b[33mwarning\x1b[0m"), "{shown}");
        let plain = report(&diagnosis, &BTreeMap::new(), false);
        assert!(!plain.contains('\x1b'), "{plain}");
        let bare =
            ["\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"].iter().fold(shown, |text, code| text.replace(code, ""));
        assert_eq!(bare, plain, "colours say nothing that words do not");
    }
}
