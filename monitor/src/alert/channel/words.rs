//! What a message says in words, for every channel that writes to people. Foreign text is made harmless for one line
//! here; escaping for a mark-up is the channel's.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::page::words;

use crate::alert::message::{AlertPart, Evidence, Links, Message, Severity, Status};
use crate::alert::web::is_web_url;

/// Most characters of one fact, such as a reason: it must leave room for the others.
const MAX_FACT_CHARS: usize = 500;

/// Longest link, in bytes: Pushover's limit of 512 characters, the lowest of all.
const MAX_LINK_BYTES: usize = 512;
/// Most characters of a program's output in plain text.
const MAX_OUTPUT_CHARS: usize = 8_000;

/// Returns `[PAGE] shop is down: …`: what a subject or a header says, in one line of at most `limit` characters.
pub(super) fn headline(message: &Message, limit: usize) -> String {
    words::clip(&line(&format!("[{}] {}", message.headline_word(), message.title)), limit.saturating_sub(1))
}

/// Returns the word for one of several alerts, as [`Message::headline_word`] for the whole.
pub(super) fn word(part: &AlertPart) -> &'static str {
    match (part.status, part.severity) {
        (Status::Resolved, _) => "RESOLVED",
        (Status::Firing, Severity::Page) => "PAGE",
        (Status::Firing, Severity::Ticket) => "TICKET",
        (Status::Firing, Severity::Notice) => "NOTICE",
    }
}

/// Returns a colour as 0xRRGGBB that goes with the headline's word; white text on it has a contrast of 4.5:1 or more
/// (WCAG 2.2, 1.4.3). The colours are those of the status page (`kit::page::Tone`).
pub(super) fn colour(message: &Message) -> u32 {
    match (message.drill, message.status, message.severity) {
        (true, ..) => 0x6a_5a_a8,
        (false, Status::Resolved, _) => 0x1c_7c_4c,
        (false, Status::Firing, Severity::Page) => 0xc0_31_2b,
        (false, Status::Firing, Severity::Ticket) => 0x94_62_00,
        (false, Status::Firing, Severity::Notice) => 0x22_64_b4,
    }
}

/// Puts foreign text into one line: line ends and other control characters become spaces, and what turns the direction
/// of writing is left out (Unicode TR 36 section 2.5: it makes text look like another text).
pub(super) fn line(text: &str) -> String {
    let visible = text.chars().filter(|c| !turns(*c));
    let spaced = visible.map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c });
    spaced.collect::<String>().trim().to_owned()
}

/// As [`line()`], but keeps line ends and tabs.
pub(super) fn block(text: &str) -> String {
    let visible = text.chars().filter(|c| !turns(*c) && *c != '\r');
    visible.map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{FFFD}' } else { c }).collect()
}

fn turns(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}')
}

/// Writes a time with the offset of this machine's zone.
pub(super) fn when(at: Timestamp) -> String {
    words::time(at, &TimeZone::system())
}

/// Returns what must be said of the message itself, if anything.
pub(super) fn notes(message: &Message) -> Vec<String> {
    let mut notes = Vec::new();
    if message.drill {
        notes.push("This is a drill: nothing is wrong.".to_owned());
    }
    if let Some(secs) = message.late_secs {
        let late = words::length(std::time::Duration::from_secs(secs));
        notes.push(format!("This message is {late} late: it could not be delivered earlier."));
    }
    if !message.durable {
        notes.push("The monitor could not write this to its disk: it may come twice.".to_owned());
    }
    if message.truncated > 0 {
        notes.push(format!("{} more alerts are not shown here.", message.truncated));
    }
    notes
}

/// Returns what is known of one alert as label and value, each value one line; what is empty is left out.
pub(super) fn facts(part: &AlertPart) -> Vec<(&'static str, String)> {
    let is_over = part.status == Status::Resolved;
    let mut facts = vec![
        ("Service", part.service.clone().unwrap_or_default()),
        ("Verdict", part.verdict.clone()),
        ("Since", when(part.opened)),
        ("Until", part.resolved.map(when).unwrap_or_default()),
        (if is_over { "Lasted" } else { "So far" }, part.lasted.clone()),
        ("Impacted", part.impacted.join(", ")),
        ("Flapping", if part.flapping { "yes: it comes and goes".to_owned() } else { String::new() }),
        ("Taken by", part.acknowledged_by.clone().unwrap_or_default()),
    ];
    facts.extend(part.evidence.as_ref().map(evidence).unwrap_or_default());
    facts.retain(|(_, value)| !value.trim().is_empty());
    facts.into_iter().map(|(label, value)| (label, words::clip(&line(&value), MAX_FACT_CHARS))).collect()
}

/// Returns the facts that fit: each value cut to `most` characters and escaped, all of them within `budget` characters.
pub(super) fn facts_within(
    part: &AlertPart,
    budget: usize,
    most: usize,
    escape: fn(&str) -> String,
) -> Vec<(&'static str, String)> {
    let mut left = budget;
    let mut kept = Vec::new();
    for (label, value) in facts(part) {
        let value = escape(&words::clip(&value, most));
        let Some(rest) = left.checked_sub(label.len() + value.chars().count()) else { break };
        left = rest;
        kept.push((label, value));
    }
    kept
}

