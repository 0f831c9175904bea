//! Findings as people read them: the place, the line itself, why it bites, and what to paste.

use std::collections::BTreeMap;
use std::fmt::Write;

use monitor::doctor::{Diagnosis, Finding, RuleText, Severity};

/// Bold, and the colours of severities (ECMA-48: SGR). Each stands beside its word.
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// Returns the whole report, with counts in its last line.
pub(super) fn report(diagnosis: &Diagnosis, sources: &BTreeMap<String, String>, colour: bool) -> String {
    let mut text = String::new();
    let mut file = None;
    for finding in &diagnosis.findings {
        if file != Some(&finding.file) {
            let _infallible = writeln!(text, "{}", painted(&finding.file, BOLD, colour));
            file = Some(&finding.file);
        }
        let line = sources.get(&finding.file).and_then(|source| line_of(source, finding.line));
        write_finding(&mut text, finding, line, colour);
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

fn line_of(source: &str, line: u64) -> Option<&str> {
    source.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)
}

fn write_finding(text: &mut String, finding: &Finding, line: Option<&str>, colour: bool) {
    let tint = if finding.severity == Severity::Error { RED } else { YELLOW };
    let place = match finding.line {
        0 => finding.file.clone(),
        line => format!("{}:{line}:{}", finding.file, finding.column),
    };
    let word = painted(finding.severity.word(), tint, colour);
    let _infallible = writeln!(text, "  {place} {word} {}", painted(finding.rule, BOLD, colour));
    if let Some(line) = line.map(str::trim) {
        let _infallible = writeln!(text, "      | {line}");
    }
    let is_named = finding.service.is_empty() || finding.message.starts_with(&finding.service);
    let service = if is_named { String::new() } else { format!("{}: ", finding.service) };
    let _infallible = writeln!(text, "    {service}{}", finding.message);
    let _infallible = writeln!(text, "    why: {}", finding.why);
    let _infallible = writeln!(text, "    fix:");
    for line in finding.fix.lines() {
        let _infallible = writeln!(text, "      {line}");
    }
    text.push('\n');
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
