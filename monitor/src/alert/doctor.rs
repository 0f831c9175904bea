//! Errors that the doctor finds, as one condition: one ticket, however many there are. Pure.

use std::collections::BTreeSet;

use kit::clock::Stamp;

use super::condition::{Condition, Holds};
use super::message::{Evidence, Severity};
use crate::doctor::{DoctorSettings, Examined, Finding};

/// The incident about errors that the doctor finds.
const KEY: &str = "finding:doctor";
/// Errors that the ticket lists; the page has all.
const LISTED: usize = 10;

/// Returns what the doctor's errors are for alerts; none if there are none, or nobody wants a ticket.
pub fn doctor_condition(examined: &Examined, settings: &DoctorSettings, now: Stamp) -> Option<Condition> {
    if !settings.ticket {
        return None;
    }
    // What an earlier monitor has told of stays until somebody has looked.
    if examined.at.is_none() {
        return Some(Condition { holds: Holds::Unclear, ..Condition::new(KEY, "", Severity::Notice, "") });
    }
    let errors: Vec<&Finding> = examined.errors().collect();
    let first = errors.first()?;
    let title = format!("the doctor finds {} in {}: {}", counted(errors.len()), places(&errors), said(first));
    let mut condition = Condition::new(KEY, "DoctorFindings", Severity::Ticket, title);
    condition.since = examined.errors_since.map_or(now.at, |since| now.moment_of(since));
    // A file that is being written is broken for a moment: two looks must agree.
    condition.after = settings.look_every() * 2;
    // Which errors there are changes while somebody mends them, and is no news.
    KEY.clone_into(&mut condition.cause);
    condition.reminded = false;
    condition.description = described(&errors);
    condition.evidence = Evidence { reason: said(first), ..Evidence::default() };
    Some(condition)
}

fn counted(errors: usize) -> String {
    format!("{errors} error{}", if errors == 1 { "" } else { "s" })
}

/// Names the file, without its folders, or says how many there are.
fn places(errors: &[&Finding]) -> String {
    let files: BTreeSet<&str> = errors.iter().map(|error| error.file.as_str()).collect();
    match files.first() {
        Some(&"self") if files.len() == 1 => "what the monitor stands on".to_owned(),
        Some(file) if files.len() == 1 => file.rsplit('/').next().unwrap_or(file).to_owned(),
        _ => format!("{} files", files.len()),
    }
}

/// Messages name the service themselves where it is part of the sentence.
fn said(finding: &Finding) -> String {
    let Finding { service, message, .. } = finding;
    if service.is_empty() || message.starts_with(service.as_str()) {
        message.clone()
    } else {
        format!("{service}: {message}")
    }
}

fn described(errors: &[&Finding]) -> String {
    let line = |error: &&Finding| match error.line {
        0 => format!("{} {}: {}", error.file, error.rule, said(error)),
        line => format!("{}:{line}:{} {}: {}", error.file, error.column, error.rule, said(error)),
    };
    let mut lines: Vec<String> = errors.iter().take(LISTED).map(line).collect();
    let more = errors.len().saturating_sub(LISTED);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.push("What to write instead stands on the page of findings, and in `monitor findings`.".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use kit::clock::Moment;

    use super::*;
    use crate::doctor::{Found, Looked, Severity as Degree};

    fn stamp(secs: i64) -> Stamp {
        Stamp { at: Moment::from_ms(secs * 1000), wall: Timestamp::from_second(1_800_000_000 + secs).unwrap() }
    }

    fn found(severity: Degree, file: &str, line: u64) -> Found {
        let finding = Finding {
            rule: "gate-never-opens",
            severity,
            file: file.to_owned(),
            line,
            column: 7,
            service: "web".to_owned(),
            message: format!("it waits for line {line}"),
            why: "",
            fix: String::new(),
        };
        Found { finding, source: None, stale: false }
    }

    fn examined(findings: Vec<Found>) -> Examined {
        let look = ("all".to_owned(), Ok(Looked { findings, ..Looked::default() }));
        Examined::default().after(vec![look], stamp(100).wall)
    }

    #[test]
    fn many_errors_are_one_ticket_with_the_first_in_its_title() {
        let errors = (1..=12).map(|line| found(Degree::Error, "/srv/app/compose.yml", line)).collect();
        let settings = DoctorSettings::default();
        let ticket = doctor_condition(&examined(errors), &settings, stamp(160)).unwrap();
        assert_eq!(ticket.title, "the doctor finds 12 errors in compose.yml: web: it waits for line 1");
        assert_eq!((ticket.key.as_str(), ticket.name.as_str()), ("finding:doctor", "DoctorFindings"));
        assert_eq!((ticket.severity, ticket.service, ticket.reminded), (Severity::Ticket, None, false));
        assert_eq!((ticket.since, ticket.after), (Moment::from_ms(100_000), Duration::from_secs(60)));
        let lines: Vec<&str> = ticket.description.lines().collect();
        assert_eq!(lines.first(), Some(&"/srv/app/compose.yml:1:7 gate-never-opens: web: it waits for line 1"));
        assert_eq!((lines.len(), lines.get(10)), (12, Some(&"and 2 more")));
    }

    #[test]
    fn several_files_are_counted_and_warnings_are_no_ticket() {
        let settings = DoctorSettings::default();
        let two = vec![found(Degree::Error, "a.yml", 1), found(Degree::Error, "b.yml", 1)];
        let ticket = doctor_condition(&examined(two), &settings, stamp(160)).unwrap();
        assert_eq!(ticket.title, "the doctor finds 2 errors in 2 files: web: it waits for line 1");
        let warnings = vec![found(Degree::Warning, "a.yml", 1)];
        assert_eq!(doctor_condition(&examined(warnings), &settings, stamp(160)), None);
    }

    #[test]
    fn before_the_first_look_nothing_is_over_and_whoever_wants_no_ticket_gets_none() {
        let settings = DoctorSettings::default();
        let unclear = doctor_condition(&Examined::default(), &settings, stamp(0)).unwrap();
        assert_eq!((unclear.key.as_str(), unclear.holds), ("finding:doctor", Holds::Unclear));
        let without = DoctorSettings { ticket: false, ..settings };
        assert_eq!(doctor_condition(&Examined::default(), &without, stamp(0)), None);
    }
}
