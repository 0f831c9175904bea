//! How letters look on a terminal: colour stands beside a word, and foreign text does nothing to the terminal.

use std::fmt::Display;
use std::time::Duration;

use comfy_table::{Cell, Color};
use jiff::Timestamp;
use kit::cli::{is_colourful, local};
use kit::clock::elapsed;
use kit::config::show_duration;

/// Characters of a message in a list, at most.
const MESSAGE: usize = 100;

/// Returns a cell of foreign text.
pub(super) fn cell(text: impl Display) -> Cell {
    Cell::new(harmless(&text.to_string()))
}

/// Returns a cell of foreign text of any length.
pub(super) fn message(text: &str) -> Cell {
    let mut short: String = text.chars().take(MESSAGE).collect();
    if text.chars().nth(MESSAGE).is_some() {
        short.push('…');
    }
    cell(short)
}

/// Returns text that moves no cursor and changes no colour (ECMA-48), and turns no other text around (Unicode, UAX #9): such
/// characters are shown as one that stands for them.
pub(super) fn harmless(text: &str) -> String {
    let shown = |char: char| match char {
        '\n' | '\r' | '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '\u{fffd}',
        char if char.is_control() => '\u{fffd}',
        char => char,
    };
    text.chars().map(shown).collect()
}

/// Returns a cell of the state of a letter or a plan.
pub(super) fn state(word: &str) -> Cell {
    let tint = match word {
        "resolved" | "done" => Color::Green,
        "escalated" | "quarantined" | "uncertain" | "stopped" => Color::Red,
        "parked" | "recurred" | "paused" => Color::Yellow,
        "scheduled" | "intended" | "redriven" | "running" => Color::Cyan,
        _ => return cell(word),
    };
    tinted(word, tint)
}

/// Returns a cell that has a colour where colours are shown.
pub(super) fn tinted(text: &str, tint: Color) -> Cell {
    if is_colourful() { cell(text).fg(tint) } else { cell(text) }
}

/// Returns a time as people read it here, of milliseconds since the epoch.
pub(super) fn time(ms: Option<i64>, form: &str) -> String {
    let at = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|at| local(&at.to_string(), form)).unwrap_or_default()
}

/// Returns how long ago a time is.
pub(super) fn ago(ms: Option<i64>) -> String {
    let at = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let since = at.map(|at| Duration::from_secs(elapsed(at, Timestamp::now()).as_secs()));
    since.map(show_duration).unwrap_or_default()
}

/// `1 letter`, `2 letters`.
pub(super) fn counted(count: i64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use kit::cli::table;

    use super::*;

    #[test]
    fn what_a_table_shows_does_nothing_to_the_terminal() {
        let foreign = "a\x1b[2Jb\u{9b}31mc\x07d\r\ne\tf\u{202e}g\u{200b}h\0i\x7f";
        let long = format!("{foreign}{}", "x".repeat(200));
        let shown = table(&["A", "B", "C"], vec![vec![cell(foreign), message(&long), state(foreign)]]).to_string();
        let is_harmful = |char: &char| char.is_control() && *char != '\n' || ('\u{202a}'..='\u{202e}').contains(char);
        assert_eq!(shown.chars().find(is_harmful), None, "{shown:?}");
        assert_eq!(harmless("a\x1b[2J\n😀 é"), "a\u{fffd}[2J 😀 é");
    }
}
