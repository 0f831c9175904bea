//! Tables, and what is drawn again and again in its own place.

use std::io::{IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, ContentArrangement, Table};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use terminal_size::{Height, Width, terminal_size};

/// Fewer columns hold no word: then a table has as many as terminals usually have.
const NARROWEST: u16 = 40;
const USUAL: u16 = 80;

/// How a time is written to the second.
pub const SECONDS: &str = "%F %H:%M:%S %:z";
/// And to the minute.
pub const MINUTES: &str = "%F %H:%M %:z";

/// To the upper left (ECMA-48: CUP).
const HOME: &str = "\x1b[H";

/// Returns a table without lines, as wide as the terminal.
pub fn table(header: &[&str], rows: Vec<Vec<Cell>>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    // Some terminals do not know how wide they are.
    if table.width().is_some_and(|width| width < NARROWEST) {
        table.set_width(USUAL);
    }
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    table
}

/// Returns a time as people read it here, in the local zone; a text that is no time stays as it is.
pub fn local(time: &str, form: &str) -> String {
    let local = time.parse::<Timestamp>().map(|time| time.to_zoned(TimeZone::system()));
    local.map_or_else(|_error| time.to_owned(), |local| local.strftime(form).to_string())
}

/// Returns whether the output shows colours: on a terminal, unless somebody wants none (no-color.org).
pub fn is_colourful() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !is_unwanted && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Returns whether something can be drawn again and again: on a terminal that can.
pub fn is_live() -> bool {
    std::io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|term| term != "dumb")
}

/// Returns columns and lines of the terminal; 80 and 24 where it does not tell.
pub fn size() -> (usize, usize) {
    terminal_size().map_or((80, 24), |(Width(columns), Height(lines))| (usize::from(columns), usize::from(lines)))
}

/// What stands on the terminal and is drawn anew in its place.
#[derive(Debug, Default)]
pub struct Drawing {
    lines: usize,
    at: (usize, usize),
}

impl Drawing {
    /// Draws `text` over what was drawn before; it must have fewer lines than the terminal.
    pub fn draw(&mut self, text: &str) {
        let size = size();
        // After a resize nobody knows where the last drawing stands.
        let start = if self.lines == 0 || size == self.at { up(self.lines) } else { HOME.to_owned() };
        let mut out = std::io::stdout().lock();
        let drawn = format!("{start}{}", lines_over(text));
        let _closed = out.write_all(drawn.as_bytes()).and_then(|()| out.flush());
        (self.lines, self.at) = (text.lines().count(), size);
    }
}

/// To the start of the last drawing (ECMA-48: CUU).
fn up(drawn: usize) -> String {
    if drawn > 0 { format!("\x1b[{drawn}A") } else { String::new() }
}

/// Writes over what stands there (ECMA-48: EL before each line, ED after the last: a screen cleared from its top would
/// fill the history of some terminals). Lines too long are cut, not wrapped (DECAWM), so that as many stand there as we
/// count.
fn lines_over(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("\x1b[K{line}\n")).collect();
    format!("\x1b[?7l{lines}\x1b[?7h\x1b[J")
}