fn evidence(evidence: &Evidence) -> Vec<(&'static str, String)> {
    let phases = evidence.phases.iter().map(|(name, ms)| format!("{name} {ms} ms"));
    vec![
        ("Check", evidence.check.clone()),
        ("Target", evidence.target.clone()),
        ("Reason", evidence.reason.clone()),
        ("Took", phases.collect::<Vec<_>>().join(", ")),
        ("Last run", evidence.exit.clone()),
        ("Changed", evidence.changed.clone()),
        ("Program", evidence.digest.clone()),
        ("Trace", evidence.trace_id.clone()),
    ]
}

/// Returns where to look and act, with the words for a button.
pub(super) fn links(part: &AlertPart) -> Vec<(&'static str, &str)> {
    let Links { incident, acknowledge, source, trace, logs } = &part.links;
    let links =
        [("Incident", incident), ("Acknowledge", acknowledge), ("Source", source), ("Trace", trace), ("Logs", logs)];
    let is_over = part.status == Status::Resolved;
    let found = links.into_iter().filter_map(|(label, url)| Some((label, url.as_deref()?)));
    let links = found.filter(|(_, url)| is_web_url(url) && url.len() <= MAX_LINK_BYTES);
    // Nobody takes what is over.
    links.filter(|(label, _)| !(is_over && *label == "Acknowledge")).collect()
}

/// Returns the last lines of the last run, the latest within `limit` characters; none if there are none.
pub(super) fn last_lines(part: &AlertPart, limit: usize) -> Option<String> {
    let lines = &part.evidence.as_ref()?.last_lines;
    let mut kept: Vec<String> = Vec::new();
    let mut left = limit;
    for text in lines.iter().rev() {
        let text = words::clip(&line(text), MAX_FACT_CHARS.min(limit.saturating_sub(2)));
        let Some(rest) = left.checked_sub(text.chars().count() + 1) else { break };
        left = rest;
        kept.push(text);
    }
    kept.reverse();
    (!kept.is_empty()).then(|| kept.join("\n"))
}

/// Returns one line for a list in Markdown: how it stands, and its title within `limit` characters.
pub(super) fn row(part: &AlertPart, limit: usize) -> String {
    format!("**{}** {}", word(part), markdown(&words::clip(&line(&part.title), limit)))
}

/// Escapes the mark-up that Discord and Teams read in text (CommonMark section 2.4, and mentions).
pub(super) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '#' | '[' | ']' | '(' | ')' | '@') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Returns one line for each alert, as many as fit into `budget` characters, and then how many do not.
pub(super) fn list(message: &Message, budget: usize, row: impl Fn(&AlertPart) -> String) -> Vec<String> {
    let mut rows = Vec::new();
    let mut left = budget;
    for part in &message.alerts {
        let row = row(part);
        let Some(rest) = left.checked_sub(row.chars().count() + 1) else { break };
        left = rest;
        rows.push(row);
    }
    let missing = message.alerts.len() - rows.len();
    if missing > 0 {
        rows.push(format!("… and {missing} more"));
    }
    rows
}

/// Returns the whole message as plain text of at most `limit` characters, without its headline.
pub(super) fn plain(message: &Message, limit: usize) -> String {
    let mut lines = notes(message);
    match message.alerts.as_slice() {
        [only] => lines.extend(plain_part(only)),
        _ => lines.extend(list(message, limit.saturating_sub(200), plain_row)),
    }
    if let Some(url) = &message.page_url {
        lines.push(format!("Status page: {}", line(url)));
    }
    words::clip(&lines.join("\n"), limit.saturating_sub(1))
}

fn plain_row(part: &AlertPart) -> String {
    let title = words::clip(&line(&part.title), MAX_FACT_CHARS);
    let link = part.links.incident.as_deref().map(|url| format!(" {}", line(url))).unwrap_or_default();
    format!("- [{}] {title} (since {}){link}", word(part), when(part.opened))
}

fn plain_part(part: &AlertPart) -> Vec<String> {
    let mut lines: Vec<String> = facts(part).into_iter().map(|(label, value)| format!("{label}: {value}")).collect();
    if !part.description.trim().is_empty() {
        lines.push(block(&part.description));
    }
    if let Some(last) = last_lines(part, MAX_OUTPUT_CHARS) {
        lines.push("Last lines:".to_owned());
        lines.extend(last.lines().map(|text| format!("  {text}")));
    }
    lines.extend(links(part).into_iter().map(|(label, url)| format!("{label}: {}", line(url))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_in_its_line_and_cannot_turn_the_direction_of_writing() {
        assert_eq!(line(" a\r\nBcc: x\u{2028}\u{202E}y\u{1b}[31m "), "a  Bcc: x y [31m");
        assert_eq!(block("a\r\n\tb\u{0}"), "a\n\tb\u{FFFD}");
    }
}
