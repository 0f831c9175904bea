//! The section: a headline and a table between two comments, which say where it begins and ends.

use std::fmt::Write;

use jiff::Timestamp;
use monitor::export::{ServiceStatus, Status};

/// Begins the section.
pub(super) const BEGIN: &str = "<!-- monitor:status -->";
/// Ends it.
pub(super) const END: &str = "<!-- /monitor:status -->";

/// Longest reason, in characters: a table is read at a glance.
const MAX_REASON_CHARS: usize = 120;

/// Writes the section.
pub(super) fn of(status: &Status, now: Timestamp) -> String {
    let mut out = format!(
        "{BEGIN}\n{}, as of {}.\n\n| Service | State | Since | Why |\n|---|---|---|---|\n",
        headline(status),
        at(now)
    );
    for service in &status.services {
        let _infallible = writeln!(out, "{}", row(service));
    }
    out.push_str(END);
    out
}

/// The first line, up to its time.
pub(super) fn headline(status: &Status) -> String {
    let up = status.services.iter().filter(|service| service.verdict == "up").count();
    let all = status.services.len();
    format!("{} **{}**: {up} of {all} services are up", light(&status.overall), status.overall)
}

/// How a service stands, as its row says it.
pub(super) fn state(service: &ServiceStatus) -> String {
    format!("{} {}", light(&service.verdict), service.verdict)
}

fn row(service: &ServiceStatus) -> String {
    let since = service.since.parse().map_or_else(|_| service.since.clone(), at);
    let why: String = service.why.chars().take(MAX_REASON_CHARS).collect();
    format!("| {} | {} | {since} | {} |", service.name, state(service), cell(&why))
}

/// A sign with the colour that Markdown has no other means for; the word stands beside it.
fn light(verdict: &str) -> char {
    match verdict {
        "up" | "completed" => '🟢',
        "degraded" | "starting" => '🟡',
        "down" | "crash_looping" | "gave_up" | "gone" => '🔴',
        _ => '⚪',
    }
}

fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Text of others is text here too: no cell, line, comment or tag begins in it.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Returns the document with the section in place of its own, or at its end.
///
/// # Errors
/// One sentence if a section begins that does not end.
pub(super) fn put(document: &str, section: &str) -> Result<String, &'static str> {
    let Some((before, rest)) = document.split_once(BEGIN) else {
        let gap = match document {
            "" => "",
            text if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        return Ok(format!("{document}{gap}{section}\n"));
    };
    let (_, after) =
        rest.split_once(END).ok_or("a status section begins but does not end; add <!-- /monitor:status -->")?;
    Ok(format!("{before}{section}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_its_elder_and_nothing_else() {
        assert_eq!(put("", "S").as_deref(), Ok("S\n"));
        assert_eq!(put("# Title\n", "S").as_deref(), Ok("# Title\n\nS\n"));
        assert_eq!(put(&format!("a\n{BEGIN}\nold\n{END}\nb\n"), "S").as_deref(), Ok("a\nS\nb\n"));
        assert!(put(&format!("a {BEGIN} b"), "S").is_err());
    }

    #[test]
    fn what_targets_say_stays_text() {
        assert_eq!(cell("a|b <script>\n[x](y) --> &"), "a\\|b &lt;script> \\[x\\](y) --> &amp;");
    }
}
